import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument, SimSerialLine } from "../serial.ts";

/** Told an angle in degrees, clockwise from the scanner's front; answers metres, 0 for no echo. */
export type SimSurroundings = (angleDeg: number) => number;

/** An RPLIDAR of the A series on the simulated board. */
export interface SimRplidar extends SimInstrument {
  see(surroundings: SimSurroundings): void;
  /** 0 good, 1 warning, 2 error. */
  health(status: number, code: number): void;
  /** The head stands still: nodes go on, at one angle. */
  stall(stalled: boolean): void;
  /** Answers nothing any more. */
  deafen(deaf: boolean): void;
  readonly scanning: boolean;
  /** Duty it was last asked for with SET_MOTOR_PWM. */
  readonly motorPwm: number | undefined;
}

export interface SimRplidarOptions {
  readonly turnHz?: number;
  readonly nodesPerTurn?: number;
}

/** Nodes are sent together this often, milliseconds. */
const BATCH_MS = 10;
const NODE_BYTES = 5;
const INFO = [0x18, 29, 1, 7, ...Array.from({ length: 16 }, (_, i) => i)];

/** One node as it is sent (SLAMTEC LR001, "Start scan request and response"). */
export function rplidarNode(angleDeg: number, distanceM: number, start: boolean): Uint8Array {
  const node = new Uint8Array(NODE_BYTES);
  writeNode(node, 0, angleDeg, distanceM, start);
  return node;
}

/** Writes one node at `at`. */
export function writeNode(bytes: Uint8Array, at: number, angleDeg: number, distanceM: number, start: boolean): void {
  const angle = Math.round(angleDeg * 64);
  const distance = Math.round(distanceM * 4000);
  const quality = distance === 0 ? 0 : 15;
  bytes[at] = (quality << 2) | (start ? 0b01 : 0b10);
  bytes[at + 1] = ((angle & 0x7f) << 1) | 1;
  bytes[at + 2] = angle >> 7;
  bytes[at + 3] = distance & 0xff;
  bytes[at + 4] = distance >> 8;
}

function descriptor(length: number, type: number, multiple: boolean): readonly number[] {
  return [0xa5, 0x5a, length, 0, 0, multiple ? 0x40 : 0, type];
}

export function createSimRplidar({ turnHz = 10, nodesPerTurn = 360 }: SimRplidarOptions = {}): SimRplidar {
  let surroundings: SimSurroundings = () => 1;
  let status = 0;
  let code = 0;
  let stalled = false;
  let deaf = false;
  let scanning = false;
  let motorPwm: number | undefined;

  function power(line: SimSerialLine) {
    const { clock } = line;
    let cancel: Cancel | undefined;
    let startMs = 0;
    let sent = 0;
    let sinceStart = 0;

    function nextNode(bytes: Uint8Array, at: number): void {
      const angleDeg = stalled ? 123 : (sinceStart * 360) / nodesPerTurn;
      writeNode(bytes, at, angleDeg, surroundings(angleDeg), sinceStart === 0 && !stalled);
      sinceStart = (sinceStart + 1) % nodesPerTurn;
    }

    function sendDue(): void {
      cancel = clock.after(BATCH_MS, sendDue);
      const due = Math.floor(((clock.monotonicMs() - startMs) / 1000) * turnHz * nodesPerTurn) - sent;
      sent += due;
      const bytes = new Uint8Array(due * NODE_BYTES);
      for (let i = 0; i < due; i++) nextNode(bytes, i * NODE_BYTES);
      line.send(bytes);
    }

    function scan(): void {
      cancel?.();
      startMs = clock.monotonicMs();
      sent = 0;
      sinceStart = 0;
      scanning = true;
      cancel = clock.after(BATCH_MS, sendDue);
      line.send(Uint8Array.from(descriptor(NODE_BYTES, 0x81, true)));
    }

    function halt(): void {
      cancel?.();
      scanning = false;
    }

    function answer(request: number, payload: Uint8Array): void {
      if (request === 0x25) halt();
      else if (request === 0x20) scan();
      else if (request === 0x50) line.send(Uint8Array.from([...descriptor(INFO.length, 0x04, false), ...INFO]));
      else if (request === 0x52) line.send(Uint8Array.from([...descriptor(3, 0x06, false), status, code & 0xff, code >> 8]));
      else if (request === 0xf0) motorPwm = (payload[3] ?? 0) | ((payload[4] ?? 0) << 8);
    }

    return {
      receive(bytes: Uint8Array) {
        if (deaf) return;
        for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0xa5) answer(bytes[at + 1] ?? 0, bytes.subarray(at));
      },
      stop: halt,
    };
  }

  return {
    start: power,
    see(next) {
      surroundings = next;
    },
    health(nextStatus, nextCode) {
      status = nextStatus;
      code = nextCode;
    },
    stall(next) {
      stalled = next;
    },
    deafen(next) {
      deaf = next;
    },
    get scanning() {
      return scanning;
    },
    get motorPwm() {
      return motorPwm;
    },
  };
}
