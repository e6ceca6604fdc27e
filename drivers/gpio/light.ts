import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { defineDriver, defineFunction, STILL_LEASE } from "../../agent/contract/device.ts";
import { isPending } from "../../agent/contract/value.ts";
import { lineRefSchema, pwmRefSchema, pwmText } from "../../agent/contract/board.ts";
import { openFilamentPort, openLinePort, openPwmPort, type Beams, type LightPort } from "./light-port.ts";
import { onOffSchema } from "./on-off.ts";
import { startOn } from "./start-on.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { LightEntity } from "../../agent/contract/entity.ts";

const percentSchema = z.number().min(0).max(100);

/** What the beams of a two-filament lamp count as when the configuration does not say. */
const FILAMENT_BEAMS: Beams = { low: 30, high: 100 };

const beamSchema = z.enum(["low", "high"]);

type Beam = z.output<typeof beamSchema>;

const ONE_PORT = "a light needs exactly one of line, lines and pwm";

const optionsSchema = z
  .strictObject({
    line: lineRefSchema.optional().describe("a lamp on one line: on or off"),
    lines: z
      .strictObject({ low: lineRefSchema, high: lineRefSchema })
      .optional()
      .describe("a two-filament lamp: one line per beam, one lit at a time"),
    pwm: pwmRefSchema.optional().describe("a lamp that can be dimmed"),
    frequencyHz: z.number().min(1).max(100_000).default(1000).describe("of the PWM, hertz"),
    activeLow: z.boolean().default(false).describe("the lamp is lit while the line is low"),
    beam: z
      .strictObject({ low: percentSchema, high: percentSchema })
      .refine(({ low, high }) => low < high, { error: "the low beam has to be less than the high one" })
      .optional()
      .describe("what the beams are, percent of full brightness; 30 and 100 for two filaments; on a plain line any beam above 0 is full"),
    safe: z.union([onOffSchema, percentSchema]).default("off").describe("the safe state: on, off or percent of full brightness"),
  })
  .refine(({ line, lines, pwm }) => [line, lines, pwm].filter((port) => port !== undefined).length === 1, {
    error: ONE_PORT,
  })
  .refine(({ pwm, activeLow }) => pwm === undefined || !activeLow, {
    path: ["activeLow"],
    error: "a closed PWM channel is low, which would light an active-low lamp: invert it in the wiring, or use line",
  });

type LightOptions = z.output<typeof optionsSchema>;

/** A lamp that is switched, has two beams, or can be dimmed; every command answers the percent of full brightness the lamp now gives. */
export const lightDriver = defineDriver({
  name: "light",
  summary: "a lamp on a line, on two lines (low and high beam) or on a PWM channel",
  options: optionsSchema,
  moves: false,
  lease: STILL_LEASE,
  claims({ line, lines, pwm }) {
    if (line !== undefined) return [`line ${line}`];
    if (lines !== undefined) return [`line ${lines.low}`, `line ${lines.high}`];
    return pwm === undefined ? [] : [pwmText(pwm)];
  },
  entities: (options) => [lightEntity(options)],
  async open(context, options) {
    const safePercent = percentOf(options.safe);
    const beams = options.beam ?? (options.lines === undefined ? undefined : FILAMENT_BEAMS);
    const port = await openPort(context, options, beams ?? FILAMENT_BEAMS, safePercent);
    return startOn(port, () => createLight(context, port, beams, safePercent, options.pwm !== undefined));
  },
});

function lightEntity({ lines, pwm, beam, safe }: LightOptions): LightEntity {
  const beams = beam !== undefined || lines !== undefined;
  const dims = pwm !== undefined;
  return {
    kind: "light",
    key: "light",
    main: true,
    state: { on: "on", ...(dims && { level: "brightness" }), ...(beams && { effect: "beam" }) },
    ...(beams && { effects: beamSchema.options }),
    calls: {
      on: { fn: "on" },
      off: { fn: "off", rests: percentOf(safe) === 0 ? ["safe", "off"] : ["off"] },
      ...(dims && { level: { fn: "brightness", takesValue: true } }),
      ...(beams && { effect: { fn: "beam", takesValue: true } }),
    },
  };
}

