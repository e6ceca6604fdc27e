import { z } from "zod";

import { createHornWatch, feedbackSchema } from "./servo-feedback.ts";
import { createServoAxis, type ServoAxis } from "./servo-axis.ts";
import { createStepping } from "./stepping.ts";
import { createTravel, isTravel, MAX_DUTY_RATIO, pulsePeriodSchema, travelShape } from "./servo-motion.ts";
import { defineDriver, defineFunction, MOTION_LEASE } from "../../agent/contract/device.ts";
import { isPending } from "../../agent/contract/value.ts";
import { publishChanges } from "./changes.ts";
import { pwmRefSchema, pwmText } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Device, DeviceContext, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";

const angleSchema = z.number().min(-360).max(360);

const detachSchema = z
  .union([
    z.enum(["never", "onLoss"]),
    z.strictObject({ afterMs: z.int().min(100).max(600_000).describe("after the last change of the pulse, milliseconds") }),
  ])
  .optional()
  .describe(
    "when the pulses end by themselves: when the lease does (onLoss), also some time after it arrived, or never, which needs a safe angle",
  );

const optionsSchema = z
  .strictObject({
    pwm: pwmRefSchema,
    ...travelShape,
    startDeg: angleSchema
      .optional()
      .describe("where the horn is when the agent starts, degrees; unknown when absent: then the first command moves at full speed"),
    slewDegPerS: z
      .number()
      .min(1)
      .max(2000)
      .optional()
      .describe("how fast the horn may be moved, degrees per second; as fast as it can when absent"),
    periodMs: pulsePeriodSchema,
    detach: detachSchema,
    safe: z
      .union([z.literal("detach"), z.strictObject({ angleDeg: angleSchema })])
      .default("detach")
      .describe("the safe state: no pulses, or an angle that is driven at once"),
    feedback: feedbackSchema.optional().describe("a variable that says where the horn is; one that is elsewhere for too long is blocked"),
  })
  .refine(({ pulseUs, periodMs }) => pulseUs[1] <= MAX_DUTY_RATIO * periodMs * 1000, {
    path: ["pulseUs"],
    error: "the longest pulse has to end within nine tenths of periodMs",
  })
  .refine((travel) => isTravel(createTravel(travel)), { path: ["trimDeg"], error: "nothing of the range is left by this trim" })
  .refine(({ startDeg, range }) => startDeg === undefined || (startDeg >= range[0] && startDeg <= range[1]), {
    path: ["startDeg"],
    error: "the horn cannot start outside of its range",
  })
  .refine(({ detach, safe }) => detach !== "never" || safe !== "detach", {
    path: ["detach"],
    error: "a servo that never lets go needs a safe angle: safe: { angleDeg: 0 }",
  })
  .refine(({ detach, safe }) => detach !== "onLoss" || safe === "detach", {
    path: ["detach"],
    error: "a servo lets go when its lease ends only if its safe state is detach",
  });

type ServoOptions = z.output<typeof optionsSchema>;

/**
 * A hobby servo: angles within its range, others are clamped into it. Silent until the first command. Publishes `angle` (degrees, where it is driven),
 * `moving` and `attached` (whether it gets pulses).
 */
export const servoDriver = defineDriver({
  name: "servo",
  summary: "a servo on a PWM channel: angles, a slew rate, and no pulse before the first command",
  options: optionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  reads: ({ feedback }) => (feedback === undefined ? [] : [feedback.variable]),
  claims: ({ pwm }) => [pwmText(pwm)],
  entities: ({ range }) => [
    {
      kind: "number",
      key: "angle",
      main: true,
      state: { value: "angle" },
      unit: "°",
      range,
      calls: { set: { fn: "angle", takesValue: true } },
    },
    { kind: "button", key: "detach", category: "config", calls: { press: { fn: "detach", once: true } } },
    { kind: "binary_sensor", key: "moving", category: "diagnostic", state: { on: "moving" }, deviceClass: "moving" },
    { kind: "binary_sensor", key: "attached", category: "diagnostic", state: { on: "attached" } },
  ],
  async open(context, options) {
    const output = await context.board.openPwm(context.id, options.pwm, Math.round(options.periodMs * 1e6));
    return startOn(output, () => {
      const { periodMs, slewDegPerS, startDeg } = options;
      const axis = createServoAxis(output, { travel: createTravel(options), periodMs, slewDegPerS, startDeg }, (error) =>
        context.fault(error),
      );
      return createServo(context, axis, options);
    });
  },
});

