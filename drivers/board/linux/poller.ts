import { closeSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";
import type { Cancel } from "../../../agent/contract/clock.ts";
import { EPOLL_EVENT, type Libc } from "./libc.ts";
import { POLLER_THREAD, type PollerThreadData } from "./poller-thread.ts";

/**
 * Waits for input on any number of descriptors, in one thread of its own. Never on Node's own thread pool: there each waiting line
 * takes one of four threads, and the fifth never hears anything.
 * The thread only waits. A descriptor that became ready is reported here, read here, and only then waited for again: so the kernel's
 * buffer bounds what piles up, and a descriptor can be closed at any time without the thread reading from its successor.
 */
export interface Poller {
  /**
   * Calls `ready` whenever `fd` has something to read. Close `fd` only after cancelling. `failed` is called once if nothing can be heard any more.
   * The thread starts with the first watch and ends with the last.
   */
  watch(fd: number, ready: () => void, failed: (error: AgentError) => void): Cancel;
}

/** What the thread hears when it shall end. */
const STOP_TOKEN = 0;

/** Far more than loading takes. */
const LOAD_LIMIT_MS = 1000;

const WAKE = Buffer.from(new BigUint64Array([1n]).buffer);

interface Watch {
  readonly fd: number;
  readonly ready: () => void;
  readonly failed: (error: AgentError) => void;
}

/** One life of the thread. */
interface Session {
  readonly epollFd: number;
  readonly stop: () => void;
}

export function createPoller(libc: Libc): Poller {
  const watches = new Map<number, Watch>();
  let nextToken = STOP_TOKEN + 1;
  let session: Session | undefined;

  function start(): Session {
    const epollFd = libc.epollCreate();
    const wakeFd = libc.eventfd();
    libc.epollAdd(epollFd, wakeFd, STOP_TOKEN);
    const loaded = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const data: PollerThreadData = {
      epollFd,
      stopToken: STOP_TOKEN,
      koffiPath: createRequire(import.meta.url).resolve("koffi"),
      eventBytes: EPOLL_EVENT.bytes,
      tokenAt: EPOLL_EVENT.tokenAt,
      loaded,
    };
    // The options of the process are for programs that are files.
    const worker = new Worker(POLLER_THREAD, { eval: true, execArgv: [], name: "virgo-edges", workerData: data });
    function stop(): void {
      writeSync(wakeFd, WAKE);
    }
    /** A process that exits waits for its threads, and this one waits for edges. Ended while it loads native code it would take the process down with SIGABRT. */
    function stopAtExit(): void {
      Atomics.wait(loaded, 0, 0, LOAD_LIMIT_MS);
      stop();
    }
    process.once("exit", stopAtExit);
    const started: Session = { epollFd, stop };
    let reason: unknown = "it ended";
    worker.on("message", (tokens: number[]) => {
      if (session === started) tokens.forEach(dispatch);
    });
    worker.on("error", (thrown) => {
      reason = thrown;
    });
    worker.on("exit", () => {
      process.off("exit", stopAtExit);
      closeSync(epollFd);
      closeSync(wakeFd);
      if (session === started) fail(reason);
    });
    return started;
  }

  function dispatch(token: number): void {
    const watch = watches.get(token);
    if (watch === undefined) return;
    try {
      watch.ready();
    } finally {
      if (session !== undefined && watches.has(token)) libc.epollRearm(session.epollFd, watch.fd, token);
    }
  }

  function stopUnused(): void {
    if (watches.size > 0) return;
    session?.stop();
    session = undefined;
  }

  function fail(reason: unknown): void {
    session = undefined;
    const error = new AgentError("IO", `the thread that waits for edges failed: ${messageOf(reason)}`, { cause: reason });
    const lost = [...watches.values()];
    watches.clear();
    for (const { failed } of lost) failed(error);
  }

  return {
    watch(fd, ready, failed) {
      session ??= start();
      const token = nextToken;
      nextToken += 1;
      try {
        libc.epollAdd(session.epollFd, fd, token);
      } catch (thrown) {
        stopUnused();
        throw thrown;
      }
      watches.set(token, { fd, ready, failed });
      return () => {
        if (session === undefined || !watches.delete(token)) return;
        libc.epollRemove(session.epollFd, fd);
        stopUnused();
      };
    },
  };
}
