import type { ByteSink } from "./wire/codec.ts";

/** The bytes of one reply at a time: emptied right after it was written to. */
export interface TakingSink extends ByteSink {
  take(): string;
}

export function createTakingSink(): TakingSink {
  let taken = "";
  return {
    latin1(bytes) {
      taken += bytes;
    },
    bytes(bytes) {
      taken += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    },
    take() {
      const bytes = taken;
      taken = "";
      return bytes;
    },
  };
}
