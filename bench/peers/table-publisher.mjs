// The least that reads two scanners on serial ports and publishes their turns: the ports through serialport, no checks, MQTT through mqtt.js.
// node table-publisher.mjs URL PATH…; prints 0 when it has asked for scans.
import mqtt from "mqtt";
import { SerialPort } from "serialport";

const [url, ...paths] = process.argv.slice(2);
const NODE_BYTES = 5;
const HEADER_BYTES = 7;
const client = await mqtt.connectAsync(url, { protocolVersion: 5 });
client.stream.setNoDelay(true);

for (const path of paths) {
  const port = new SerialPort({ path, baudRate: 115_200 });
  const table = new Float64Array(360);
  let rest = Buffer.alloc(0);
  let skip = HEADER_BYTES;
  port.on("data", (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = Math.min(skip, bytes.length);
    skip -= at;
    for (; at + NODE_BYTES <= bytes.length; at += NODE_BYTES) {
      if (bytes[at] & 1) client.publish(`bench/${path}`, `${path}=[${table.join(" ")}]\n`);
      const angle = (bytes[at + 1] >> 1) | (bytes[at + 2] << 7);
      table[(angle >> 6) % 360] = (bytes[at + 3] | (bytes[at + 4] << 8)) / 4000;
    }
    rest = bytes.subarray(at);
  });
  port.on("open", () => port.write(Buffer.from([0xa5, 0x20])));
}
process.on("SIGTERM", () => process.exit(0));
console.log(0);
