import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import t from "tap";
import type { Test } from "tap";

import { createInputBuffer, takeInput } from "../agent/socket-input.ts";
import { settled } from "./helpers/fake-clock.ts";

/** Both ends of a connection whose accepted end is read by `takeInput`, and what came in. */
async function connected(t: Test, prepare: (accepted: Socket) => void = () => undefined) {
  const buffer = createInputBuffer();
  const chunks: string[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [accepted] = (await once(server, "connection")) as [Socket];
  prepare(accepted);
  const socket = takeInput(accepted, buffer, (bytes) => chunks.push(bytes.toString("latin1")));
  t.teardown(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  const received = async (bytes: number): Promise<string> => {
    while (chunks.join("").length < bytes) await settled();
    return chunks.join("");
  };
  return { server, client, accepted, socket, received };
}

t.test("what is sent arrives, in order, however much it is", async (t) => {
  const { client, socket, received } = await connected(t);
  const text = Array.from({ length: 40_000 }, (_, i) => `${i},`).join("");
  client.write(text);
  t.equal(await received(text.length), text);
  socket.write("answered");
  const [answer] = (await once(client, "data")) as [Buffer];
  t.equal(answer.toString(), "answered");
});

t.test("the end of the other side is seen, and answers still leave", async (t) => {
  const { client, socket, received } = await connected(t);
  client.end("last");
  await once(socket, "end");
  t.equal(await received(4), "last");
  socket.end("goodbye");
  const [answer] = (await once(client, "data")) as [Buffer];
  t.equal(answer.toString(), "goodbye");
  await once(client, "end");
});

t.test("nothing arrives while the socket is paused", async (t) => {
  const { client, socket, received } = await connected(t);
  client.write("a");
  await received(1);
  socket.pause();
  client.write("b");
  for (let turn = 0; turn < 20; turn++) await settled();
  t.equal(await received(1), "a");
  socket.resume();
  t.equal(await received(2), "ab");
});

t.test("the server knows when the connection is gone", async (t) => {
  const { server, client, socket } = await connected(t);
  const count = () => new Promise((resolve) => server.getConnections((_error, connections) => resolve(connections)));
  t.equal(await count(), 1);
  const closed = new Promise((resolve) => server.close(resolve));
  client.destroy();
  await once(socket, "end");
  socket.destroy();
  await closed;
  t.equal(await count(), 0);
});

t.test("a socket whose insides are not as expected is read as usual", async (t) => {
  const { client, accepted, socket, received } = await connected(t, (accepted) => {
    Object.assign(accepted, { encrypted: true });
  });
  t.equal(socket, accepted);
  client.write("as usual");
  t.equal(await received(8), "as usual");
});
