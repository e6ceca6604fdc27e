import { AgentError } from "../../contract/errors.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import type { FilesOptions } from "./options.ts";
import type { Extent } from "./tree.ts";

/** How much of what the root may hold is taken. */
export interface Usage {
  /** Resolves when everything was counted for the first time. */
  counted(): Promise<void>;
  /** Takes room, after the first count. Rejects FULL naming the limit. */
  take(bytes: number, entries: number): Promise<void>;
  give(bytes: number, entries: number): void;
  /** What is taken by now. */
  readonly bytes: number;
  readonly entries: number;
}

export interface UsageOptions {
  readonly limits: Pick<FilesOptions, "maxTotalBytes" | "maxFiles">;
  readonly count: () => Promise<Extent>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Before anything is refused it is counted again, for files may have been removed by hand; but not more often than this. */
const RECOUNT_MS = 60_000;

/** Counts once at the start, then keeps account of what the service itself does. */
export function createUsage({ limits, count, clock, log }: UsageOptions): Usage {
  let bytes = 0;
  let entries = 0;
  /** Taken while counting: whether the count has seen it is not known, so it is added. */
  let takenMeanwhile = { bytes: 0, entries: 0 };
  let countedMs = 0;
  let counting: Promise<void> | undefined;
  const first = recount();

  function recount(): Promise<void> {
    counting ??= countOnce().finally(() => {
      counting = undefined;
    });
    return counting;
  }

  async function countOnce(): Promise<void> {
    takenMeanwhile = { bytes: 0, entries: 0 };
    try {
      const found = await count();
      bytes = found.bytes + takenMeanwhile.bytes;
      entries = found.entries + takenMeanwhile.entries;
    } catch (error) {
      log.error({ err: error }, "cannot count what is under the files root; the limits apply to what is written from now on");
    }
    countedMs = clock.monotonicMs();
  }

  function refusal(moreBytes: number, moreEntries: number): AgentError | undefined {
    if (entries + moreEntries > limits.maxFiles) {
      return new AgentError("FULL", `${entries} files and folders are under the files root; files.maxFiles is ${limits.maxFiles}`);
    }
    if (bytes + moreBytes > limits.maxTotalBytes) {
      const text = `${bytes} bytes are under the files root, and ${moreBytes} more would be above files.maxTotalBytes, ${limits.maxTotalBytes}`;
      return new AgentError("FULL", text);
    }
    return undefined;
  }

  return {
    counted: () => first,
    async take(moreBytes, moreEntries) {
      await first;
      if (refusal(moreBytes, moreEntries) !== undefined && clock.monotonicMs() - countedMs >= RECOUNT_MS) await recount();
      const refused = refusal(moreBytes, moreEntries);
      if (refused !== undefined) throw refused;
      bytes += moreBytes;
      entries += moreEntries;
      takenMeanwhile.bytes += moreBytes;
      takenMeanwhile.entries += moreEntries;
    },
    give(lessBytes, lessEntries) {
      bytes = Math.max(0, bytes - lessBytes);
      entries = Math.max(0, entries - lessEntries);
    },
    get bytes() {
      return bytes;
    },
    get entries() {
      return entries;
    },
  };
}
