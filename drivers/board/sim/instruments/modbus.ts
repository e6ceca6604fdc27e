import type { SimInstrument } from "../serial.ts";

/** Instruments on a simulated Modbus RTU line. Their registers are there as they are on the line; one that was never set is an illegal address. */
export interface SimModbus extends SimInstrument {
  /** Holding and input registers, coils and discrete inputs by `unit/kind/address`: `1/holding/0`; a coil is 0 or 1. */
  readonly values: Map<string, number>;
  /** Requests with the right CRC so far. */
  requests(): number;
  /** Answers every request with this exception; 0: as it should. */
  setException(code: number): void;
  /** Whether it answers at all. */
  setMute(mute: boolean): void;
}

const READ_KINDS: Readonly<Record<number, string>> = { 1: "coil", 2: "discrete", 3: "holding", 4: "input" };

/** CRC-16 with the polynomial 0xA001, bit by bit (MODBUS over Serial Line V1.02, appendix B). */
function crcOf(bytes: readonly number[]): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  }
  return crc;
}

export function modbusFrame(body: readonly number[]): Uint8Array {
  const crc = crcOf(body);
  return Uint8Array.from([...body, crc & 0xff, crc >> 8]);
}

export function createSimModbus(): SimModbus {
  const values = new Map<string, number>();
  let requests = 0;
  let exception = 0;
  let mute = false;

  function word(bytes: readonly number[], at: number): number {
    return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }

  function readReply(unit: number, code: number, kind: string, address: number, count: number): readonly number[] {
    const found = Array.from({ length: count }, (_, i) => values.get(`${unit}/${kind}/${address + i}`));
    if (found.includes(undefined)) return [unit, code | 0x80, 2];
    if (code >= 3) return [unit, code, count * 2, ...found.flatMap((one = 0) => [one >> 8, one & 0xff])];
    const bytes = Array.from({ length: Math.ceil(count / 8) }, () => 0);
    found.forEach((bit = 0, i) => {
      bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (bit << (i & 7));
    });
    return [unit, code, bytes.length, ...bytes];
  }

  function writeReply(bytes: readonly number[]): readonly number[] {
    const [unit = 0, code = 0] = bytes;
    const address = word(bytes, 2);
    const kind = code === 5 ? "coil" : "holding";
    const count = code === 16 ? word(bytes, 4) : 1;
    for (let i = 0; i < count; i++) if (!values.has(`${unit}/${kind}/${address + i}`)) return [unit, code | 0x80, 2];
    for (let i = 0; i < count; i++) {
      const value = code === 16 ? word(bytes, 7 + i * 2) : word(bytes, 4);
      values.set(`${unit}/${kind}/${address + i}`, code === 5 ? Number(value === 0xff00) : value);
    }
    return bytes.slice(0, 6);
  }

  function replyTo(bytes: readonly number[]): readonly number[] {
    const [unit = 0, code = 0] = bytes;
    if (exception !== 0) return [unit, code | 0x80, exception];
    const kind = READ_KINDS[code];
    if (kind !== undefined) return readReply(unit, code, kind, word(bytes, 2), word(bytes, 4));
    if (code === 5 || code === 6 || code === 16) return writeReply(bytes);
    return [unit, code | 0x80, 1];
  }

  return {
    values,
    requests: () => requests,
    setException(code) {
      exception = code;
    },
    setMute(next) {
      mute = next;
    },
    start: ({ send }) => ({
      receive(frame) {
        const body = [...frame.subarray(0, -2)];
        const isWhole = Buffer.compare(modbusFrame(body), frame) === 0;
        if (!isWhole || mute) return;
        requests += 1;
        send(modbusFrame(replyTo(body)));
      },
      stop: () => undefined,
    }),
  };
}
