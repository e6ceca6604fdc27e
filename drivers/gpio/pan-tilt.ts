import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { attemptAll } from "./attempt-all.ts";
import { createServoAxis, type ServoAxis } from "./servo-axis.ts";
import { createStepping } from "./stepping.ts";
import { createTravel, isTravel, MAX_DUTY_RATIO, pulsePeriodSchema, travelShape, type Travel } from "./servo-motion.ts";
import { defineDriver, defineFunction, MOTION_LEASE } from "../../agent/contract/device.ts";
import { isPending, type Eventually } from "../../agent/contract/value.ts";
import { publishChanges } from "./changes.ts";
import { pwmRefSchema, pwmText, type PwmOutput } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Device, DeviceContext, DeviceFunction, SafeTarget } from "../../agent/contract/device.ts";
import type { Entity } from "../../agent/contract/entity.ts";

const angleSchema = z.number().min(-360).max(360);

const axisSchema = z
  .strictObject({
    pwm: pwmRefSchema,
    ...travelShape,
    stops: z
      .tuple([angleSchema, angleSchema])
      .refine(([low, high]) => low < high, { error: "the first of the two has to be the smaller one" })
      .optional()
      .describe("soft stops: angles it is never driven beyond, degrees; the range when absent"),
    maxDegPerS: z.number().min(1).max(2000).default(120).describe("how fast the axis may be moved, degrees per second"),
    startDeg: angleSchema
      .optional()
      .describe("where the axis is when the agent starts, degrees; unknown when absent: then its first command moves at full speed"),
  })
  .refine(({ stops, ...travel }) => isTravel(createTravel(travel, stops)), {
    path: ["stops"],
    error: "nothing of the range is left between these stops and by this trim",
  });

type AxisOptions = z.output<typeof axisSchema>;

const directionSchema = z.strictObject({ panDeg: angleSchema, tiltDeg: angleSchema });

type Direction = z.output<typeof directionSchema>;

const optionsSchema = z
  .strictObject({
    pan: axisSchema.describe("the servo that turns left and right"),
    tilt: axisSchema.describe("the servo that turns up and down"),
    periodMs: pulsePeriodSchema,
    home: directionSchema.default({ panDeg: 0, tiltDeg: 0 }).describe("where `home` looks"),
    presets: z
      .record(
        z.string().regex(/^[\w-]{1,32}$/, { error: "a preset's name has 1 to 32 letters, digits, dashes and underscores" }),
        directionSchema,
      )
      .default({})
      .describe("directions with names"),
    safe: z
      .union([z.literal("detach"), directionSchema])
      .default("detach")
      .describe("the safe state: no pulses, or a direction that is driven at once"),
  })
  .refine(({ pan, tilt, periodMs }) => Math.max(pan.pulseUs[1], tilt.pulseUs[1]) <= MAX_DUTY_RATIO * periodMs * 1000, {
    path: ["periodMs"],
    error: "the longest pulse has to end within nine tenths of periodMs",
  });

type PanTiltOptions = z.output<typeof optionsSchema>;

/**
 * A camera head of two servos. Silent until the first command; angles are clamped between the soft stops. Publishes `pan` and `tilt` (degrees, where it is
 * driven), `moving` and `attached` (whether it gets pulses).
 */
