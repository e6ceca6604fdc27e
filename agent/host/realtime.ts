import { availableParallelism } from "node:os";
import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";
import { readlinkSync } from "node:fs";

import { messageOf } from "../contract/errors.ts";

const execute = promisify(execFile);

/** It answers at once, or something is very wrong. */
const LIMIT_MS = 2000;

/** Priorities of SCHED_FIFO (sched(7)); Linux runs its interrupt threads at 50. */
export const MAX_REALTIME_PRIORITY = 49;

/**
 * Has the kernel run the calling thread before all that is not real-time (SCHED_FIFO, by util-linux's chrt), and none that it starts. Resolves to the reason why not, in
 * words; undefined when it does. Not with a single processor: a thread that hangs would keep whoever is to notice it from running.
 */
export async function takeRealtimePriority(priority: number, processors = availableParallelism()): Promise<string | undefined> {
  if (processors < 2) return "there is one processor only";
  try {
    // The link is read by the thread itself: PROCESS/task/THREAD.
    const thread = basename(readlinkSync("/proc/thread-self"));
    await execute("chrt", ["--fifo", "--reset-on-fork", "--pid", String(priority), thread], { timeout: LIMIT_MS });
    return undefined;
  } catch (error) {
    return messageOf(error).replaceAll(/\s+/g, " ");
  }
}
