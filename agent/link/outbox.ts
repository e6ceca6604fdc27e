import type { Writable } from "node:stream";

import type { ByteString } from "../contract/request.ts";

/** What leaves over one stream: the messages of one turn in one write, and none while the peer does not read. */
export interface Outbox {
  /** Bytes of messages that wait here because the peer does not read. */
  readonly heldBytes: number;
  /** The peer does not read. */
  readonly congested: boolean;
  /** Calls among the messages that have not been written. */
  readonly unsentCalls: number;
  /** Puts a message behind the others; it leaves when the turn ends. */
  add(message: ByteString): void;
  /** The same for a call, which is counted. */
  addCall(message: ByteString): void;
  /** Writes what there is and what `OutboxEvents` add to it. */
  readonly flush: () => void;
  flushLater(): void;
  /** Writes a message at once, before all that wait. */
  overtake(message: ByteString): void;
  /** Drops what was not written. */
  close(): void;
}

export interface OutboxEvents {
  /** Messages that belong before those gathered so far; empty for none. */
  before(): ByteString;
  /** Messages to add now that the peer reads, conflated until then; empty for none. */
  after(): ByteString;
  /** The peer reads again, and everything was written. */
  drained(): void;
}

/** As much as is written at once: what overtakes has to wait for no more than this. */
const PART_BYTES = 64 * 1024;

interface Part {
  readonly text: ByteString;
  readonly calls: number;
}

export function createOutbox(stream: Writable, events: OutboxEvents): Outbox {
  let parts: Part[] = [];
  let partBytes = 0;
  let text = "";
  let calls = 0;
  let partCalls = 0;
  let congested = false;
  let scheduled = false;
  let closed = false;

  /** Makes what was gathered a part that is written as a whole. */
  function seal(): void {
    const whole = events.before() + text;
    if (whole === "") return;
    parts.push({ text: whole, calls });
    partBytes += whole.length;
    partCalls += calls;
    text = "";
    calls = 0;
  }

  function write(bytes: ByteString): void {
    if (!stream.write(bytes, "latin1")) congested = true;
  }

  /** Writes the parts, as far as the peer reads. */
  function writeParts(): void {
    let written = 0;
    while (written < parts.length && !congested) {
      const part = parts[written] as Part;
      written += 1;
      partBytes -= part.text.length;
      partCalls -= part.calls;
      write(part.text);
    }
    if (written > 0) parts = parts.slice(written);
  }

  /** Whether everything was written. */
  function flush(): boolean {
    if (closed) return false;
    writeParts();
    if (congested) return false;
    const whole = events.before() + text + events.after();
    text = "";
    calls = 0;
    if (whole !== "") write(whole);
    return true;
  }

  function flushLater(): void {
    if (scheduled || closed) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      flush();
    });
  }

  function add(message: ByteString): void {
    text += message;
    if (text.length > PART_BYTES) seal();
    flushLater();
  }

  stream.on("drain", () => {
    congested = false;
    if (flush()) events.drained();
  });

  return {
    get heldBytes() {
      return partBytes + text.length;
    },
    get congested() {
      return congested;
    },
    get unsentCalls() {
      return partCalls + calls;
    },
    add,
    addCall(message) {
      calls += 1;
      add(message);
    },
    flush,
    flushLater,
    overtake(message) {
      if (!closed) write(message);
    },
    close() {
      closed = true;
      parts = [];
      partBytes = 0;
      partCalls = 0;
      text = "";
      calls = 0;
    },
  };
}
