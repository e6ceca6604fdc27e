// A bare Node server that says where it listens: what any agent written for Node starts from.
// node idle-server.mjs DIR; writes DIR/listen.json.
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const path = join(process.argv[2], "listen.json");
const server = createServer((socket) => socket.end());
server.listen(0, "127.0.0.1", () => {
  writeFileSync(`${path}.new`, JSON.stringify({ clone: `127.0.0.1:${server.address().port}` }));
  renameSync(`${path}.new`, path);
});
