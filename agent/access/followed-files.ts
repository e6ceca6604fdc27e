import { stat } from "node:fs/promises";

import type { Cancel, Clock } from "../contract/clock.ts";

/** Files are looked at this often; one that changed is read when it has stayed as it is until the next look. */
const LOOK_EVERY_MS = 500;

export interface FollowedFilesOptions {
  readonly files: readonly string[];
  readonly clock: Clock;
  /** Some of them changed, and are whole: nothing was written to them for a while. Must not throw. */
  readonly changed: () => void;
}

/**
 * Tells when files change: written to, replaced by renaming, or there again. It looks instead of being notified: that is the same on every file
 * system, and a file caught in the middle of being written must not count. Files that go away change nothing.
 */
export function followFiles({ files, clock, changed }: FollowedFilesOptions): Cancel {
  /** As they were when `changed` was called last; undefined before the first look, empty when one of them was not there. */
  let taken: string | undefined;
  let seen = "";
  let stopped = false;
  let cancel: Cancel = () => undefined;

  async function look(): Promise<void> {
    const now = await fingerprintOf(files);
    if (stopped) return;
    taken ??= now;
    if (now !== "" && now !== taken && now === seen) {
      taken = now;
      changed();
    }
    seen = now;
    cancel = clock.after(LOOK_EVERY_MS, () => void look());
  }

  void look();
  return () => {
    stopped = true;
    cancel();
  };
}

/** Differs whenever one of the files does; empty when one of them is not there. */
async function fingerprintOf(files: readonly string[]): Promise<string> {
  const found = await Promise.all(files.map((file) => stat(file, { bigint: true }).catch(() => undefined)));
  const prints = found.map((file) => file && `${file.dev}:${file.ino}:${file.size}:${file.mtimeNs}`);
  return prints.includes(undefined) ? "" : prints.join(" ");
}