export const panTiltDriver = defineDriver({
  name: "pan-tilt",
  summary: "a camera head of two servos: directions, speeds, presets and soft stops",
  options: optionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  claims: ({ pan, tilt }) => [pwmText(pan.pwm), pwmText(tilt.pwm)],
  entities: ({ pan, tilt, presets }) => [
    axisEntity("pan", pan),
    axisEntity("tilt", tilt),
    { kind: "button", key: "home", calls: { press: { fn: "home" } } },
    ...Object.keys(presets).map((name): Entity => ({
      kind: "button",
      key: `preset_${name}`,
      name,
      calls: { press: { fn: "preset", args: [name] } },
    })),
    { kind: "button", key: "detach", category: "config", calls: { press: { fn: "detach", once: true } } },
    { kind: "binary_sensor", key: "moving", category: "diagnostic", state: { on: "moving" }, deviceClass: "moving" },
    { kind: "binary_sensor", key: "attached", category: "diagnostic", state: { on: "attached" } },
  ],
  async open(context, options) {
    const periodNs = Math.round(options.periodMs * 1e6);
    const pan = await context.board.openPwm(context.id, options.pan.pwm, periodNs);
    return startOn(pan, async () => {
      const tilt = await context.board.openPwm(context.id, options.tilt.pwm, periodNs);
      return startOn(tilt, () => createPanTilt(context, pan, tilt, options));
    });
  },
});

function axisEntity(name: "pan" | "tilt", { range, stops }: AxisOptions): Entity {
  return {
    kind: "number",
    key: name,
    state: { value: name },
    unit: "°",
    range: stops ?? range,
    calls: { set: { fn: name, takesValue: true } },
  };
}

function travelOf({ stops, ...options }: AxisOptions): Travel {
  return createTravel(options, stops);
}

function createAxis(context: DeviceContext, output: PwmOutput, options: AxisOptions, periodMs: number): ServoAxis {
  const { maxDegPerS, startDeg } = options;
  return createServoAxis(output, { travel: travelOf(options), periodMs, slewDegPerS: maxDegPerS, startDeg }, (error) =>
    context.fault(error),
  );
}

