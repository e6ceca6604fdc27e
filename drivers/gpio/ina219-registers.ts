/** INA219, Texas Instruments SBOS448G: table 2 (registers), 8.6.2.1 (configuration), 8.5.1 (calibration), 8.6.3 (data). */
export const REGISTER = { config: 0, shunt: 1, bus: 2, power: 3, current: 4, calibration: 5 } as const;

/** Bus voltage range of 32 V, instead of 16 V. */
const BRNG_32V = 1 << 13;

/** Shunt and bus, continuously. */
const MODE_CONTINUOUS = 0b111;

/** Averages of 1 to 128 samples of 12 bits; their codes in BADC and SADC (table 5). */
const AVERAGING_CODES: Readonly<Record<number, number>> = { 1: 0x8, 2: 0x9, 4: 0xa, 8: 0xb, 16: 0xc, 32: 0xd, 64: 0xe, 128: 0xf };

/** One conversion of 12 bits at most, milliseconds (7.5, 586 µs). */
const CONVERSION_MS = 0.586;

/** Full scale of the shunt voltage with the gain at 1, volts; each step of the gain doubles it (table 4). */
const SHUNT_FULL_SCALE_V = 0.04;

const BUS_LSB_V = 0.004;
const SHUNT_LSB_V = 0.00001;
const SHUNT_LSB_PER_V = 100_000;

const OVERFLOW = 1;
const READY = 2;

export interface Ina219Setup {
  readonly config: number;
  readonly calibration: number;
  /** Amperes per bit of the current register; one bit of the power register is 20 times as many watts. */
  readonly currentLsbA: number;
  /** The shunt register's largest value, where the amplifier saturates. */
  readonly shuntLimit: number;
  /** How long shunt and bus take to be converted, milliseconds. */
  readonly conversionMs: number;
}

export interface Ina219Options {
  readonly shuntOhm: number;
  readonly maxCurrentA: number;
  readonly averaging: number;
  readonly busRangeV: 16 | 32;
}

/** The largest voltage across the shunt that can be measured, volts. */
export const MAX_SHUNT_V = 0.32;

/** The registers for a shunt and its largest current; undefined where that is more than `MAX_SHUNT_V`. */
export function setUpOf({ shuntOhm, maxCurrentA, averaging, busRangeV }: Ina219Options): Ina219Setup | undefined {
  const gain = [0, 1, 2, 3].find((code) => maxCurrentA * shuntOhm <= SHUNT_FULL_SCALE_V * 2 ** code + 1e-9);
  const code = AVERAGING_CODES[averaging];
  // Its lowest bit cannot be set (8.6.4.1); less than 20 mV on the shunt is measured as coarsely as 20 mV are.
  const calibration = Math.min(Math.trunc(0.04096 / ((maxCurrentA / 32_768) * shuntOhm)), 0xffff) & ~1;
  if (gain === undefined || code === undefined) return undefined;
  const range = busRangeV === 32 ? BRNG_32V : 0;
  return {
    config: range | (gain << 11) | (code << 7) | (code << 3) | MODE_CONTINUOUS,
    calibration,
    currentLsbA: 0.04096 / (calibration * shuntOhm),
    shuntLimit: SHUNT_FULL_SCALE_V * 2 ** gain * SHUNT_LSB_PER_V,
    conversionMs: 2 * averaging * CONVERSION_MS,
  };
}

export interface Ina219Reading {
  /** Whether a conversion has ended since the power register was last read. */
  readonly ready: boolean;
  /** The current, and with it the power, is more than the registers or the amplifier hold: neither means anything. */
  readonly overflow: boolean;
  readonly voltageV: number;
  readonly shuntV: number;
  readonly currentA: number;
  readonly powerW: number;
}

/** What the registers' words mean. */
export function readingOf(
  setup: Ina219Setup,
  words: { readonly bus: number; readonly shunt: number; readonly current: number; readonly power: number },
): Ina219Reading {
  const shunt = signed(words.shunt);
  const currentA = signed(words.current) * setup.currentLsbA;
  return {
    ready: (words.bus & READY) !== 0,
    overflow: (words.bus & OVERFLOW) !== 0 || Math.abs(shunt) >= setup.shuntLimit,
    voltageV: rounded((words.bus >> 3) * BUS_LSB_V),
    shuntV: rounded(shunt * SHUNT_LSB_V),
    currentA: rounded(currentA),
    // The power register has no sign.
    powerW: rounded(words.power * 20 * setup.currentLsbA * (currentA < 0 ? -1 : 1)),
  };
}

function signed(word: number): number {
  return word >= 0x8000 ? word - 0x1_0000 : word;
}

/** To a millionth: finer than the chip, and without the noise of binary fractions. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
