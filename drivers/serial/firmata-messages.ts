// Firmata protocol 2.x (github.com/firmata/protocol, protocol.md): "Message types", "Sysex message format", "Extended analog",
// "Analog mapping query", "Sampling interval", and servos.md.
// Values go as 7 bits a byte, the lowest first; bytes from 0x80 on begin a message.

export const MESSAGE = {
  analog: 0xe0,
  digital: 0x90,
  reportAnalog: 0xc0,
  reportDigital: 0xd0,
  setPinMode: 0xf4,
  version: 0xf9,
  startSysex: 0xf0,
  endSysex: 0xf7,
} as const;

export const SYSEX = {
  analogMappingQuery: 0x69,
  analogMappingResponse: 0x6a,
  capabilityQuery: 0x6b,
  capabilityResponse: 0x6c,
  extendedAnalog: 0x6f,
  servoConfig: 0x70,
  firmware: 0x79,
  samplingInterval: 0x7a,
} as const;

export const MODE = { input: 0, output: 1, analog: 2, pwm: 3, servo: 4, pullup: 0x0b } as const;

/** Ends a pin in the answer to the capability query. */
const PIN_END = 0x7f;

/** The analog message has four bits for the pin, and two bytes for the value. */
const SHORT_ANALOG_PINS = 16;
const SHORT_ANALOG_VALUES = 1 << 14;

/** A port is eight pins. */
export const PORT_PINS = 8;

export const VERSION_REQUEST = Uint8Array.of(MESSAGE.version);
export const CAPABILITY_REQUEST = Uint8Array.of(MESSAGE.startSysex, SYSEX.capabilityQuery, MESSAGE.endSysex);
export const ANALOG_MAPPING_REQUEST = Uint8Array.of(MESSAGE.startSysex, SYSEX.analogMappingQuery, MESSAGE.endSysex);

export function pinModeMessage(pin: number, mode: number): Uint8Array {
  return Uint8Array.of(MESSAGE.setPinMode, pin, mode);
}

/** The levels of a port's outputs, one bit a pin. */
export function digitalMessage(port: number, levels: number): Uint8Array {
  return Uint8Array.of(MESSAGE.digital | port, levels & 0x7f, (levels >> 7) & 0x7f);
}

export function reportDigitalMessage(port: number, on: boolean): Uint8Array {
  return Uint8Array.of(MESSAGE.reportDigital | port, on ? 1 : 0);
}

export function reportAnalogMessage(channel: number, on: boolean): Uint8Array {
  return Uint8Array.of(MESSAGE.reportAnalog | channel, on ? 1 : 0);
}

/** Between two reports of the analog inputs, milliseconds. */
export function samplingMessage(ms: number): Uint8Array {
  return Uint8Array.of(MESSAGE.startSysex, SYSEX.samplingInterval, ms & 0x7f, ms >> 7, MESSAGE.endSysex);
}

/** A duty, or a servo's pulse in microseconds. */
export function analogMessage(pin: number, value: number): Uint8Array {
  if (pin < SHORT_ANALOG_PINS && value < SHORT_ANALOG_VALUES) {
    return Uint8Array.of(MESSAGE.analog | pin, value & 0x7f, value >> 7);
  }
  const { startSysex, endSysex } = MESSAGE;
  return Uint8Array.of(startSysex, SYSEX.extendedAnalog, pin, value & 0x7f, (value >> 7) & 0x7f, (value >> 14) & 0x7f, endSysex);
}

/** The shortest and the longest pulse, microseconds; it also makes the pin a servo's. */
export function servoConfigMessage(pin: number, minUs: number, maxUs: number): Uint8Array {
  const { startSysex, endSysex } = MESSAGE;
  return Uint8Array.of(startSysex, SYSEX.servoConfig, pin, minUs & 0x7f, minUs >> 7, maxUs & 0x7f, maxUs >> 7, endSysex);
}

/** Of one pin: the resolution in bits by mode. */
export type PinModes = ReadonlyMap<number, number>;

/** From the answer to the capability query, one entry a pin; undefined when it ends within one. */
export function capabilitiesOf(answer: Uint8Array): readonly PinModes[] | undefined {
  const pins: PinModes[] = [];
  let modes = new Map<number, number>();
  for (let at = 0; at < answer.length; at++) {
    const mode = answer[at] as number;
    if (mode === PIN_END) {
      pins.push(modes);
      modes = new Map();
      continue;
    }
    at += 1;
    const bits = answer[at];
    if (bits === undefined || bits === PIN_END) return undefined;
    modes.set(mode, bits);
  }
  return modes.size === 0 && pins.length > 0 ? pins : undefined;
}
