export interface LineSplitterOptions {
  /** Without line break; longer ones are dropped and counted. */
  readonly maxLineBytes: number;
  /** Without line break. */
  readonly onLine: (line: string) => void;
  readonly counts: { tooLong: number; torn: number };
}

export interface LineSplitter {
  /** Takes bytes as they come, cut anywhere. */
  push(bytes: Buffer): void;
  /** What comes next has nothing to do with what came: half a line is dropped and counted. */
  restart(): void;
}

const LINE_FEED = 0x0a;

/** Bytes to lines; keeps no more than one line that is not complete. */
export function createLineSplitter({ maxLineBytes, onLine, counts }: LineSplitterOptions): LineSplitter {
  const carry = Buffer.alloc(maxLineBytes);
  let carried = 0;
  let dropping = false;

  function keep(bytes: Buffer, from: number, end: number): void {
    if (dropping) return;
    if (carried + end - from > maxLineBytes) {
      counts.tooLong += 1;
      dropping = true;
      return;
    }
    bytes.copy(carry, carried, from, end);
    carried += end - from;
  }

  function complete(bytes: Buffer, from: number, end: number): void {
    if (carried === 0 && !dropping && end - from <= maxLineBytes) onLine(bytes.toString("utf8", from, end));
    else {
      keep(bytes, from, end);
      if (!dropping) onLine(carry.toString("utf8", 0, carried));
    }
    carried = 0;
    dropping = false;
  }

  return {
    push(bytes) {
      let from = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, from)) {
        complete(bytes, from, end);
        from = end + 1;
      }
      keep(bytes, from, bytes.length);
    },
    restart() {
      if (carried > 0 && !dropping) counts.torn += 1;
      carried = 0;
      dropping = false;
    },
  };
}
