// The thread behind poller.ts: it waits and says what is ready; reading is left to the other side, which alone knows what is still open.
import { parentPort, workerData } from "node:worker_threads";

import { loadLibc } from "./libc.ts";
import { STOP_TOKEN, type PollerThreadData } from "./poller.ts";

/** The wait ends by itself now and then, so that the thread can be ended from outside even if nobody wakes it. */
const WAIT_MS = 1000;

const { epollFd } = workerData as PollerThreadData;
const libc = await loadLibc();
for (;;) {
  const tokens = libc.epollWait(epollFd, WAIT_MS);
  if (tokens.includes(STOP_TOKEN)) break;
  if (tokens.length > 0) parentPort?.postMessage(tokens);
}
