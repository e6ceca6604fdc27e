/** What the thread needs to know; it shares nothing with the rest but descriptors. */
export interface PollerThreadData {
  readonly epollFd: number;
  /** Heard when the thread shall end. */
  readonly stopToken: number;
  /** The package's file, because a program given as text has no place to look for it from. */
  readonly koffiPath: string;
  /** `struct epoll_event`: its size and where the token lies. */
  readonly eventBytes: number;
  readonly tokenAt: number;
  /** Shared: 1 once the package is loaded and knows the call, or failed to. */
  readonly loaded: Int32Array;
}

/**
 * The program of the thread behind poller.ts: it waits, and posts the tokens of what is ready. Reading is left to the other side, which alone knows what is
 * still open. It is text so that it needs no loader: it starts within milliseconds, the same from source and from the compiled package.
 * The wait ends by itself every second, so that the thread can be ended from outside even if nobody wakes it.
 */
export const POLLER_THREAD = String.raw`
"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const { epollFd, stopToken, koffiPath, eventBytes, tokenAt, loaded } = workerData;
let koffi;
let epollWait;
try {
  koffi = require(koffiPath);
  epollWait = koffi.load(null).func("int epoll_wait(int epollFd, void *events, int count, int timeoutMs)");
} finally {
  Atomics.store(loaded, 0, 1);
  Atomics.notify(loaded, 0);
}
const EINTR = 4;
const EVENTS = 64;
const events = Buffer.alloc(EVENTS * eventBytes);
for (;;) {
  const count = epollWait(epollFd, events, EVENTS, 1000);
  if (count < 0 && koffi.errno() !== EINTR) throw new Error("epoll_wait: error " + koffi.errno());
  const tokens = [];
  for (let i = 0; i < count; i++) tokens.push(events.readUInt32LE(i * eventBytes + tokenAt));
  if (tokens.includes(stopToken)) break;
  if (tokens.length > 0) parentPort.postMessage(tokens);
}
`;
