// The least two Node processes can do: one listens and passes every byte on over a socket pair, the other counts line ends and answers.
// node relay-server.mjs LINES REPLY   (REPLY as hex); prints the port it listens on.
import { spawn } from "node:child_process";
import { createServer, Socket } from "node:net";

const [, file, lines, reply, part] = process.argv;
const LINE_END = 0x0a;

if (part === "behind") answer(new Socket({ fd: 3 }));
else listen(spawn(process.execPath, [file, lines, reply, "behind"], { stdio: ["ignore", "inherit", "inherit", "pipe"] }));

function listen(behind) {
  const pair = behind.stdio[3];
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("data", (chunk) => pair.write(chunk));
    socket.on("error", () => socket.destroy());
    pair.removeAllListeners("data").on("data", (chunk) => socket.write(chunk));
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.on("SIGTERM", () => process.exit(0));
}

function answer(pair) {
  const text = Buffer.from(reply, "hex").toString("latin1");
  let pending = 0;
  pair.on("data", (chunk) => {
    for (let at = chunk.indexOf(LINE_END); at >= 0; at = chunk.indexOf(LINE_END, at + 1)) pending++;
    const complete = Math.floor(pending / Number(lines));
    pending -= complete * Number(lines);
    if (complete > 0) pair.write(text.repeat(complete), "latin1");
  });
  pair.on("close", () => process.exit(0));
}
