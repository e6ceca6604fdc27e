// SLAMTEC LR001, "RPLIDAR A-series interface protocol and application notes": request and response packets, table of requests.
const SYNC = 0xa5;
const DESCRIPTOR_SYNC = 0x5a;
const DESCRIPTOR_BYTES = 7;

/** The longest single answer, that to GET_INFO, is 20 bytes. */
const MAX_ANSWER_BYTES = 64;

/** In the two highest bits of a descriptor's length: answers go on until STOP. */
const MULTIPLE = 0x4000_0000;
const LENGTH_MASK = 0x3fff_ffff;

const SET_MOTOR_PWM = 0xf0;

/** Requests without payload. After STOP and RESET nothing is answered. */
export const REQUEST = {
  stop: Uint8Array.of(SYNC, 0x25),
  reset: Uint8Array.of(SYNC, 0x40),
  scan: Uint8Array.of(SYNC, 0x20),
  info: Uint8Array.of(SYNC, 0x50),
  health: Uint8Array.of(SYNC, 0x52),
} as const;

/** The data type in the descriptor of the answer. */
export const ANSWER = { info: 0x04, health: 0x06, scan: 0x81 } as const;

/** Duty of the motor's control input on the adapter board of A2 and A3, 0 to 1023; 0 stops it. The A1's adapter does not know the request. */
export function motorRequest(pwm: number): Uint8Array {
  const packet = Uint8Array.of(SYNC, SET_MOTOR_PWM, 2, pwm & 0xff, pwm >> 8, 0);
  packet[5] = packet.reduce((sum, byte) => sum ^ byte, 0);
  return packet;
}

/** What it says of itself. */
export interface ScannerInfo {
  readonly model: number;
  /** `1.29` */
  readonly firmware: string;
  readonly hardware: number;
  /** 32 hexadecimal digits. */
  readonly serial: string;
}

export interface ScannerHealth {
  readonly status: "good" | "warning" | "error";
  readonly code: number;
}

/** From the 20 bytes of the answer to GET_INFO; undefined for another number of them. */
export function infoOf(answer: Uint8Array): ScannerInfo | undefined {
  const [model, minor, major, hardware] = answer;
  if (answer.length !== 20 || model === undefined || minor === undefined || major === undefined || hardware === undefined) return undefined;
  const serial = [...answer.subarray(4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { model, firmware: `${major}.${String(minor).padStart(2, "0")}`, hardware, serial };
}

/** From the 3 bytes of the answer to GET_HEALTH; undefined for another number of them, and for a status there is none of. */
export function healthOf(answer: Uint8Array): ScannerHealth | undefined {
  const [status, low, high] = answer;
  if (answer.length !== 3 || status === undefined || low === undefined || high === undefined) return undefined;
  const word = (["good", "warning", "error"] as const)[status];
  return word === undefined ? undefined : { status: word, code: low | (high << 8) };
}

/** Finds answers in bytes that arrive in pieces of any size, whatever is between them: after RESET a scanner also writes text. */
export interface AnswerReader {
  /**
   * Answers how many of the bytes it took: all of them, unless a descriptor of answers that go on ended among them, whose nodes follow. `onAnswer` is
   * told of that one without bytes.
   */
  push(bytes: Uint8Array): number;
  restart(): void;
}

/** `bytes` are only valid during the call. */
export type AnswerListener = (type: number, bytes: Uint8Array) => void;

export function createAnswerReader(onAnswer: AnswerListener): AnswerReader {
  const packet = new Uint8Array(DESCRIPTOR_BYTES + MAX_ANSWER_BYTES);
  const view = new DataView(packet.buffer);
  let held = 0;
  let needed = DESCRIPTOR_BYTES;

  function restart(): void {
    held = 0;
    needed = DESCRIPTOR_BYTES;
  }

  /** What is held cannot begin a descriptor: goes on at the next byte that can. */
  function keepFromSync(): void {
    let from = 1;
    while (from < held && !(packet[from] === SYNC && (from + 1 === held || packet[from + 1] === DESCRIPTOR_SYNC))) from += 1;
    packet.copyWithin(0, from, held);
    held -= from;
  }

  /** True when answers that go on begin. */
  function readDescriptor(): boolean {
    const lengthAndMode = view.getUint32(2, true);
    const length = lengthAndMode & LENGTH_MASK;
    if ((lengthAndMode & ~LENGTH_MASK) === MULTIPLE) {
      const type = packet[6] as number;
      restart();
      onAnswer(type, packet.subarray(0, 0));
      return true;
    }
    if (lengthAndMode > MAX_ANSWER_BYTES || length === 0) keepFromSync();
    else needed = DESCRIPTOR_BYTES + length;
    return false;
  }

  function readAnswer(): void {
    const end = needed;
    restart();
    onAnswer(packet[6] as number, packet.subarray(DESCRIPTOR_BYTES, end));
  }

  return {
    push(bytes) {
      for (let i = 0; i < bytes.length; i++) {
        packet[held] = bytes[i] as number;
        held += 1;
        if (held === 1 && packet[0] !== SYNC) held = 0;
        else if (held === 2 && packet[1] !== DESCRIPTOR_SYNC) keepFromSync();
        else if (held < needed) continue;
        else if (needed > DESCRIPTOR_BYTES) readAnswer();
        else if (readDescriptor()) return i + 1;
      }
      return bytes.length;
    },
    restart,
  };
}
