import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import type { DigitalOutput } from "../../agent/contract/board.ts";
import { I2C_BLOCK_BYTES, type I2cDevice } from "../../agent/contract/i2c.ts";
import type { Eventually } from "../../agent/contract/value.ts";

// NXP PCA9685 product data sheet, revision 4. Registers: table 4.
const MODE1 = 0x00;
const MODE2 = 0x01;
const LED0_ON_L = 0x06;
const ALL_LED_OFF_H = 0xfd;
const PRE_SCALE = 0xfe;

/** MODE1, table 5: the register address counts up by itself; the oscillator is off. Its all-call and sub addresses stay off: they are other chips' addresses. */
const AUTO_INCREMENT = 0x20;
const SLEEP = 0x10;

/** MODE2, table 6: totem pole outputs, not inverted, low while output-enable is high, new values from the stop condition on. */
const OUTPUTS = 0x04;

/** Bit 4 of a channel's high bytes (7.3.3): ON_H is fully on, OFF_H fully off, which wins. */
const FULL = 0x10;

const CHANNEL_BYTES = 4;
const MOST_PER_BLOCK = I2C_BLOCK_BYTES / CHANNEL_BYTES;
export const CHANNELS = 16;

/** Steps of one period (7.3.3). */
export const TICKS = 4096;

/** The internal oscillator (7.3.5). */
const OSCILLATOR_HZ = 25_000_000;
/** The divider's range (7.3.5): 1526 to 24 Hz. */
const MIN_PRESCALE = 3;
const MAX_PRESCALE = 255;

const NANOSECONDS = 1e9;

/** The divider for a period (7.3.5). Throws ARGUMENT for what the chip cannot do. */
export function prescaleOf(name: string, periodNs: number): number {
  const prescale = Math.round((periodNs * OSCILLATOR_HZ) / NANOSECONDS / TICKS) - 1;
  if (prescale >= MIN_PRESCALE && prescale <= MAX_PRESCALE) return prescale;
  throw new AgentError("ARGUMENT", `${name}: a period of ${periodNs} ns is outside of the chip's, 655360 to 41943040 ns (1526 to 24 Hz)`);
}

export interface Pca9685ChipOptions {
  /** What errors call it: `pwm pca9685@1:0x40`. */
  readonly name: string;
  readonly i2c: I2cDevice;
  /** Its output-enable line, which is high now. */
  readonly enable: DigitalOutput | undefined;
  readonly prescale: number;
  oscillatorStarts(): Promise<void>;
}

/** One chip and its 16 channels. */
export interface Pca9685Chip {
  /** Every channel fully off, before anything else; then divider and modes; then output-enable low. */
  setUp(): Promise<void>;
  /**
   * Brings a channel to `ticks` of 4096, 0 and 4096 being fully off and on. What is written while a transfer is on its way goes out after it, neighbours in one
   * block, of each channel only the latest. A channel whose write is rejected is off as soon as the chip can be reached again, until it is written anew; and
   * where it was to be off and there is an output-enable line, that one goes high at once, for all channels, until the chip can be reached again.
   */
  write(channel: number, ticks: number): Eventually<void>;
  /** Every channel fully off, by one register. */
  silence(): Promise<void>;
}

export function createPca9685Chip(options: Pca9685ChipOptions): Pca9685Chip {
  const { name, i2c, enable, prescale } = options;
  const wanted = new Uint16Array(CHANNELS);
  /** What the chip has, as far as is known. */
  const written = new Int16Array(CHANNELS).fill(-1);
  const blocks = Array.from({ length: MOST_PER_BLOCK }, (_, i) => new Uint8Array((i + 1) * CHANNEL_BYTES));
  /** Whether the chip may have been without power or in somebody else's hands since it was set up. */
  let doubtful = false;
  /** The transfers on their way and those after them; channels asked for in each, one bit a channel. */
  let sending: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let sendingMask = 0;
  let nextMask = 0;

  async function setUp(): Promise<void> {
    await silence();
    // The divider can only be written while the oscillator is off (7.3.5). RESTART stays 0: nothing shall resume.
    await i2c.writeByte(MODE1, AUTO_INCREMENT | SLEEP);
    await i2c.writeByte(PRE_SCALE, prescale);
    await i2c.writeByte(MODE2, OUTPUTS);
    await i2c.writeByte(MODE1, AUTO_INCREMENT);
    await options.oscillatorStarts();
    written.fill(-1);
    doubtful = false;
    enable?.write(false);
  }

  async function silence(): Promise<void> {
    await i2c.writeByte(ALL_LED_OFF_H, FULL);
  }

  /** After an error: a chip that lost power wakes up asleep and with another divider. */
  async function recover(): Promise<void> {
    const intact = (await i2c.readByte(MODE1)) === AUTO_INCREMENT && (await i2c.readByte(PRE_SCALE)) === prescale;
    if (!intact) await setUp();
    written.fill(-1);
    doubtful = false;
    enable?.write(false);
  }

  function isDirty(channel: number): boolean {
    return channel < CHANNELS && wanted[channel] !== written[channel];
  }

  /** Writes one block of neighbours that changed, from `first` on; the channel after it. */
  async function sendRun(first: number): Promise<number> {
    let end = first + 1;
    while (end - first < MOST_PER_BLOCK && isDirty(end)) end += 1;
    const block = blocks[end - first - 1] as Uint8Array;
    for (let channel = first; channel < end; channel++) encode(block, (channel - first) * CHANNEL_BYTES, wanted[channel] ?? 0);
    const ticks = wanted.slice(first, end);
    await i2c.writeBlock(LED0_ON_L + first * CHANNEL_BYTES, block);
    written.set(ticks, first);
    return end;
  }

  async function send(): Promise<void> {
    try {
      if (doubtful) await recover();
      for (let channel = 0; channel < CHANNELS;) channel = isDirty(channel) ? await sendRun(channel) : channel + 1;
    } catch (thrown) {
      giveUp();
      const error = toAgentError(thrown);
      throw new AgentError(error.code, `${name} cannot be written: ${error.message}`, { cause: thrown });
    } finally {
      sending = undefined;
    }
  }

  /** Whoever asked for these channels is told that it failed: they are off from now on, unless they have been asked for again. */
  function giveUp(): void {
    doubtful = true;
    let offMissed = false;
    for (let channel = 0; channel < CHANNELS; channel++) {
      const isRejected = ((sendingMask & ~nextMask) >> channel) & 1;
      if (!isRejected || !isDirty(channel)) continue;
      offMissed ||= wanted[channel] === 0;
      wanted[channel] = 0;
    }
    if (offMissed) enable?.write(true);
  }

  function startSending(): Promise<void> {
    sending = next;
    sendingMask = nextMask;
    next = undefined;
    nextMask = 0;
    return send();
  }

  return {
    setUp,
    silence,
    write(channel, ticks) {
      const isIdle = next === undefined && sending === undefined && !doubtful;
      if (isIdle && wanted[channel] === ticks && written[channel] === ticks) return;
      wanted[channel] = ticks;
      nextMask |= 1 << channel;
      next ??= (sending ?? Promise.resolve()).then(startSending, startSending);
      return next;
    },
  };
}

/** ON at 0, OFF after `ticks`: four bytes of one channel. */
function encode(block: Uint8Array, at: number, ticks: number): void {
  const isFull = ticks === 0 || ticks === TICKS;
  block[at] = 0;
  block[at + 1] = ticks === TICKS ? FULL : 0;
  block[at + 2] = isFull ? 0 : ticks & 0xff;
  block[at + 3] = ticks === 0 ? FULL : isFull ? 0 : ticks >> 8;
}
