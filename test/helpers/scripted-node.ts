import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import { limitsSchema } from "../../agent/contract/limits.ts";
import { createRespFactory } from "../../agent/wire/resp.ts";
import type { Target } from "../../agent/fleet/target.ts";

export interface ScriptedNode {
  readonly port: number;
  readonly target: Target;
  /** `127.0.0.1:port` */
  readonly address: string;
  /** `VERB arg arg` without the greetings, in order, all connections together; bytes as characters. */
  readonly asked: readonly string[];
  /** Greetings, as `VERB arg arg`. */
  readonly greetings: readonly string[];
  readonly connections: readonly Socket[];
  /** Ends every connection, without a word. */
  hangUp(): void;
  /** Ends every connection and listens no more. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

/** What the node answers: raw RESP, or undefined for nothing. */
export type Script = (words: readonly string[], socket: Socket) => string | undefined;

export interface ScriptedOptions {
  /** What it calls itself. */
  readonly name?: string;
  /** Answers HELLO as well; the usual greeting otherwise. */
  readonly hello?: Script;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

/** A RESP server on a free port that answers what a test says. */
export async function startScriptedNode(t: Teardown, script: Script, options: ScriptedOptions = {}): Promise<ScriptedNode> {
  const { name = "scripted" } = options;
  const hello = options.hello ?? (() => `%2\r\n$6\r\nserver\r\n$5\r\nvirgo\r\n$4\r\nnode\r\n$${name.length}\r\n${name}\r\n`);
  const openCodec = createRespFactory(limitsSchema.parse({}));
  const asked: string[] = [];
  const greetings: string[] = [];
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    const codec = openCodec();
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      for (const { verb, args } of codec.push(chunk)) {
        const words = [verb, ...args];
        (verb === "HELLO" ? greetings : asked).push(words.join(" "));
        const answer = verb === "HELLO" ? hello(words, socket) : script(words, socket);
        if (answer !== undefined) socket.write(Buffer.from(answer, "latin1"));
      }
    });
  });
  let port = 0;
  const listen = async () => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
  };
  const hangUp = () => {
    for (const socket of connections.splice(0)) socket.destroy();
  };
  const stop = async () => {
    hangUp();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  await listen();
  t.teardown(stop);
  return {
    port,
    target: { host: "127.0.0.1", port },
    address: `127.0.0.1:${port}`,
    asked,
    greetings,
    connections,
    hangUp,
    stop,
    start: listen,
  };
}
