import { rename, rm, writeFile } from "node:fs/promises";

import type { Cancel, Clock } from "../../agent/contract/clock.ts";

export interface ConfWriterOptions {
  /** Is replaced as a whole. */
  readonly path: string;
  /** Between two writes at least, milliseconds. */
  readonly minMs: number;
  readonly clock: Clock;
  /** Writing failed; it is tried again with the next offer. */
  readonly onError: (error: unknown) => void;
}

export interface ConfWriter {
  /** Pairs that the file is to hold. */
  offer(pairs: readonly (readonly [name: string, value: string | number])[]): void;
  /** Writes what waits. */
  close(): Promise<void>;
}

/**
 * Writes a file as virgo_kernel_analytics.conf is, `SRC=1.2.3.4,MaxNetworkBandwidth=1500`: pairs parted by commas, no line break at the end, since the original takes one for a part
 * of the last value. Whoever reads it finds all of the old or all of the new.
 */
export function createConfWriter({ path, minMs, clock, onError }: ConfWriterOptions): ConfWriter {
  let wanted = "";
  let written = "";
  let nextMs = -Infinity;
  let cancel: Cancel | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    const text = wanted;
    if (text === written) return;
    try {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
      written = text;
    } catch (error) {
      onError(error);
      await rm(`${path}.new`, { force: true }).catch(onError);
    }
  }

  function start(): void {
    cancel = undefined;
    nextMs = clock.monotonicMs() + minMs;
    writing = writing.then(write);
  }

  return {
    offer(pairs) {
      wanted = pairs.map(([name, value]) => `${name}=${value}`).join(",");
      if (wanted !== written) cancel ??= clock.after(nextMs - clock.monotonicMs(), start);
    },
    async close() {
      cancel?.();
      writing = writing.then(write);
      await writing;
    },
  };
}