function createPanTilt(context: DeviceContext, panOutput: PwmOutput, tiltOutput: PwmOutput, options: PanTiltOptions): Device {
  const { periodMs, home, presets, safe } = options;
  const pan = createAxis(context, panOutput, options.pan, periodMs);
  const tilt = createAxis(context, tiltOutput, options.tilt, periodMs);
  const show = publishChanges(context);

  const attached = (): boolean => pan.attached() || tilt.attached();
  const moving = (): boolean => pan.moving() || tilt.moving();

  function showAll(): void {
    const panDeg = pan.angleDeg();
    const tiltDeg = tilt.angleDeg();
    if (panDeg !== undefined) show("pan", panDeg);
    if (tiltDeg !== undefined) show("tilt", tiltDeg);
    show("moving", moving());
    show("attached", attached());
  }

  const stepping = createStepping(context, periodMs, () => {
    const panMoves = pan.step();
    const tiltMoves = tilt.step();
    showAll();
    return panMoves || tiltMoves;
  });

  function go(): void {
    stepping.start();
    showAll();
  }

  function look({ panDeg, tiltDeg }: Direction): Direction {
    const driven = { panDeg: pan.aim(panDeg), tiltDeg: tilt.aim(tiltDeg) };
    go();
    return driven;
  }

  function turn(axis: ServoAxis, angleDeg: number): number {
    const driven = axis.aim(angleDeg);
    go();
    return driven;
  }

  /** Aims at the stop in that direction; returns the speed it goes there with. */
  function sweep(axis: ServoAxis, { maxDegPerS }: AxisOptions, travel: Travel, degPerS: number): number {
    const speed = Math.min(Math.abs(degPerS), maxDegPerS);
    if (speed === 0) {
      // One that was never driven stays silent.
      if (axis.attached()) axis.aim(axis.angleDeg() ?? 0);
      return 0;
    }
    axis.aim(degPerS > 0 ? travel.maxDeg : travel.minDeg, speed);
    return Math.sign(degPerS) * speed;
  }

  function mustBeKnown(axis: ServoAxis, name: string, degPerS: number): void {
    if (degPerS === 0 || axis.angleDeg() !== undefined) return;
    throw new AgentError(
      "NOT_READY",
      `${context.id}: nobody knows where ${name} is before its first angle; look somewhere first, or configure ${name}.startDeg`,
    );
  }

  const panTravel = travelOf(options.pan);
  const tiltTravel = travelOf(options.tilt);

  function move(panDegPerS: number, tiltDegPerS: number): Record<string, number> {
    mustBeKnown(pan, "pan", panDegPerS);
    mustBeKnown(tilt, "tilt", tiltDegPerS);
    const driven = {
      panDegPerS: sweep(pan, options.pan, panTravel, panDegPerS),
      tiltDegPerS: sweep(tilt, options.tilt, tiltTravel, tiltDegPerS),
    };
    go();
    return driven;
  }

  function goSafe(to: SafeTarget): Eventually<void> {
    stepping.stop();
    const direction = to === "safe" && safe !== "detach" ? safe : undefined;
    const done =
      direction === undefined
        ? attemptAll([() => pan.detach(), () => tilt.detach()])
        : attemptAll([() => pan.jump(direction.panDeg), () => tilt.jump(direction.tiltDeg)]);
    showAll();
    return done;
  }

  const functions: Record<string, DeviceFunction> = {
    look: defineFunction({
      summary: "looks in a direction; returns the one it is driven to, degrees: angles beyond the stops are clamped",
      params: z.strictObject({ panDeg: z.number().describe("degrees"), tiltDeg: z.number().describe("degrees") }),
      effect: "actuate",
      call: look,
    }),
    pan: defineFunction({
      summary: "turns left and right; returns the angle it is driven to, degrees",
      params: z.strictObject({ panDeg: z.number().describe("degrees") }),
      effect: "actuate",
      call: ({ panDeg }) => turn(pan, panDeg),
    }),
    tilt: defineFunction({
      summary: "turns up and down; returns the angle it is driven to, degrees",
      params: z.strictObject({ tiltDeg: z.number().describe("degrees") }),
      effect: "actuate",
      call: ({ tiltDeg }) => turn(tilt, tiltDeg),
    }),
    move: defineFunction({
      summary:
        "keeps turning as fast as asked until the stops or the end of the lease, 0 stops; returns the speeds driven, at most each axis' own",
      params: z.strictObject({
        panDegPerS: z.number().describe("degrees per second"),
        tiltDegPerS: z.number().describe("degrees per second"),
      }),
      effect: "actuate",
      call: ({ panDegPerS, tiltDegPerS }) => move(panDegPerS, tiltDegPerS),
    }),
    home: defineFunction({
      summary: "looks home; returns the direction it is driven to, degrees",
      params: z.strictObject({}),
      effect: "actuate",
      call: () => look(home),
    }),
    detach: defineFunction({
      summary: "ends the pulses, so that the head can be turned by hand; returns false: it is not attached",
      params: z.strictObject({}),
      effect: "actuate",
      call() {
        const done = goSafe("off");
        return isPending(done) ? done.then(() => false) : false;
      },
    }),
    state: defineFunction({
      summary: "where the head is driven and will be driven to (degrees, null for unknown), whether it moves and gets pulses",
      params: z.strictObject({}),
      effect: "read",
      call: () => ({
        panDeg: pan.angleDeg() ?? null,
        tiltDeg: tilt.angleDeg() ?? null,
        panTargetDeg: pan.targetDeg() ?? null,
        tiltTargetDeg: tilt.targetDeg() ?? null,
        attached: attached(),
        moving: moving(),
      }),
    }),
  };
  const names = Object.keys(presets);
  if (names.length > 0) {
    functions["preset"] = defineFunction({
      summary: "looks where the preset of this name does; returns the direction it is driven to, degrees",
      params: z.strictObject({ name: z.enum(names) }),
      effect: "actuate",
      call: ({ name }) => look(presets[name] ?? home),
    });
  }

  showAll();
  return {
    functions,
    failsafe: goSafe,
    close() {
      stepping.stop();
      return attemptAll([() => pan.close(), () => tilt.close()]);
    },
  };
}
