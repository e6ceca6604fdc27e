import { z } from "zod";

import { approach } from "./servo-motion.ts";
import { createStepping } from "./stepping.ts";
import { defineDriver, defineFunction, MOTION_LEASE } from "../../agent/contract/device.ts";
import { isPending } from "../../agent/contract/value.ts";
import { lineRefSchema, pwmRefSchema, pwmText } from "../../agent/contract/board.ts";
import { openBridge, type Bridge, type Way } from "./bridge.ts";
import { publishChanges } from "./changes.ts";
import { startOn } from "./start-on.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";

const WIRINGS: readonly (readonly string[])[] = [
  ["in1", "in2", "pwm"],
  ["phase", "pwm"],
  ["forward", "reverse"],
];

const PORTS = ["in1", "in2", "phase", "pwm", "forward", "reverse"] as const;

const optionsSchema = z
  .strictObject({
    in1: lineRefSchema.optional().describe("input that is high while it turns forward; with in2 and pwm (L298N, TB6612FNG)"),
    in2: lineRefSchema.optional().describe("input that is high while it turns backward"),
    phase: lineRefSchema.optional().describe("input that is low for forward and high for backward; with pwm (DRV8838, MD10C)"),
    pwm: pwmRefSchema.optional().describe("the bridge's enable input"),
    forward: pwmRefSchema.optional().describe("PWM channel of the half that turns forward; with reverse (DRV8833, BTS7960)"),
    reverse: pwmRefSchema.optional().describe("PWM channel of the half that turns backward"),
    standby: lineRefSchema.optional().describe("line that switches the whole bridge off while it is low (STBY, nSLEEP, R_EN and L_EN)"),
    brakeInputs: z
      .enum(["high", "low"])
      .optional()
      .describe(
        "what both inputs are while the bridge brakes, by its truth table: high for L298N, TB6612FNG and DRV8833, low for BTS7960; without it there is no brake",
      ),
    frequencyHz: z.number().min(24).max(100_000).default(1000).describe("of the PWM, hertz; the same for every channel of a PCA9685"),
    slewPercentPerS: z.number().min(1).max(100_000).default(400).describe("how fast the speed changes, percent per second"),
    deadTimeMs: z
      .number()
      .min(1)
      .max(5000)
      .default(20)
      .describe("how long nothing is driven before it turns the other way, milliseconds; at least one period of the PWM"),
    periodMs: z.number().min(5).max(100).default(10).describe("from one change of the duty cycle to the next, milliseconds"),
    safe: z.enum(["coast", "brake"]).default("coast").describe("the safe state: nothing is driven, or the motor is short-circuited"),
  })
  .refine((options) => WIRINGS.some((wiring) => PORTS.every((port) => (options[port] !== undefined) === wiring.includes(port))), {
    error: "a motor needs in1, in2 and pwm; or phase and pwm; or forward and reverse",
  })
  .refine(({ deadTimeMs, frequencyHz }) => deadTimeMs >= 1000 / frequencyHz, {
    path: ["deadTimeMs"],
    error: "the dead time has to be one period of the PWM at least: a pulse that has begun goes on for that long",
  })
  .refine(({ phase, brakeInputs }) => phase === undefined || brakeInputs === undefined, {
    path: ["brakeInputs"],
    error: "with phase and pwm there is one input, and what its bridge does without a duty is up to the bridge",
  })
  .refine(({ forward, brakeInputs, standby }) => forward === undefined || brakeInputs !== "low" || standby !== undefined, {
    path: ["brakeInputs"],
    error: "a bridge that brakes with both inputs low can only coast with its standby line",
  })
  .refine(({ safe, brakeInputs }) => safe === "coast" || brakeInputs !== undefined, {
    path: ["safe"],
    error: "a motor that brakes needs brakeInputs",
  });

type MotorOptions = z.output<typeof optionsSchema>;

type Mode = "drive" | "coast" | "brake";

/** A DC motor on an H-bridge. Publishes `speed` (percent, the sign is the way) and `mode` (drive, coast or brake). */
export const motorDriver = defineDriver({
  name: "motor",
  summary: "a DC motor on an H-bridge: speed both ways with a slew rate and a dead time, brake and coast",
  options: optionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  claims({ in1, in2, phase, standby, pwm, forward, reverse }) {
    const lines = [in1, in2, phase, standby].filter((line) => line !== undefined).map((line) => `line ${line}`);
    return [...lines, ...[pwm, forward, reverse].filter((channel) => channel !== undefined).map(pwmText)];
  },
  entities: ({ brakeInputs }) => [
    {
      kind: "number",
      key: "speed",
      main: true,
      state: { value: "speed" },
      unit: "%",
      range: [-100, 100],
      calls: { set: { fn: "speed", takesValue: true } },
    },
    { kind: "button", key: "coast", calls: { press: { fn: "coast", once: true } } },
    ...(brakeInputs === undefined ? [] : [{ kind: "button", key: "brake", calls: { press: { fn: "brake", once: true } } } as const]),
    { kind: "sensor", key: "mode", category: "diagnostic", state: { value: "mode" } },
  ],
  async open(context, options) {
    const bridge = await openBridge(context.board, context.id, options, (error) => context.fault(error));
    return startOn(bridge, () => createMotor(context, bridge, options));
  },
});

