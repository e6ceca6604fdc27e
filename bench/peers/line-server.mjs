// The least a Node server can do: counts line ends and answers every LINES of them with the same bytes.
// node line-server.mjs LINES REPLY   (REPLY as hex); prints the port it listens on.
import { createServer } from "node:net";

const lines = Number(process.argv[2]);
// A string of bytes leaves without a Buffer of its own: the quickest way out of Node.
const reply = Buffer.from(process.argv[3], "hex").toString("latin1");
const LINE_END = 0x0a;

const server = createServer({ noDelay: true }, (socket) => {
  let pending = 0;
  socket.on("data", (chunk) => {
    for (let at = chunk.indexOf(LINE_END); at >= 0; at = chunk.indexOf(LINE_END, at + 1)) pending++;
    const complete = Math.floor(pending / lines);
    pending -= complete * lines;
    if (complete > 0) socket.write(reply.repeat(complete), "latin1");
  });
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
