import net from "node:net";

import { AgentError, messageOf } from "../../agent/contract/errors.ts";
import { watchSilence } from "./silence.ts";
import { createMeter, type Source, type SourceOptions } from "./source.ts";

/** Producers at once; each has its own parser. */
const MAX_PRODUCERS = 32;

export interface TcpListenOptions extends SourceOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A producer that sends no pair for this long is disconnected, milliseconds; never when absent. */
  readonly idleMs?: number | undefined;
  readonly maxProducers?: number;
}

export interface TcpListenSource extends Source {
  /** What was bound: `127.0.0.1:64000`. */
  readonly address: string;
}

/** Waits for producers to connect and send pairs; more than `maxProducers` are turned away. Rejects IN_USE or DENIED when the port cannot be had. */
export async function startTcpListenSource(options: TcpListenOptions): Promise<TcpListenSource> {
  const { host, port, idleMs, maxProducers = MAX_PRODUCERS, clock, log } = options;
  const meter = createMeter(options);
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ keepAlive: true, keepAliveInitialDelay: 10_000 }, serve);
  server.maxConnections = maxProducers;
  server.on("drop", () => {
    meter.fail(`${name}: more than ${maxProducers} producers; the newest was turned away`);
  });
  await listening(server, host, port);
  const bound = server.address() as net.AddressInfo;
  const address = hostPort(bound.address, bound.port);
  const name = `tcp listen ${address}`;
  server.on("error", (error) => {
    meter.fail(`${name}: ${messageOf(error)}`);
  });
  log.info({ source: name }, `${name}: waiting for producers`);

  function serve(socket: net.Socket): void {
    const producer = `tcp ${hostPort(socket.remoteAddress ?? "", socket.remotePort ?? 0)}`;
    const parser = meter.openParser(producer);
    const watch =
      idleMs === undefined
        ? undefined
        : watchSilence(clock, idleMs, () => {
            socket.destroy(new Error(`no pair for ${idleMs} ms`));
          });
    sockets.add(socket);
    socket.on("data", (chunk) => {
      if (parser.push(chunk) > 0) watch?.heard();
    });
    socket.on("error", (error) => {
      meter.fail(`${producer}: ${messageOf(error)}`);
    });
    socket.on("close", () => {
      watch?.cancel();
      parser.abandon();
      sockets.delete(socket);
    });
  }

  return {
    name,
    address,
    state: () => meter.state(sockets.size),
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}

function listening(server: net.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      const code = error.code === "EADDRINUSE" ? "IN_USE" : error.code === "EACCES" ? "DENIED" : "IO";
      reject(new AgentError(code, `analytics cannot listen on ${host}:${port}: ${messageOf(error)}`, { cause: error }));
    };
    server.once("error", refuse);
    server.listen({ host, port }, () => {
      server.off("error", refuse);
      resolve();
    });
  });
}

function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
