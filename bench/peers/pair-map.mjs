// Reads pairs the short way, text split into a Map, for as long as it is told, and prints pairs per second: `node pair-map.mjs PORT MS`.
import { connect } from "node:net";

const [port, durationMs] = process.argv.slice(2).map(Number);
const values = new Map();
let pairs = 0;
let rest = "";
let fromMs = 0;
let fromPairs = 0;

const socket = connect({ port, host: "127.0.0.1" });
socket.setEncoding("utf8");
socket.on("data", (text) => {
  const lines = (rest + text).split(/[,\r\n]/);
  rest = lines.pop();
  for (const line of lines) {
    const equals = line.indexOf("=");
    if (equals < 0) continue;
    values.set(line.slice(0, equals).trim(), { value: Number(line.slice(equals + 1).trim()), atMs: performance.now() });
    pairs++;
  }
});
// The first half second warms up.
setTimeout(() => {
  fromMs = performance.now();
  fromPairs = pairs;
}, 500);
setTimeout(() => {
  console.log(((pairs - fromPairs) * 1000) / (performance.now() - fromMs));
  socket.destroy();
}, 500 + durationMs);
