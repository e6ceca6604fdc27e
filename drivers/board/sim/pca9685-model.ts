import { createRegisterChip, type RegisterChip } from "./i2c.ts";

// NXP PCA9685 product data sheet, revision 4: registers in table 4, what they hold after power-on in 7.3.
const MODE1 = 0x00;
const MODE2 = 0x01;
const LED0_ON_L = 0x06;
const LED15_OFF_H = 0x45;
const ALL_LED_ON_L = 0xfa;
const ALL_LED_OFF_H = 0xfd;
const PRE_SCALE = 0xfe;

const AUTO_INCREMENT = 0x20;
const SLEEP = 0x10;
const FULL = 0x10;
const CHANNELS = 16;
const TICKS = 4096;
const OSCILLATOR_HZ = 25_000_000;

/** A PCA9685 as it behaves on the bus. */
export interface Pca9685Model extends RegisterChip {
  /** What a meter shows on the channel, 0–1. */
  dutyRatio(channel: number): number;
  periodNs(): number;
  /** Takes its power away and gives it back. */
  powerCycle(): void;
}

/** `onDuty` is called with every duty cycle that changes, at the stop condition of the transfer that changed it. */
export function createPca9685Model(onDuty: (channel: number, dutyRatio: number, periodNs: number) => void = () => undefined): Pca9685Model {
  const chip = createRegisterChip();
  const { registers } = chip;
  const shown = new Float64Array(CHANNELS);

  function powerUp(): void {
    registers.fill(0);
    registers[MODE1] = 0x11;
    registers[MODE2] = 0x04;
    registers[PRE_SCALE] = 0x1e;
    for (let channel = 0; channel < CHANNELS; channel++) registers[LED0_ON_L + 4 * channel + 3] = FULL;
  }

  function at(register: number): number {
    return registers[register] ?? 0;
  }

  /** Table 7: fully off wins, then fully on; else on from ON to OFF, over the end of the period where OFF is before ON. */
  function dutyRatio(channel: number): number {
    const first = LED0_ON_L + 4 * channel;
    const onHigh = at(first + 1);
    const offHigh = at(first + 3);
    if ((at(MODE1) & SLEEP) !== 0 || (offHigh & FULL) !== 0) return 0;
    if ((onHigh & FULL) !== 0) return 1;
    const on = at(first) | ((onHigh & 0x0f) << 8);
    const off = at(first + 2) | ((offHigh & 0x0f) << 8);
    return ((off - on + TICKS) % TICKS) / TICKS;
  }

  function periodNs(): number {
    return Math.round(((at(PRE_SCALE) + 1) * TICKS * 1e9) / OSCILLATOR_HZ);
  }

  function store(register: number, byte: number): void {
    if (register === PRE_SCALE) {
      // Blocked while the oscillator runs (7.3.5); 3 is the least.
      if ((at(MODE1) & SLEEP) !== 0) registers[PRE_SCALE] = Math.max(3, byte);
      return;
    }
    if (register >= ALL_LED_ON_L && register <= ALL_LED_OFF_H) {
      for (let led = LED0_ON_L + register - ALL_LED_ON_L; led <= LED15_OFF_H; led += 4) registers[led] = byte;
      return;
    }
    registers[register] = byte;
  }

  function show(): void {
    for (let channel = 0; channel < CHANNELS; channel++) {
      const ratio = dutyRatio(channel);
      if (ratio === shown[channel]) continue;
      shown[channel] = ratio;
      onDuty(channel, ratio, periodNs());
    }
  }

  powerUp();
  return {
    registers,
    dutyRatio,
    periodNs,
    read: (register, length) => {
      const step = (at(MODE1) & AUTO_INCREMENT) === 0 ? 0 : 1;
      return Uint8Array.from({ length }, (_, i) => at((register + i * step) % 256));
    },
    write(register, bytes) {
      let next = register;
      for (const byte of bytes) {
        store(next, byte);
        if ((at(MODE1) & AUTO_INCREMENT) !== 0) next = (next + 1) % 256;
      }
      show();
    },
    powerCycle() {
      powerUp();
      show();
    },
  };
}
