// Serves pairs to whoever connects, as `nc -l` does, and prints its port: `node pair-producer.mjs MODE`.
//   flood    distances as fast as they are taken
//   pairs    720 distances as pairs, 100 times a second
//   list     720 distances as one list, 100 times a second
//   stamps   1000 times a second the kernel's monotonic time in nanoseconds and a level that changes
import { createServer } from "node:net";

const DISTANCES = 720;
const SCAN_MS = 10;
const STAMP_NS = 1_000_000n;
const FLOOD_BYTES = 1 << 20;

const mode = process.argv[2] ?? "flood";

function pairsText(scan) {
  let text = "";
  for (let i = 0; i < DISTANCES; i++) text += `d${i}=${((scan * 7 + i * 13) % 12_000) / 1000}\n`;
  return text;
}

function listText(scan) {
  return `scan=[${Array.from({ length: DISTANCES }, (_, i) => ((scan * 7 + i * 13) % 12_000) / 1000).join(" ")}]\n`;
}

function flood(socket) {
  let text = "";
  for (let scan = 0; text.length < FLOOD_BYTES; scan++) text += pairsText(scan);
  const bytes = Buffer.from(text);
  const write = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", write);
  write();
}

function scans(socket, textOf) {
  let scan = 0;
  let dueMs = performance.now();
  const next = () => {
    if (socket.destroyed) return;
    socket.write(textOf(scan++));
    dueMs += SCAN_MS;
    setTimeout(next, Math.max(0, dueMs - performance.now()));
  };
  next();
}

/** Timers are too coarse for 1 kHz: this keeps looking at the clock. */
function stamps(socket) {
  let count = 0;
  let dueNs = process.hrtime.bigint();
  const look = () => {
    if (socket.destroyed) return;
    const nowNs = process.hrtime.bigint();
    if (nowNs >= dueNs) {
      socket.write(`stamp=${nowNs},level=${count++ % 101}\n`);
      dueNs += STAMP_NS;
      // What was missed while the machine did other things is not caught up with.
      if (nowNs > dueNs) dueNs = nowNs + STAMP_NS;
    }
    setImmediate(look);
  };
  look();
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  if (mode === "flood") flood(socket);
  else if (mode === "stamps") stamps(socket);
  else scans(socket, mode === "list" ? listText : pairsText);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
