/** The newest `limit` entries, oldest first, and how many older ones were dropped. */
export interface History<T> {
  readonly entries: readonly T[];
  readonly dropped: number;
}

/** Keeps the newest entries in place: recording into a full recorder moves nothing. */
export interface Recorder<T> {
  record(entry: T): void;
  history(): History<T>;
  clear(): void;
}

export function createRecorder<T>(limit: number): Recorder<T> {
  let ring: T[] = [];
  let recorded = 0;
  return {
    record(entry) {
      ring[recorded % limit] = entry;
      recorded += 1;
    },
    history() {
      const oldest = recorded > limit ? recorded % limit : 0;
      return { entries: [...ring.slice(oldest), ...ring.slice(0, oldest)], dropped: Math.max(0, recorded - limit) };
    },
    clear() {
      ring = [];
      recorded = 0;
    },
  };
}
