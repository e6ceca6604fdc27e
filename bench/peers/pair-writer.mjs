// Sends pairs as lines to whoever connects, as a plain program would, and prints its port: `node pair-writer.mjs VARIABLES PERIOD_MS`. A period of 0: as fast as they are taken.
import { createServer } from "node:net";

const count = Number(process.argv[2] ?? 500);
const periodMs = Number(process.argv[3] ?? 10);

function linesOf(round) {
  let text = "";
  for (let i = 0; i < count; i++) text += `v${i}=${((round * 7 + i * 13) % 12_000) / 1000}\n`;
  return text;
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  let round = 0;
  let dueMs = performance.now();
  const next = () => {
    if (socket.destroyed) return;
    const more = socket.write(linesOf(round++));
    if (periodMs === 0) {
      if (more) setImmediate(next);
      else socket.once("drain", next);
      return;
    }
    dueMs += periodMs;
    setTimeout(next, Math.max(0, dueMs - performance.now()));
  };
  next();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
