// Publishes to a JetStream stream over NATS's text protocol, so many messages unacknowledged at once.
// node nats-publisher.mjs PORT COUNT IN_FLIGHT BYTES; prints messages acknowledged per second. Makes the stream when it is not there.
import { connect } from "node:net";

const [port, count, inFlight, bytes] = process.argv.slice(2).map(Number);
const INBOX = "_INBOX.bench";
const payload = "x".repeat(bytes);
const socket = connect({ port, host: "127.0.0.1", noDelay: true });
let input = Buffer.alloc(0);
let sent = 0;
let acknowledged = 0;
let startedMs = 0;

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

function publish(messages) {
  let text = "";
  for (; messages > 0 && sent < count; messages--) text += `PUB bench.work ${INBOX}.${sent++} ${bytes}\r\n${payload}\r\n`;
  if (text !== "") socket.write(text);
}

/** The stream was made, or was there. */
function begin() {
  startedMs = performance.now();
  publish(inFlight);
}

function take(body) {
  const reply = JSON.parse(body);
  if (reply.error !== undefined) fail(body);
  if (startedMs === 0) {
    begin();
    return 0;
  }
  acknowledged += 1;
  return 1;
}

/** Reads whole messages; returns how many acknowledgements there were. */
function read() {
  let acknowledgements = 0;
  for (;;) {
    const lineEnd = input.indexOf("\r\n");
    if (lineEnd < 0) return acknowledgements;
    const line = input.toString("latin1", 0, lineEnd);
    let end = lineEnd + 2;
    if (line.startsWith("MSG ")) {
      const length = Number(line.slice(line.lastIndexOf(" ") + 1));
      const start = end;
      end = start + length + 2;
      if (input.length < end) return acknowledgements;
      acknowledgements += take(input.toString("latin1", start, start + length));
    } else if (line === "PING") {
      socket.write("PONG\r\n");
    } else if (line.startsWith("-ERR")) {
      fail(line);
    }
    input = input.subarray(end);
  }
}

socket.on("connect", () => {
  const stream = JSON.stringify({ name: "BENCH", subjects: ["bench.>"], storage: "file", retention: "limits", num_replicas: 1 });
  socket.write(`CONNECT {"verbose":false,"pedantic":false}\r\nSUB ${INBOX}.* 1\r\n`);
  socket.write(`PUB $JS.API.STREAM.CREATE.BENCH ${INBOX}.stream ${stream.length}\r\n${stream}\r\n`);
});
socket.on("data", (chunk) => {
  input = input.length === 0 ? chunk : Buffer.concat([input, chunk]);
  publish(read());
  if (acknowledged < count) return;
  console.log((acknowledged / (performance.now() - startedMs)) * 1000);
  process.exit(0);
});
socket.on("error", (error) => fail(error.message));
socket.on("close", () => fail("nats-server closed the connection"));
