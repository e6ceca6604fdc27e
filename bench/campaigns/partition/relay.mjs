// From a socket in a folder, which every namespace reaches, to a port of this one: `relay.mjs path port`.
import { connect, createServer } from "node:net";

const [path, port] = process.argv.slice(2);

createServer({ noDelay: true }, (near) => {
  const far = connect({ port: Number(port), host: "127.0.0.1", noDelay: true });
  near.pipe(far).pipe(near);
  near.on("error", () => far.destroy());
  far.on("error", () => near.destroy());
}).listen(path);
