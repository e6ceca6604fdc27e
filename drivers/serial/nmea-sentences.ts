/** What came and what became of it. */
export interface NmeaCounters {
  /** Sentences with the right checksum. */
  readonly sentences: number;
  readonly badChecksums: number;
  /** Bytes that belong to no sentence: noise, halves of sentences, what is too long. */
  readonly garbageBytes: number;
}

export interface NmeaDecoder {
  push(bytes: Uint8Array): void;
  /** Forgets what was under way. */
  restart(): void;
  counters(): NmeaCounters;
}

const DOLLAR = 0x24;
const STAR = 0x2a;
const CR = 0x0d;
const LF = 0x0a;

/** `$…*hh`, where hh is the exclusive or of the bytes between `$` and `*`, and all of them print (NMEA 0183, 5.2.2 and 5.3). */
function checksumOf(sentence: string): "right" | "wrong" | "none" {
  const star = sentence.length - 3;
  if (sentence.charCodeAt(star) !== STAR || !/^[0-9A-F]{2}$/i.test(sentence.slice(star + 1))) return "none";
  let sum = 0;
  for (let i = 1; i < star; i++) sum ^= sentence.charCodeAt(i);
  return sum === parseInt(sentence.slice(star + 1), 16) ? "right" : "wrong";
}

/** Finds the sentences among the bytes. One without a checksum, or longer than `maxBytes` from `$` to `*hh`, is garbage. */
export function createNmeaDecoder(maxBytes: number, sentence: (text: string) => void): NmeaDecoder {
  const line = Buffer.alloc(maxBytes);
  let length = 0;
  let sentences = 0;
  let badChecksums = 0;
  let garbageBytes = 0;

  function end(): void {
    const text = line.toString("latin1", 0, length);
    length = 0;
    const checksum = checksumOf(text);
    if (checksum === "none") {
      garbageBytes += text.length;
    } else if (checksum === "wrong") {
      badChecksums += 1;
    } else {
      sentences += 1;
      sentence(text);
    }
  }

  function drop(): void {
    garbageBytes += length;
    length = 0;
  }

  function take(byte: number): void {
    if (byte === DOLLAR) {
      drop();
      line[0] = byte;
      length = 1;
    } else if (byte === CR || byte === LF) {
      if (length > 0) end();
    } else if (length === 0) {
      garbageBytes += 1;
    } else if (length === maxBytes || byte < 0x20 || byte > 0x7e) {
      drop();
      garbageBytes += 1;
    } else {
      line[length] = byte;
      length += 1;
    }
  }

  return {
    push(bytes) {
      for (const byte of bytes) take(byte);
    },
    restart: drop,
    counters: () => ({ sentences, badChecksums, garbageBytes }),
  };
}
