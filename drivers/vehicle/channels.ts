import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { lineRef, lineRefSchema, pwmRefSchema, pwmText, type Board } from "../../agent/contract/board.ts";
import { openPulseChannel } from "./channel-pwm.ts";
import type { Channel } from "./channel.ts";
import type { FrameSet } from "./can-frames.ts";

/** A pulse may be this long, microseconds: usual servos take 500 to 2500, some 400 to 2600. */
const pulseUsSchema = z.number().min(300).max(2700);

const signalRefSchema = z.strictObject({
  frame: z.string().min(1).describe("name of the frame"),
  signal: z.string().min(1).describe("name of the signal in it"),
});

const frequencySchema = z.number().min(24).max(400).default(50).describe("of the pulses, hertz; 50 for usual servos");

const pointsSchema = z
  .array(z.tuple([z.number(), pulseUsSchema]))
  .min(2)
  .max(32)
  .refine((points) => points.every(([value], i) => i === 0 || value > (points[i - 1]?.[0] ?? value)), {
    error: "the values of the points have to rise",
  })
  .refine((points) => isMonotonous(points.map(([, pulseUs]) => pulseUs)), {
    error: "the pulses of the points have to rise all along, or to fall all along",
  });

function isMonotonous(numbers: readonly number[]): boolean {
  const steps = numbers.slice(1).map((number, i) => number - (numbers[i] ?? number));
  return steps.every((step) => step > 0) || steps.every((step) => step < 0);
}

const ONE_PORT = "exactly one of pwm and can is needed";

interface Ports {
  readonly pwm?: unknown;
  readonly can?: unknown;
}

export function hasOnePort({ pwm, can }: Ports): boolean {
  return (pwm === undefined) !== (can === undefined);
}

export const onePort = { error: ONE_PORT };

/** Options of a channel that takes any number in a range; `points` say which pulse a value is, with straight lines between them. */
export function analogFields(points: readonly (readonly [number, number])[]) {
  return {
    pwm: pwmRefSchema.optional().describe("the servo's PWM channel"),
    frequencyHz: frequencySchema,
    points: pointsSchema
      .default(points.map(([value, pulseUs]) => [value, pulseUs]))
      .describe("[value, pulse in microseconds] pairs along the travel"),
    can: signalRefSchema.optional().describe("the CAN signal that takes the value"),
  };
}

/** What a RC servo takes for its whole travel. */
const PERCENT_POINTS = [
  [0, 1000],
  [100, 2000],
] as const;

export const percentFields = analogFields(PERCENT_POINTS);

/** Options of the gear: a servo's pulse, or a signal's value, for each position there is. */
export const gearFields = {
  pwm: pwmRefSchema.optional().describe("the servo's PWM channel"),
  frequencyHz: frequencySchema,
  can: signalRefSchema.optional().describe("the CAN signal that takes the position's value"),
};

export interface AnalogOptions {
  readonly pwm?: z.output<typeof pwmRefSchema> | undefined;
  readonly frequencyHz: number;
  readonly points: readonly (readonly [number, number])[];
  readonly can?: z.output<typeof signalRefSchema> | undefined;
}

/** Where fuel is cut: a line whose relay lets fuel through while energised, so that it is cut when nobody drives it. */
export const fuelPortFields = {
  line: lineRefSchema.optional().describe("line of the relay that lets fuel through while energised"),
  activeLow: z.boolean().default(false).describe("the relay is energised while the line is low"),
  can: signalRefSchema.optional().describe("the CAN signal that is 1 to let fuel through"),
};

export function hasOneFuelPort({ line, can }: { readonly line?: unknown; readonly can?: unknown }): boolean {
  return (line === undefined) !== (can === undefined);
}

export const oneFuelPort = { error: "exactly one of line and can is needed" };

/** Opens the channel; its whole range has to fit its port. Throws ARGUMENT when it does not. */
export async function openAnalog(
  board: Board,
  owner: string,
  what: string,
  options: AnalogOptions,
  frames: FrameSet | undefined,
  range: readonly [number, number],
): Promise<Channel> {
  const { pwm, frequencyHz, points, can } = options;
  if (pwm !== undefined) {
    const [low, high] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 0];
    if (low > range[0] || high < range[1]) {
      throw new AgentError("ARGUMENT", `${owner}: the points of ${what} go from ${low} to ${high}; ${range[0]} to ${range[1]} is needed`);
    }
    return openPulseChannel(board, owner, pwm, frequencyHz, points);
  }
  return signalChannel(owner, what, can, frames, range);
}

/** A channel that is a signal of a frame. */
export function signalChannel(
  owner: string,
  what: string,
  can: z.output<typeof signalRefSchema> | undefined,
  frames: FrameSet | undefined,
  values: readonly number[],
): Channel {
  if (can === undefined) throw new AgentError("ARGUMENT", `${owner}: ${what} has no port; ${ONE_PORT}`);
  if (frames === undefined) throw new AgentError("ARGUMENT", `${owner}: ${what} is on CAN; can with interface and frames is needed`);
  return frames.channel(can.frame, can.signal, what, values);
}

/** The relay that lets fuel through: 1 energises it. */
export async function openFuel(
  board: Board,
  owner: string,
  {
    line,
    activeLow,
    can,
  }: { readonly line?: string | undefined; readonly activeLow: boolean; readonly can?: z.output<typeof signalRefSchema> | undefined },
  frames: FrameSet | undefined,
): Promise<Channel> {
  if (line === undefined) return signalChannel(owner, "fuel", can, frames, [0, 1]);
  const output = await board.openOutput(owner, lineRef(line), activeLow);
  return {
    write: (value) => output.write(value > 0 !== activeLow),
    silence: () => output.write(activeLow),
    close: () => output.close(),
  };
}

/** The port as two devices would both want it. */
export function pwmClaims(...channels: readonly ({ readonly pwm?: z.output<typeof pwmRefSchema> | undefined } | undefined)[]): string[] {
  return channels.flatMap((channel) => (channel?.pwm === undefined ? [] : [pwmText(channel.pwm)]));
}
