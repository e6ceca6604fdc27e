import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import type { ClassicPorts } from "../../agent/fleet/classic-client.ts";

export interface OriginalNode {
  readonly ports: ClassicPorts;
  /** The texts of the requests, as far as the first NUL. */
  readonly requests: readonly string[];
  /** Bytes that came of each request, the NUL included. */
  readonly lengths: readonly number[];
  readonly files: ReadonlyMap<string, Buffer>;
}

export interface OriginalOptions {
  /** 32: eight digits, and `virgo_cloud_free` neither answered nor closed. */
  readonly width?: 32 | 64;
  /** How it ends a connection: as a system that closes with input unread does, or cleanly. */
  readonly end?: "reset" | "close";
  /** Payload instead of its own; undefined closes without one. */
  readonly instead?: (text: string) => Buffer | undefined;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

const ACKNOWLEDGEMENT =
  "virgo_cloudexec_sendto(): cloudclonethread executed for clone_func(), sending message to virgo_clone() remote syscall client\n";

/** What is on the stack behind the NUL: bytes of the request and of everything else, no two NULs in a row. */
const GARBAGE = Buffer.from('ud_set(f4014c00,"setdata")\u0000kkkk\xa5\xcc\xffvirgo', "latin1");

/**
 * An imitation of an original node on free ports: it reads once, at most 500 bytes, answers 500 bytes of which those behind the first NUL are rubbish, and
 * closes without reading on. It checks nothing, as the original.
 */
export async function startOriginalNode(t: Teardown, options: OriginalOptions = {}): Promise<OriginalNode> {
  const { width = 64, end = "reset" } = options;
  const requests: string[] = [];
  const lengths: number[] = [];
  const sockets = new Set<Socket>();
  const memory = new Map<string, string>();
  const files = new Map<string, Buffer>();
  const descriptors: string[] = [];
  let nextAddress = width === 32 ? 0xeca9_f800n : 0xffff_8800_9d1e_fc28n;

  const addressText = () => (nextAddress += 32n).toString(16).padStart(width / 4, "0");

  function memoryPayload(text: string): string | undefined {
    const [, verb = "", inside = ""] = /^virgo_cloud_(\w+)\(([^)]*)/.exec(text) ?? [];
    if (verb === "malloc") return addressText();
    const comma = inside.indexOf(",");
    const address = (comma < 0 ? inside : inside.slice(0, comma)).replaceAll('"', "");
    if (verb === "get") return memory.get(address) ?? "";
    if (verb === "free") return width === 32 ? undefined : "ffffffffc1039ac1";
    memory.set(address, inside.slice(comma + 1));
    return address;
  }

  function filesPayload(text: string): string {
    const [, verb = "", inside = ""] = /^virgo_cloud_(\w+)\((.*)\)$/.exec(text) ?? [];
    if (verb === "open") {
      if (!files.has(inside)) files.set(inside, Buffer.alloc(0));
      return String(descriptors.push(inside) - 1);
    }
    const [fd, data = "", count = "0", position = "0"] = inside.split(",");
    const path = descriptors[Number(fd)] ?? "";
    const content = files.get(path) ?? Buffer.alloc(0);
    if (verb === "read") return content.toString("latin1", Number(position), Number(position) + Number(count));
    if (verb === "write") files.set(path, Buffer.concat([content, Buffer.from(data.slice(0, Number(count)), "latin1")]));
    // Uninitialised stack.
    return GARBAGE.toString("latin1");
  }

  function answer(socket: Socket, payload: Buffer | undefined): void {
    if (payload === undefined) return;
    const reply = Buffer.alloc(500);
    for (let at = 0; at < 500; at += GARBAGE.length) GARBAGE.copy(reply, at);
    payload.copy(reply, 0, 0, 499);
    reply[Math.min(499, payload.length)] = 0;
    socket.write(reply, () => (end === "reset" ? socket.resetAndDestroy() : socket.end()));
  }

  async function listen(respond: (text: string) => string | undefined, delimiters: RegExp): Promise<number> {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("data", (chunk: Buffer) => {
        socket.pause();
        const read = chunk.subarray(0, 500);
        lengths.push(chunk.length);
        const whole = read.subarray(0, read.includes(0) ? read.indexOf(0) : 500).toString("latin1");
        requests.push(whole);
        const text = whole.split(delimiters)[0] ?? "";
        if (options.instead === undefined) {
          const payload = respond(text);
          answer(socket, payload === undefined ? undefined : Buffer.from(payload, "latin1"));
          return;
        }
        const payload = options.instead(text);
        if (payload === undefined) socket.destroy();
        else answer(socket, payload);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }

  const ports = {
    clone: await listen(() => ACKNOWLEDGEMENT, /[\r\n ]/),
    eventnet: await listen(() => "EventNet updated", /[\r\n]/),
    memory: await listen(memoryPayload, /[\r\n ]/),
    files: await listen(filesPayload, /[\r\n]/),
    queue: await listen(() => "", /[\r\n ]/),
  };
  return { ports, requests, lengths, files };
}
