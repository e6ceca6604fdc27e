import net from "node:net";

import { createBackOff } from "../../agent/contract/back-off.ts";
import { messageOf } from "../../agent/contract/errors.ts";
import { linesText } from "./lines.ts";
import { createOutlet, type Outlet } from "./outlet.ts";
import { createSelection } from "./selection.ts";
import { createSinkCounts, rulesOf, type Sink, type SinkOptions } from "./sink.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Variable } from "../../agent/contract/variable.ts";

/** After this much silence the kernel asks whether the other end is still there, and ends the connection if nobody answers. */
const KEEP_ALIVE_MS = 10_000;

export interface TcpSinkStart extends SinkOptions {
  readonly host: string;
  readonly port: number;
  /** Bytes that may wait for the collector; beyond them only the latest values do. */
  readonly maxBacklogBytes: number;
  /** The first attempt after a lost connection comes after half to all of this, each further one after twice the last. */
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  /** 0 to 1; spreads the attempts of many agents. */
  readonly random?: () => number;
}

/**
 * Connects out to a collector and sends `name=value` lines, and connects again, with growing pauses, whenever that ends. A new connection begins with the latest value of
 * everything; what changed more than once while there was none is not made up for. What the collector says is ignored.
 */
export function startTcpSink(options: TcpSinkStart): Sink {
  const { host, port, variables, selected, clock, log, maxBacklogBytes, minRetryMs, maxRetryMs, random = Math.random } = options;
  const name = `tcp ${host.includes(":") ? `[${host}]` : host}:${port}`;
  const counts = createSinkCounts();
  const selection = createSelection({ variables, rules: rulesOf(selected), clock, emit });
  let socket: net.Socket | undefined;
  let outlet: Outlet | undefined;
  const backOff = createBackOff({ minMs: minRetryMs, maxMs: maxRetryMs }, random);
  let cancelRetry: Cancel | undefined;
  let reported = false;
  let closed = false;

  function emit(batch: readonly Variable[]): void {
    if (outlet === undefined) counts.dropped += batch.length;
    else outlet.offer(batch, Buffer.from(linesText(batch)));
  }

  function connect(): void {
    let reason = `${name}: ended by the other side`;
    const opened = net.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    socket = opened;
    opened.resume();
    opened.on("connect", () => {
      backOff.reset();
      reported = false;
      log.info({ sink: name }, `${name}: connected`);
      outlet = createOutlet(opened, selection, maxBacklogBytes, counts);
      const everything = selection.snapshot();
      if (everything.length > 0) emit(everything);
    });
    opened.on("error", (error) => {
      reason = `${name}: ${messageOf(error)}`;
      counts.errors += 1;
      counts.lastError = reason;
    });
    opened.on("close", () => {
      outlet?.close();
      outlet = undefined;
      if (!closed) retry(reason);
    });
  }

  function retry(reason: string): void {
    // One line per loss, not one per attempt.
    if (!reported) log.warn({ sink: name }, `${reason}; trying again until it is there`);
    reported = true;
    cancelRetry = clock.after(backOff.next(), connect);
  }

  connect();
  return {
    name,
    state: () => ({ connected: outlet !== undefined, connections: outlet === undefined ? 0 : 1, ...counts }),
    async close() {
      selection.flush();
      closed = true;
      selection.close();
      cancelRetry?.();
      await ended(socket);
    },
  };
}

/** Who does not take what waits in this time does not get it. */
const END_MS = 200;

/** Ends a socket after what was written to it, and waits until it is gone. */
export function ended(socket: net.Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (socket === undefined || socket.closed) {
      resolve();
      return;
    }
    socket.once("close", () => {
      resolve();
    });
    if (socket.connecting) {
      socket.destroy();
      return;
    }
    socket.setTimeout(END_MS, () => socket.destroy());
    socket.destroySoon();
  });
}