function percentOf(state: LightOptions["safe"]): number {
  if (state === "on") return 100;
  return state === "off" ? 0 : state;
}

async function openPort({ board, id }: DeviceContext, options: LightOptions, beams: Beams, percent: number): Promise<LightPort> {
  const { line, lines, pwm, activeLow, frequencyHz } = options;
  if (line !== undefined) return openLinePort(board, id, line, activeLow, percent);
  if (lines !== undefined) return openFilamentPort(board, id, lines, activeLow, beams, percent);
  if (pwm !== undefined) return openPwmPort(board, id, pwm, frequencyHz, percent);
  throw new AgentError("ARGUMENT", `${id}: ${ONE_PORT}`);
}

function createLight(context: DeviceContext, port: LightPort, beams: Beams | undefined, safePercent: number, canDim: boolean): Device {
  let selected: Beam = "high";
  let orders = 0;
  let shownPercent = -1;
  let shownBeam: Beam | undefined;

  /** Publishes what changed. */
  function show(askedPercent: number): number {
    const percent = port.drivenPercent(askedPercent);
    if (percent !== shownPercent) {
      const wasOn = shownPercent > 0;
      if (shownPercent < 0 || percent > 0 !== wasOn) context.publish("on", percent > 0);
      context.publish("brightness", percent);
      shownPercent = percent;
    }
    if (beams !== undefined) showBeam(beams, askedPercent);
    return percent;
  }

  /** The beam that is lit; while dark the one that was, or that `on` will light. */
  function showBeam({ low }: Beams, askedPercent: number): void {
    let beam = shownBeam ?? selected;
    if (askedPercent > 0) beam = askedPercent <= low ? "low" : "high";
    if (beam === shownBeam) return;
    shownBeam = beam;
    context.publish("beam", beam);
  }

  function drive(askedPercent: number): Eventually<number> {
    const order = ++orders;
    const written = port.write(askedPercent);
    if (!isPending(written)) return show(askedPercent);
    // An order given meanwhile is what the lamp shows.
    return written.then(() => (order === orders ? show(askedPercent) : shownPercent));
  }

  const functions: Record<string, DeviceFunction> = {
    on: defineFunction({
      summary: "lights the lamp, with the beam last selected; returns percent of full brightness",
      params: z.strictObject({}),
      effect: "actuate",
      call: () => drive(beams === undefined ? 100 : beams[selected]),
    }),
    off: defineFunction({
      summary: "darkens the lamp; returns 0",
      params: z.strictObject({}),
      effect: "actuate",
      call: () => drive(0),
    }),
    state: defineFunction({
      summary: "whether the lamp is lit, percent of full brightness, and the beam where there are beams",
      params: z.strictObject({}),
      effect: "read",
      call: () => ({ on: shownPercent > 0, percent: shownPercent, ...(shownBeam !== undefined && { beam: shownBeam }) }),
    }),
  };
  if (beams !== undefined) {
    functions["beam"] = defineFunction({
      summary: "selects a beam and lights it; returns percent of full brightness",
      params: z.strictObject({ beam: beamSchema }),
      effect: "actuate",
      call({ beam }) {
        selected = beam;
        return drive(beams[beam]);
      },
    });
  }
  if (canDim) {
    functions["brightness"] = defineFunction({
      summary: "dims the lamp; returns the percent driven: below 0 is driven as 0, above 100 as 100",
      params: z.strictObject({ percent: z.number().describe("percent of full brightness") }),
      effect: "actuate",
      call: ({ percent }) => drive(clampPercent(percent)),
    });
  }

  show(safePercent);
  return {
    functions,
    failsafe(to) {
      const done = drive(percentIn(to, safePercent));
      return isPending(done) ? done.then(() => undefined) : undefined;
    },
    close: () => port.close(),
  };
}

function percentIn(to: SafeTarget, safePercent: number): number {
  if (to === "safe") return safePercent;
  if (to === "off") return 0;
  return typeof to.value === "number" ? clampPercent(to.value) : percentOf(to.value ? "on" : "off");
}

/** Whatever is no number is dark. */
function clampPercent(percent: number): number {
  return percent > 0 ? Math.min(percent, 100) : 0;
}
