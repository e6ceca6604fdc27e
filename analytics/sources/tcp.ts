import net from "node:net";

import { createBackOff } from "../../agent/contract/back-off.ts";
import { messageOf } from "../../agent/contract/errors.ts";
import { watchSilence, type SilenceWatch } from "./silence.ts";
import { createMeter, type Source, type SourceOptions } from "./source.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** What is read at once: large enough for a million pairs a second, small enough to be parsed within a millisecond. */
const READ_BYTES = 64 * 1024;

/** The first attempt after a lost connection comes after half to all of this; each further one after twice the last. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;

/** After this much silence the kernel asks whether the other end is still there, and ends the connection if nobody answers. */
const KEEP_ALIVE_MS = 10_000;

export interface TcpSourceOptions extends SourceOptions {
  readonly host: string;
  readonly port: number;
  /** Without a pair for this long the connection is opened afresh, milliseconds; never when absent, since who types into `nc -l` may pause. */
  readonly idleMs?: number | undefined;
  /** 0 to 1; spreads the attempts of many agents. */
  readonly random?: () => number;
}

/**
 * Connects out to whoever serves pairs, as `nc -l 64000` does, and connects again, with growing pauses, whenever that ends. The original's direction.
 * Sends nothing. Keeps trying until closed.
 */
export function startTcpSource(options: TcpSourceOptions): Source {
  const { host, port, idleMs, clock, log, random = Math.random } = options;
  const name = `tcp ${host.includes(":") ? `[${host}]` : host}:${port}`;
  const meter = createMeter(options);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let socket: net.Socket | undefined;
  let connected = false;
  const backOff = createBackOff({ minMs: FIRST_RETRY_MS, maxMs: LONGEST_RETRY_MS }, random);
  let cancelRetry: Cancel | undefined;
  let reported = false;
  let closed = false;

  function connect(): void {
    const parser = meter.openParser(name);
    let watch: SilenceWatch | undefined;
    let reason = `${name}: ended by the other side`;
    const opened = net.connect({
      host,
      port,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      onread: {
        buffer,
        callback(byteLength) {
          if (parser.push(buffer.subarray(0, byteLength)) > 0) {
            backOff.reset();
            watch?.heard();
          }
          return true;
        },
      },
    });
    socket = opened;
    opened.on("connect", () => {
      connected = true;
      reported = false;
      log.info({ source: name }, `${name}: connected`);
      if (idleMs !== undefined) watch = watchSilence(clock, idleMs, () => opened.destroy(new Error(`no pair for ${idleMs} ms`)));
    });
    opened.on("error", (error) => {
      reason = `${name}: ${messageOf(error)}`;
      meter.fail(reason);
    });
    opened.on("close", () => {
      watch?.cancel();
      parser.abandon();
      connected = false;
      if (!closed) retry(reason);
    });
  }

  function retry(reason: string): void {
    // One line per loss, not one per attempt.
    if (!reported) log.warn({ source: name }, `${reason}; trying again until it is there`);
    reported = true;
    cancelRetry = clock.after(backOff.next(), connect);
  }

  connect();
  return {
    name,
    state: () => meter.state(connected ? 1 : 0),
    async close() {
      closed = true;
      cancelRetry?.();
      await destroyed(socket);
    },
  };
}

/** Destroys a socket and waits until it is gone. */
function destroyed(socket: net.Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (socket === undefined || socket.closed) {
      resolve();
      return;
    }
    socket.once("close", () => {
      resolve();
    });
    socket.destroy();
  });
}
