import type { Socket } from "node:net";

import { linesText } from "./lines.ts";
import type { Variable } from "../../agent/contract/variable.ts";
import type { Selection } from "./selection.ts";
import type { SinkCounts } from "./sink.ts";

/** The way to one reader. */
export interface Outlet {
  /** `text` is the lines of `batch`. */
  offer(batch: readonly Variable[], text: Buffer): void;
  /** What was never taken counts as dropped. */
  close(): void;
}

/**
 * Writes lines to a socket as long as no more than `maxBacklogBytes` wait in it. Of a reader that is slower only the names of what it misses are kept, and when it has taken
 * what waits it gets their latest values: it blocks nobody and takes no more memory.
 */
export function createOutlet(socket: Socket, selection: Pick<Selection, "latest">, maxBacklogBytes: number, counts: SinkCounts): Outlet {
  const missed = new Set<string>();
  let behind = false;

  function write(text: Buffer, lines: number): void {
    counts.lines += lines;
    counts.bytes += text.length;
    if (!socket.write(text) && socket.writableLength >= maxBacklogBytes) behind = true;
  }

  function miss(batch: readonly Variable[]): void {
    for (const { name } of batch) {
      if (missed.has(name)) counts.dropped += 1;
      else missed.add(name);
    }
  }

  function catchUp(): void {
    if (!behind || socket.destroyed) return;
    behind = false;
    const batch = [...missed].flatMap((name) => selection.latest(name) ?? []);
    counts.dropped += missed.size - batch.length;
    missed.clear();
    if (batch.length > 0) write(Buffer.from(linesText(batch)), batch.length);
  }

  socket.on("drain", catchUp);
  return {
    offer(batch, text) {
      if (behind) miss(batch);
      else write(text, batch.length);
    },
    close() {
      counts.dropped += missed.size;
      missed.clear();
    },
  };
}
