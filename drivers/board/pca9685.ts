import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import { pwmText, type DigitalOutput, type Pca9685Ref, type PwmOutput } from "../../agent/contract/board.ts";
import type { I2cDevice, I2cRef } from "../../agent/contract/i2c.ts";
import { CHANNELS, createPca9685Chip, prescaleOf, TICKS, type Pca9685Chip } from "./pca9685-chip.ts";

/** What the channels need of their board. */
export interface Pca9685Ports {
  /** The chip; what is written to it may be written twice. */
  openI2c(owner: string, chip: I2cRef): Promise<I2cDevice>;
  openOutput(owner: string, line: string, initial: boolean): Promise<DigitalOutput>;
  /** Waits until an oscillator that was started runs: 500 µs (data sheet, 7.3.1). */
  oscillatorStarts(): Promise<void>;
}

/** The channels of every PCA9685 of one board. Devices may share a chip: it is set up with its first channel and given back with its last. */
export interface Pca9685Channels {
  /**
   * Opens a channel at duty 0. The period is rounded to what the chip's divider can do. Rejects IN_USE when other channels run with another period,
   * ARGUMENT for a period out of 24 to 1526 Hz and for another output-enable line than the other channels', and what the bus has to say.
   */
  open(owner: string, ref: Pca9685Ref, periodNs: number): Promise<PwmOutput>;
}

interface SharedChip {
  readonly chip: Pca9685Chip;
  readonly prescale: number;
  readonly periodNs: number;
  readonly outputEnable: string | undefined;
  /** Owners of the open channels. */
  readonly owners: Map<number, string>;
  close(): Promise<void>;
}

export function createPca9685Channels(ports: Pca9685Ports): Pca9685Channels {
  const chips = new Map<string, SharedChip>();
  /** The end of what each chip has to open and close, one after the other: a chip that is being given back cannot be joined. */
  const turns = new Map<string, Promise<void>>();

  function inTurn<T>(key: string, run: () => Promise<T>): Promise<T> {
    const result = (turns.get(key) ?? Promise.resolve()).then(run);
    turns.set(
      key,
      result.then(
        () => undefined,
        () => undefined,
      ),
    );
    return result;
  }

  /** Output-enable is high before anything else, so that a chip that a dead process left running is silent while it is set up. */
  async function openChip(key: string, ref: Pca9685Ref, prescale: number, periodNs: number): Promise<SharedChip> {
    const { outputEnable } = ref;
    const user = `pwm ${key}`;
    const enable = outputEnable === undefined ? undefined : await ports.openOutput(user, outputEnable, true);
    const i2c = await orGiveBack(
      () => ports.openI2c(user, { bus: ref.bus, address: ref.address }),
      () => enable?.close(),
    );
    const chip = createPca9685Chip({ name: user, i2c, enable, prescale, oscillatorStarts: () => ports.oscillatorStarts() });
    const release = [() => i2c.close(), () => enable?.close()];
    await orGiveBack(
      () => chip.setUp(),
      () => allOf(release),
    );
    async function close(): Promise<void> {
      chips.delete(key);
      await allOf([() => chip.silence(), () => enable?.write(true), ...release]);
    }
    const shared: SharedChip = { chip, prescale, periodNs, outputEnable, owners: new Map(), close };
    chips.set(key, shared);
    return shared;
  }

  function join(shared: SharedChip, owner: string, ref: Pca9685Ref, prescale: number, periodNs: number): void {
    const name = pwmText({ pca9685: ref });
    const others = [...shared.owners.values()].join(", ");
    if (shared.prescale !== prescale) {
      throw new AgentError(
        "IN_USE",
        `${name}: a period of ${periodNs} ns for ${owner} is not possible, the channels of a chip share one, and that of ${others} is ${shared.periodNs} ns`,
      );
    }
    if (shared.outputEnable !== ref.outputEnable) {
      const line = shared.outputEnable ?? "no line";
      throw new AgentError(
        "ARGUMENT",
        `${name}: for ${others} the chip's output-enable is on ${line}; write the same for every channel of the chip`,
      );
    }
  }

  return {
    open(owner, ref, periodNs) {
      const name = pwmText({ pca9685: ref });
      const key = name.slice("pwm ".length, name.lastIndexOf(":"));
      const { channel } = ref;
      return inTurn(key, async () => {
        if (!(channel >= 0 && channel < CHANNELS)) throw new AgentError("UNKNOWN", `${name}: the chip's channels are 0 to ${CHANNELS - 1}`);
        const prescale = prescaleOf(name, periodNs);
        const known = chips.get(key);
        if (known !== undefined) join(known, owner, ref, prescale, periodNs);
        const shared = known ?? (await openChip(key, ref, prescale, periodNs));
        const { chip, owners } = shared;
        owners.set(channel, owner);
        let open = true;

        async function giveBack(): Promise<void> {
          owners.delete(channel);
          await allOf([() => chip.write(channel, 0), () => (owners.size === 0 ? shared.close() : undefined)]);
        }
        await orGiveBack(async () => chip.write(channel, 0), giveBack);
        return {
          write(dutyRatio) {
            if (!open) throw new AgentError("IO", `${name} is closed`);
            if (!(dutyRatio >= 0 && dutyRatio <= 1))
              throw new AgentError("ARGUMENT", `${name}: duty ${dutyRatio}; it is a ratio from 0 to 1`);
            return chip.write(channel, Math.round(dutyRatio * TICKS));
          },
          async close() {
            if (!open) return;
            open = false;
            await inTurn(key, giveBack);
          },
        };
      });
    },
  };
}

/** Runs every step, whatever the others do; rejects with the first error. */
async function allOf(steps: readonly (() => unknown)[]): Promise<void> {
  let failure: AgentError | undefined;
  for (const step of steps) {
    try {
      await step();
    } catch (thrown) {
      failure ??= toAgentError(thrown);
    }
  }
  if (failure !== undefined) throw failure;
}

/** The first error counts: what is given back after it may well fail for the same reason. */
async function orGiveBack<T>(open: () => Promise<T>, giveBack: () => unknown): Promise<T> {
  try {
    return await open();
  } catch (thrown) {
    const error = toAgentError(thrown);
    await allOf([giveBack]).catch(() => error);
    throw error;
  }
}
