import { z } from "zod";

import { createDutyStream } from "./duty-stream.ts";
import { createStepping } from "./stepping.ts";
import { defineDriver, defineFunction, STILL_LEASE } from "../../agent/contract/device.ts";
import { isPending, type Eventually } from "../../agent/contract/value.ts";
import { onOffSchema } from "./on-off.ts";
import { publishChanges } from "./changes.ts";
import { pwmRefSchema, pwmText, type PwmOutput } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Device, DeviceContext, SafeTarget } from "../../agent/contract/device.ts";

/** 50 steps a second are more than an eye sees, and less than a bus minds. */
const STEP_MS = 20;

const percentSchema = z.number().min(0).max(100);

const optionsSchema = z.strictObject({
  pwm: pwmRefSchema,
  frequencyHz: z.number().min(24).max(100_000).default(1000).describe("of the PWM, hertz; the same for every channel of a PCA9685"),
  gamma: z
    .number()
    .min(1)
    .max(4)
    .default(2.2)
    .describe(
      "eyes see less in the light than is in it: the duty cycle is the brightness to this power; 1 for none, 2.2 as displays have it",
    ),
  minPercent: z
    .number()
    .min(0)
    .max(50)
    .default(0)
    .describe("duty cycle below which the lamp flickers or stays dark, percent: any brightness above 0 has more"),
  rampPercentPerS: z
    .number()
    .min(1)
    .max(10_000)
    .optional()
    .describe("how fast the brightness changes, percent per second; at once when absent"),
  safe: z
    .union([onOffSchema, percentSchema])
    .default("off")
    .describe("the safe state, taken at once: on, off or percent of full brightness"),
});

type DimmerOptions = z.output<typeof optionsSchema>;

/** The duty cycle that looks like `percent` of full brightness, 0–1. */
export function dutyOfBrightness(percent: number, gamma: number, minPercent: number): number {
  if (percent <= 0) return 0;
  const low = minPercent / 100;
  return Math.min(1, low + (1 - low) * (percent / 100) ** gamma);
}

/** A lamp whose brightness changes as eyes see it. Publishes `on` and `brightness` (percent, where it is now). */
export const dimmerDriver = defineDriver({
  name: "dimmer",
  summary: "a lamp on a PWM channel that is faded, with gamma and a minimum level",
  options: optionsSchema,
  moves: false,
  lease: STILL_LEASE,
  claims: ({ pwm }) => [pwmText(pwm)],
  entities: ({ safe }) => [
    {
      kind: "light",
      key: "light",
      main: true,
      state: { on: "on", level: "brightness" },
      calls: {
        on: { fn: "on" },
        off: { fn: "off", rests: percentOf(safe) === 0 ? ["safe", "off"] : ["off"] },
        level: { fn: "brightness", takesValue: true },
      },
    },
  ],
  async open(context, options) {
    const output = await context.board.openPwm(context.id, options.pwm, Math.round(1e9 / options.frequencyHz));
    return startOn(output, async () => {
      const safePercent = percentOf(options.safe);
      await output.write(dutyOfBrightness(safePercent, options.gamma, options.minPercent));
      return createDimmer(context, output, options, safePercent);
    });
  },
});

function percentOf(state: DimmerOptions["safe"]): number {
  if (state === "on") return 100;
  return state === "off" ? 0 : state;
}

/** Whatever is no number is dark. */
function clampPercent(percent: number): number {
  return percent > 0 ? Math.min(percent, 100) : 0;
}

function createDimmer(context: DeviceContext, output: PwmOutput, options: DimmerOptions, safePercent: number): Device {
  const { gamma, minPercent, rampPercentPerS } = options;
  const stream = createDutyStream(output, (error) => context.fault(error));
  const show = publishChanges(context);
  let percent = safePercent;
  let fromPercent = safePercent;
  let targetPercent = safePercent;
  let fromMs = 0;
  let durationMs = 0;
  /** What `on` lights. */
  let selectedPercent = safePercent > 0 ? safePercent : 100;

  function showAll(): void {
    show("on", percent > 0);
    show("brightness", percent);
  }

  const stepping = createStepping(context, STEP_MS, (nowMs) => {
    const passed = durationMs > 0 ? Math.min(1, (nowMs - fromMs) / durationMs) : 1;
    percent = passed === 1 ? targetPercent : fromPercent + (targetPercent - fromPercent) * passed;
    stream.offer(dutyOfBrightness(percent, gamma, minPercent));
    showAll();
    return passed < 1;
  });

  /** At once. */
  function set(next: number): Eventually<number> {
    stepping.stop();
    const written = stream.write(dutyOfBrightness(next, gamma, minPercent));
    percent = next;
    targetPercent = next;
    showAll();
    return isPending(written) ? written.then(() => next) : next;
  }

  function fade(next: number, forMs: number): Eventually<number> {
    if (forMs === 0) return set(next);
    fromPercent = percent;
    fromMs = context.clock.monotonicMs();
    targetPercent = next;
    durationMs = forMs;
    stepping.start();
    return next;
  }

  function change(next: number): Eventually<number> {
    // An order that repeats the one that is being followed does not slow it down.
    if (rampPercentPerS === undefined || next === percent) return set(next);
    return next === targetPercent ? next : fade(next, (Math.abs(next - percent) / rampPercentPerS) * 1000);
  }

  function select(next: number): number {
    if (next > 0) selectedPercent = next;
    return next;
  }

  function goSafe(to: SafeTarget): Eventually<void> {
    let next = safePercent;
    if (to === "off") next = 0;
    else if (to !== "safe") next = typeof to.value === "number" ? clampPercent(to.value) : percentOf(to.value ? "on" : "off");
    const done = set(next);
    return isPending(done) ? done.then(() => undefined) : undefined;
  }

  showAll();
  return {
    functions: {
      on: defineFunction({
        summary: "lights the lamp as bright as it was last asked to be, by its ramp; returns percent of full brightness",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => change(selectedPercent),
      }),
      off: defineFunction({
        summary: "darkens the lamp, by its ramp; returns 0",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => change(0),
      }),
      brightness: defineFunction({
        summary: "dims the lamp, by its ramp; returns the percent it will have: below 0 is driven as 0, above 100 as 100",
        params: z.strictObject({ percent: z.number().describe("percent of full brightness") }),
        effect: "actuate",
        call: ({ percent: asked }) => change(select(clampPercent(asked))),
      }),
      fade: defineFunction({
        summary:
          "dims the lamp within a time of its own, whatever its ramp; the lease may end it earlier. Returns the percent it will have",
        params: z.strictObject({
          percent: z.number().describe("percent of full brightness"),
          durationMs: z.int().min(0).max(60_000).describe("milliseconds"),
        }),
        effect: "actuate",
        call: ({ percent: asked, durationMs: forMs }) => fade(select(clampPercent(asked)), forMs),
      }),
      state: defineFunction({
        summary: "whether the lamp is lit, percent of full brightness now and where it is going",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ on: percent > 0, percent, targetPercent }),
      }),
    },
    failsafe: goSafe,
    close() {
      stepping.stop();
      return stream.close();
    },
  };
}
