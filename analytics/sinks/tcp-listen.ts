import net from "node:net";

import { AgentError, messageOf } from "../../agent/contract/errors.ts";
import { linesText } from "./lines.ts";
import { createOutlet, type Outlet } from "./outlet.ts";
import { createSelection } from "./selection.ts";
import { createSinkCounts, rulesOf, type Sink, type SinkOptions } from "./sink.ts";
import { ended } from "./tcp.ts";
import type { Variable } from "../../agent/contract/variable.ts";

export interface TcpListenSinkStart extends SinkOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** More at once are turned away. */
  readonly maxReaders: number;
  /** Bytes that may wait for one reader; beyond them only the latest values do. */
  readonly maxBacklogBytes: number;
}

export interface TcpListenSink extends Sink {
  /** What was bound: `127.0.0.1:64001`. */
  readonly address: string;
}

/**
 * Serves `name=value` lines to whoever connects, `nc` for example: first the latest value of everything, then what changes. What readers say is ignored. Rejects IN_USE or
 * DENIED when the port cannot be had.
 */
export async function startTcpListenSink(options: TcpListenSinkStart): Promise<TcpListenSink> {
  const { host, port, variables, selected, clock, log, maxReaders, maxBacklogBytes } = options;
  const counts = createSinkCounts();
  const outlets = new Map<net.Socket, Outlet>();
  const server = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 }, serve);
  server.maxConnections = maxReaders;
  await listening(server, host, port);
  const bound = server.address() as net.AddressInfo;
  const address = bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  const name = `tcp listen ${address}`;
  const selection = createSelection({ variables, rules: rulesOf(selected), clock, emit });
  server.on("drop", () => {
    fail(`${name}: more than ${maxReaders} readers; the newest was turned away`);
  });
  server.on("error", (error) => {
    fail(`${name}: ${messageOf(error)}`);
  });
  log.info({ sink: name }, `${name}: waiting for readers`);

  function fail(message: string): void {
    counts.errors += 1;
    counts.lastError = message;
  }

  function emit(batch: readonly Variable[]): void {
    if (outlets.size === 0) return;
    const text = Buffer.from(linesText(batch));
    for (const outlet of outlets.values()) outlet.offer(batch, text);
  }

  function serve(socket: net.Socket): void {
    const outlet = createOutlet(socket, selection, maxBacklogBytes, counts);
    outlets.set(socket, outlet);
    socket.resume();
    socket.on("error", (error) => {
      fail(`${name}: ${messageOf(error)}`);
    });
    socket.on("close", () => {
      outlets.delete(socket);
      outlet.close();
    });
    const everything = selection.snapshot();
    if (everything.length > 0) outlet.offer(everything, Buffer.from(linesText(everything)));
  }

  return {
    name,
    address,
    state: () => ({ connected: outlets.size > 0, connections: outlets.size, ...counts }),
    async close() {
      selection.flush();
      selection.close();
      const gone = new Promise((resolve) => {
        server.close(resolve);
      });
      await Promise.all([...outlets.keys()].map((socket) => ended(socket)));
      await gone;
    },
  };
}

function listening(server: net.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      const code = error.code === "EADDRINUSE" ? "IN_USE" : error.code === "EACCES" ? "DENIED" : "IO";
      reject(new AgentError(code, `the sink cannot listen on ${host}:${port}: ${messageOf(error)}`, { cause: error }));
    };
    server.once("error", refuse);
    server.listen({ host, port }, () => {
      server.off("error", refuse);
      resolve();
    });
  });
}