function createMotor(context: DeviceContext, bridge: Bridge, options: MotorOptions): Device {
  const { slewPercentPerS, deadTimeMs, periodMs, brakeInputs, safe } = options;
  const show = publishChanges(context);
  const stepPercent = (slewPercentPerS * periodMs) / 1000;
  let mode: Mode = "coast";
  let percent = 0;
  let targetPercent = 0;
  /** When the bridge was switched off: one that just opened may have been left running. */
  let offMs = context.clock.monotonicMs();
  let underWay: Promise<void> | undefined;

  function showAll(): void {
    show("speed", percent);
    show("mode", mode);
  }

  /** Nothing else is written while the bridge is being switched over a bus; the dead time begins when it was. */
  function track(done: Eventually<void>): Eventually<void> {
    underWay = undefined;
    if (!isPending(done)) return;
    const tracked = done.finally(() => {
      offMs = context.clock.monotonicMs();
      if (underWay === tracked) underWay = undefined;
    });
    underWay = tracked;
    return tracked;
  }

  /** The same within a step: what fails later is the device's fault. */
  function trackStep(done: Eventually<void>): void {
    const tracked = track(done);
    if (isPending(tracked)) tracked.catch((error: unknown) => context.fault(error));
  }

  function switchOff(nowMs: number): void {
    mode = "coast";
    percent = 0;
    offMs = nowMs;
    trackStep(bridge.off());
  }

  function drive(nowMs: number): void {
    const next = approach(percent, targetPercent, stepPercent);
    if (mode !== "drive") {
      if (nowMs - offMs < deadTimeMs) return;
      const way: Way = next > 0 ? 1 : -1;
      trackStep(bridge.turn(way, Math.abs(next) / 100));
      mode = "drive";
      percent = next;
    } else if (next === 0 || next > 0 !== percent > 0) {
      switchOff(nowMs);
    } else if (next !== percent) {
      bridge.duty(Math.abs(next) / 100);
      percent = next;
    }
  }

  const stepping = createStepping(context, periodMs, (nowMs) => {
    if (underWay !== undefined) return true;
    if (mode === "brake") switchOff(nowMs);
    else if (mode === "drive" || targetPercent !== 0) drive(nowMs);
    showAll();
    return percent !== targetPercent;
  });

  function speed(asked: number): number {
    targetPercent = asked;
    stepping.start();
    showAll();
    return asked;
  }

  function coast(): Eventually<void> {
    stepping.stop();
    targetPercent = 0;
    percent = 0;
    mode = "coast";
    offMs = context.clock.monotonicMs();
    const done = track(bridge.off());
    showAll();
    return done;
  }

  function brake(): Eventually<void> {
    stepping.stop();
    targetPercent = 0;
    percent = 0;
    mode = "brake";
    const done = track(bridge.brake());
    showAll();
    return done;
  }

  function goSafe(to: SafeTarget): Eventually<void> {
    return to === "safe" && safe === "brake" ? brake() : coast();
  }

  function answerWith<T>(done: Eventually<void>, answer: T): Eventually<T> {
    return isPending(done) ? done.then(() => answer) : answer;
  }

  const functions: Record<string, DeviceFunction> = {
    speed: defineFunction({
      summary: "turns the motor at a speed, forward above 0, coasts at 0; returns the percent it is driven to, by its slew rate",
      params: z.strictObject({ percent: z.number().min(-100).max(100).describe("percent of full duty") }),
      effect: "actuate",
      call: ({ percent: asked }) => speed(asked),
    }),
    coast: defineFunction({
      summary: "lets the motor run out, at once; returns 0",
      params: z.strictObject({}),
      effect: "actuate",
      call: () => answerWith(coast(), 0),
    }),
    state: defineFunction({
      summary: "the speed it is driven with and will be driven with, percent, and whether it is driven, coasts or brakes",
      params: z.strictObject({}),
      effect: "read",
      call: () => ({ percent, targetPercent, mode }),
    }),
  };
  if (brakeInputs !== undefined) {
    functions["brake"] = defineFunction({
      summary: "short-circuits the motor, at once; returns 0",
      params: z.strictObject({}),
      effect: "actuate",
      call: () => answerWith(brake(), 0),
    });
  }

  showAll();
  return {
    functions,
    failsafe: goSafe,
    close() {
      stepping.stop();
      return bridge.close();
    },
  };
}
