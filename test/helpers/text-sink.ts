import type { ByteSink } from "../../agent/wire/codec.ts";

/** A sink whose bytes can be looked at, one character per byte. */
export interface TextSink extends ByteSink {
  /** What was written since the last call. */
  take(): string;
}

export function createTextSink(): TextSink {
  let text = "";
  return {
    latin1(bytes) {
      text += bytes;
    },
    bytes(bytes) {
      text += Buffer.from(bytes).toString("latin1");
    },
    take() {
      const taken = text;
      text = "";
      return taken;
    },
  };
}