function createServo(context: DeviceContext, axis: ServoAxis, options: ServoOptions): Device {
  const { safe, slewDegPerS, periodMs, feedback } = options;
  const show = publishChanges(context);
  const horn = feedback === undefined ? undefined : createHornWatch(context.id, feedback);
  const idleMs = typeof options.detach === "object" ? options.detach.afterMs : undefined;
  let cancelIdle: Cancel | undefined;

  function showAll(): void {
    const angleDeg = axis.angleDeg();
    if (angleDeg !== undefined) show("angle", angleDeg);
    show("moving", axis.moving());
    show("attached", axis.attached());
  }

  function restartIdle(): void {
    if (idleMs === undefined) return;
    cancelIdle?.();
    cancelIdle = context.clock.after(idleMs, endIdle);
  }

  function endIdle(): void {
    try {
      const written = letGo();
      if (isPending(written)) written.catch((error: unknown) => context.fault(error));
    } catch (error) {
      context.fault(error);
    }
  }

  function watchHorn(nowMs: number): boolean {
    const drivenDeg = axis.angleDeg();
    if (horn === undefined || feedback === undefined || drivenDeg === undefined || !axis.attached()) return false;
    const problem = horn.check(nowMs, drivenDeg, context.variable(feedback.variable));
    if (problem !== undefined) throw problem;
    return true;
  }

  function step(nowMs: number): boolean {
    const before = axis.angleDeg();
    const more = axis.step();
    if (axis.angleDeg() !== before) restartIdle();
    showAll();
    return watchHorn(nowMs) || more;
  }

  const stepping = createStepping(context, periodMs, step);

  function jump(angleDeg: number): Eventually<void> {
    stepping.stop();
    const written = axis.jump(angleDeg);
    restartIdle();
    showAll();
    // Nothing is left to step, but a horn may be watched.
    if (horn !== undefined) stepping.start();
    return written;
  }

  function letGo(): Eventually<void> {
    stepping.stop();
    cancelIdle?.();
    horn?.rest();
    const written = axis.detach();
    showAll();
    return written;
  }

  function drive(angleDeg: number): Eventually<number> {
    if (slewDegPerS !== undefined) {
      const driven = axis.aim(angleDeg);
      // A command that repeats the angle keeps the servo attached.
      restartIdle();
      stepping.start();
      showAll();
      return driven;
    }
    const written = jump(angleDeg);
    const driven = axis.angleDeg() ?? angleDeg;
    return isPending(written) ? written.then(() => driven) : driven;
  }

  function goSafe(to: SafeTarget): Eventually<void> {
    const state = to === "safe" ? safe : to;
    if (typeof state === "string") return letGo();
    const angleDeg = "angleDeg" in state ? state.angleDeg : state.value;
    // Whatever is no angle is no pulse.
    return typeof angleDeg === "number" && !Number.isNaN(angleDeg) ? jump(angleDeg) : letGo();
  }

  showAll();
  return {
    functions: {
      angle: defineFunction({
        summary: "turns the horn; returns the angle it is driven to, degrees: one outside of the range is clamped into it",
        params: z.strictObject({ angleDeg: z.number().describe("degrees") }),
        effect: "actuate",
        call: ({ angleDeg }) => drive(angleDeg),
      }),
      detach: defineFunction({
        summary: "ends the pulses, so that the horn can be turned by hand; returns false: it is not attached",
        params: z.strictObject({}),
        effect: "actuate",
        call() {
          const written = letGo();
          return isPending(written) ? written.then(() => false) : false;
        },
      }),
      state: defineFunction({
        summary:
          "where the horn is driven and will be driven to (degrees, null before the first command), the pulse in microseconds (0 for none)",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          angleDeg: axis.angleDeg() ?? null,
          targetDeg: axis.targetDeg() ?? null,
          pulseUs: Math.round(axis.pulseUs()),
          attached: axis.attached(),
          moving: axis.moving(),
        }),
      }),
    },
    failsafe: goSafe,
    close() {
      stepping.stop();
      cancelIdle?.();
      return axis.close();
    },
  };
}
