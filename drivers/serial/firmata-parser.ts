import { MESSAGE } from "./firmata-messages.ts";

/** The capabilities of a board with 70 pins and ten modes each take about 1500 bytes. */
const MAX_SYSEX_BYTES = 4096;

/** What an Arduino tells. */
export interface FirmataListener {
  version(major: number, minor: number): void;
  /** The levels of a port's inputs, one bit a pin. */
  digital(port: number, levels: number): void;
  analog(channel: number, value: number): void;
  /** `data` is only valid during the call. */
  sysex(command: number, data: Uint8Array): void;
}

/** Finds messages in bytes that arrive in pieces of any size. */
export interface FirmataParser {
  push(bytes: Uint8Array): void;
  restart(): void;
  /** Messages that another began within, or that were too long. */
  readonly broken: number;
}

export function createFirmataParser(listener: FirmataListener): FirmataParser {
  const sysex = new Uint8Array(MAX_SYSEX_BYTES);
  /** The message under way; 0 between messages. */
  let command = 0;
  let first = -1;
  let held = 0;
  let broken = 0;

  function begin(byte: number): void {
    if (command !== 0) broken += 1;
    const kind = byte < MESSAGE.startSysex ? byte & 0xf0 : byte;
    const known = kind === MESSAGE.digital || kind === MESSAGE.analog || kind === MESSAGE.version || kind === MESSAGE.startSysex;
    command = known ? byte : 0;
    first = -1;
    held = 0;
  }

  function endSysex(): void {
    if (command !== MESSAGE.startSysex) {
      begin(MESSAGE.endSysex);
      return;
    }
    command = 0;
    if (held > 0) listener.sysex(sysex[0] as number, sysex.subarray(1, held));
  }

  function takeSysex(byte: number): void {
    if (held === MAX_SYSEX_BYTES) {
      broken += 1;
      command = 0;
      return;
    }
    sysex[held] = byte;
    held += 1;
  }

  function takeShort(byte: number): void {
    if (first < 0) {
      first = byte;
      return;
    }
    const whole = command;
    command = 0;
    if (whole === MESSAGE.version) listener.version(first, byte);
    else if ((whole & 0xf0) === MESSAGE.digital) listener.digital(whole & 0x0f, first | (byte << 7));
    else listener.analog(whole & 0x0f, first | (byte << 7));
  }

  return {
    push(bytes) {
      for (const byte of bytes) {
        if (byte === MESSAGE.endSysex) endSysex();
        else if (byte >= 0x80) begin(byte);
        else if (command === MESSAGE.startSysex) takeSysex(byte);
        else if (command !== 0) takeShort(byte);
      }
    },
    restart() {
      command = 0;
      held = 0;
      first = -1;
    },
    get broken() {
      return broken;
    },
  };
}
