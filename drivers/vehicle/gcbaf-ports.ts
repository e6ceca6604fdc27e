import { openAnalog, openFuel, signalChannel } from "./channels.ts";
import type { Channel } from "./channel.ts";
import { openFrames, type FrameSet } from "./can-frames.ts";
import { openPulseChannel } from "./channel-pwm.ts";
import { createOutput, openAll, runAll, type Output } from "./outputs.ts";
import { toAgentError } from "../../agent/contract/errors.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { DeviceContext } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { GcbafOptions } from "./gcbaf-options.ts";
import type { Gear } from "./limits.ts";

/** What is written in one tick. Of what the vehicle does not have nothing is written. */
export interface Drive {
  readonly acceleratorPercent: number;
  readonly brakePercent: number;
  readonly clutchPercent: number;
  /** Undefined: the gear stays as it is, whatever it is. */
  readonly gear: Gear | undefined;
  /** Fuel is let through. */
  readonly fuel: boolean;
}

/** Everything of the vehicle that is written to. Each call tries every port, and throws the first error. */
export interface GcbafPorts {
  /** What changed, and the frames that are due. */
  write(drive: Drive, nowMs: number): void;
  /** Everything, now, the accelerator first, whatever is under way. */
  force(drive: Drive, nowMs: number): Eventually<void>;
  cutFuel(nowMs: number): Eventually<void>;
  /** Nothing is driven any more; frames say so once and end. */
  silence(nowMs: number): Eventually<void>;
  close(): Eventually<void>;
}

interface Outputs {
  readonly accelerator: Output;
  readonly brake: Output;
  readonly clutch: Output | undefined;
  readonly gear: Output | undefined;
  readonly fuel: Output | undefined;
  readonly enable: Output | undefined;
  readonly frames: FrameSet | undefined;
}

/** Opens every port. Nothing is driven: no pulse, no frame, fuel cut. */
export function openGcbafPorts(context: DeviceContext, options: GcbafOptions): Promise<GcbafPorts> {
  const { board, id } = context;
  const fault = (error: unknown): void => context.fault(error);
  return openAll(async (keep) => {
    const frames = options.can === undefined ? undefined : keep(await openFrames(board, id, options.can, fault));
    const output = async (channel: Promise<Channel> | undefined): Promise<Output | undefined> =>
      channel === undefined ? undefined : keep(createOutput(await channel, fault));
    const analog = (what: "accelerator" | "brake" | "clutch"): Promise<Channel> | undefined => {
      const channel = options[what];
      return channel === undefined ? undefined : openAnalog(board, id, what, channel, frames, [0, 100]);
    };
    const fuel = options.fuel === undefined ? undefined : await output(openFuel(board, id, options.fuel, frames));
    const outputs: Outputs = {
      accelerator: (await output(analog("accelerator"))) as Output,
      brake: (await output(analog("brake"))) as Output,
      clutch: await output(analog("clutch")),
      gear: await output(openGear(board, id, options, frames)),
      fuel,
      enable: options.can?.enable && createOutput(signalChannel(id, "enable", options.can.enable, frames, [0, 1]), fault),
      frames,
    };
    return createPorts(outputs, options);
  });
}

function openGear(board: Board, id: string, { gear }: GcbafOptions, frames: FrameSet | undefined): Promise<Channel> | undefined {
  if (gear === undefined) return undefined;
  const { pwm, can, positions } = gear;
  if (pwm === undefined) return Promise.resolve(signalChannel(id, "gear", can, frames, Object.values(positions)));
  // The value is the pulse.
  return openPulseChannel(board, id, pwm, gear.frequencyHz, [
    [300, 300],
    [2700, 2700],
  ]);
}

/** One output and what it is given. */
interface Lane {
  readonly output: Output;
  readonly valueOf: (drive: Drive) => number | undefined;
}

/** The accelerator comes first: it is what has to be released. */
function lanesOf(outputs: Outputs, { gear }: GcbafOptions): readonly Lane[] {
  const positions = gear?.positions ?? {};
  const lanes: Lane[] = [
    { output: outputs.accelerator, valueOf: (drive) => drive.acceleratorPercent },
    { output: outputs.brake, valueOf: (drive) => drive.brakePercent },
  ];
  if (outputs.clutch !== undefined) lanes.push({ output: outputs.clutch, valueOf: (drive) => drive.clutchPercent });
  if (outputs.gear !== undefined) {
    lanes.push({ output: outputs.gear, valueOf: (drive) => (drive.gear === undefined ? undefined : positions[drive.gear]) });
  }
  if (outputs.fuel !== undefined) lanes.push({ output: outputs.fuel, valueOf: (drive) => (drive.fuel ? 1 : 0) });
  if (outputs.enable !== undefined) lanes.push({ output: outputs.enable, valueOf: () => 1 });
  return lanes;
}

function createPorts(outputs: Outputs, options: GcbafOptions): GcbafPorts {
  const { frames, fuel } = outputs;
  const lanes = lanesOf(outputs, options);

  return {
    write(drive, nowMs) {
      let failure: unknown;
      for (const { output, valueOf } of lanes) {
        const value = valueOf(drive);
        try {
          if (value !== undefined) output.drive(value);
        } catch (error) {
          failure ??= error;
        }
      }
      frames?.start();
      try {
        frames?.tick(nowMs);
      } catch (error) {
        failure ??= error;
      }
      if (failure !== undefined) throw toAgentError(failure);
    },
    force(drive, nowMs) {
      frames?.start();
      const steps = lanes.map(({ output, valueOf }) => () => {
        const value = valueOf(drive);
        return value === undefined ? undefined : output.force(value);
      });
      return runAll([...steps, () => frames?.flush(nowMs)]);
    },
    cutFuel: (nowMs) => runAll([() => fuel?.force(0), () => frames?.flush(nowMs)]),
    silence(nowMs) {
      const lastFrame = (): void => {
        frames?.flush(nowMs);
        frames?.stop();
      };
      return runAll([
        ...lanes.map(
          ({ output }) =>
            () =>
              output.silence(),
        ),
        lastFrame,
      ]);
    },
    close: () =>
      runAll([
        ...lanes.map(
          ({ output }) =>
            () =>
              output.close(),
        ),
        () => frames?.close(),
      ]),
  };
}
