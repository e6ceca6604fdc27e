import { AgentError } from "../contract/errors.ts";
import type { ByteString } from "../contract/request.ts";
import type { VariableValue } from "../contract/variable.ts";

/**
 * Numbers, words and values of variables as bytes, for what both processes tell each other all the time: the events of a turn, or its changed variables, are
 * one bulk string. Numbers are in the machine's own order, as both ends are on it.
 */
export interface RecordWriter {
  /** Bytes written and not taken. */
  readonly length: number;
  number(value: number): void;
  /** Text that is likely to come again: from the second time on it costs four bytes. */
  word(text: string): void;
  value(value: VariableValue): void;
  /** What was written, one character per byte. */
  take(): ByteString;
  /** Whoever reads has forgotten the words. */
  restart(): void;
}

/** Reads what a `RecordWriter` wrote; every writer has its reader. Throws SYNTAX for bytes that none wrote. */
export interface RecordReader {
  open(bytes: ByteString): void;
  /** Everything was read. */
  readonly done: boolean;
  number(): number;
  word(): string;
  value(): VariableValue;
}

/** Words both ends remember; when there are more, both begin anew. */
const KEPT_WORDS = 4096;
const KEPT_WORD_CHARACTERS = 64;

/** Of a word's number: it is new, its text follows. */
const NEW = 0x8000_0000;
/** Instead of a number: text follows that is not remembered. */
const UNKEPT = 0xffff_ffff;

const MAX_UTF8_BYTES = 3;
const BYTES_PER_NUMBER = 8;

/** What a value is, in one byte before it. */
const NUMBER = 0;
const FALSE = 1;
const TRUE = 2;
const TEXT = 3;
const LIST = 4;

export function createRecordWriter(): RecordWriter {
  const words = new Map<string, number>();
  let bytes = Buffer.allocUnsafeSlow(1024);
  let length = 0;

  /** Makes room; returns where to write. */
  function claim(count: number): number {
    const at = length;
    length += count;
    if (length > bytes.length) {
      const grown = Buffer.allocUnsafeSlow(2 * length);
      bytes.copy(grown, 0, 0, at);
      bytes = grown;
    }
    return at;
  }

  /** `claim` may change `bytes`, so it comes first everywhere. */
  function code(value: number): void {
    const at = claim(4);
    bytes.writeUInt32LE(value, at);
  }

  function text(value: string): void {
    const most = value.length * MAX_UTF8_BYTES;
    const at = claim(4 + most);
    const written = bytes.write(value, at + 4, "utf8");
    bytes.writeUInt32LE(written, at);
    length -= most - written;
  }

  function newWord(value: string): void {
    if (value.length > KEPT_WORD_CHARACTERS) {
      code(UNKEPT);
    } else {
      if (words.size === KEPT_WORDS) words.clear();
      code(NEW + words.size);
      words.set(value, words.size);
    }
    text(value);
  }

  function list(values: readonly number[]): void {
    const count = values.length;
    const at = claim(4 + count * BYTES_PER_NUMBER);
    bytes.writeUInt32LE(count, at);
    const numbers = Float64Array.from(values);
    bytes.set(new Uint8Array(numbers.buffer), at + 4);
  }

  function tag(kind: number): void {
    const at = claim(1);
    bytes[at] = kind;
  }

  function number(value: number): void {
    const at = claim(BYTES_PER_NUMBER);
    bytes.writeDoubleLE(value, at);
  }

  return {
    get length() {
      return length;
    },
    number,
    word(value) {
      const known = words.get(value);
      if (known === undefined) {
        newWord(value);
        return;
      }
      code(known);
    },
    value(value) {
      if (typeof value === "number") {
        tag(NUMBER);
        number(value);
      } else if (typeof value === "boolean") {
        tag(value ? TRUE : FALSE);
      } else if (typeof value === "string") {
        tag(TEXT);
        text(value);
      } else {
        tag(LIST);
        list(value);
      }
    },
    take() {
      const taken = bytes.toString("latin1", 0, length);
      length = 0;
      return taken;
    },
    restart() {
      words.clear();
      length = 0;
    },
  };
}

export function createRecordReader(): RecordReader {
  const words: string[] = [];
  let bytes = Buffer.alloc(0);
  let next = 0;

  /** Where `count` bytes are to be read. */
  function use(count: number): number {
    const at = next;
    next += count;
    if (next > bytes.length) throw new AgentError("SYNTAX", `records of ${bytes.length} bytes end within one`);
    return at;
  }

  function text(): string {
    const count = bytes.readUInt32LE(use(4));
    const at = use(count);
    return bytes.toString("utf8", at, at + count);
  }

  function list(): readonly number[] {
    const count = bytes.readUInt32LE(use(4));
    const at = use(count * BYTES_PER_NUMBER);
    // Copied, since numbers must start at a multiple of their size.
    const numbers = new Float64Array(Uint8Array.prototype.slice.call(bytes, at, next).buffer);
    const values: number[] = [];
    for (let i = 0; i < count; i++) values.push(numbers[i] as number);
    return values;
  }

  function number(): number {
    const at = use(BYTES_PER_NUMBER);
    return bytes.readDoubleLE(at);
  }

  return {
    open(blob) {
      bytes = Buffer.from(blob, "latin1");
      next = 0;
    },
    get done() {
      return next === bytes.length;
    },
    number,
    word() {
      const code = bytes.readUInt32LE(use(4));
      if (code === UNKEPT) return text();
      if (code >= NEW) {
        const fresh = text();
        if (code - NEW >= KEPT_WORDS) throw new AgentError("SYNTAX", `word ${code - NEW} is beyond the ${KEPT_WORDS} that are kept`);
        words[code - NEW] = fresh;
        return fresh;
      }
      const known = words[code];
      if (known === undefined) throw new AgentError("SYNTAX", `word ${code} was never said`);
      return known;
    },
    value() {
      const kind = bytes[use(1)];
      switch (kind) {
        case NUMBER:
          return number();
        case FALSE:
          return false;
        case TRUE:
          return true;
        case TEXT:
          return text();
        case LIST:
          return list();
        default:
          throw new AgentError("SYNTAX", `there is no value of kind ${kind ?? ""}`);
      }
    },
  };
}
