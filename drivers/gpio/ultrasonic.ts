import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { createEchoWindow, echoDistanceM } from "./echo-timing.ts";
import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { lineRef, lineRefSchema, type DigitalInput, type DigitalOutput, type Edge } from "../../agent/contract/board.ts";
import { attemptAll } from "./attempt-all.ts";
import { startOn } from "./start-on.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** HC-SR04 data sheet (ElecFreaks): a trigger of 10 µs at least. One of a millisecond needs no busy waiting; the burst follows its end. */
const TRIGGER_MS = 1;

/** A measurement may be relied on for this many periods. */
const FRESH_PERIODS = 3;

const optionsSchema = z
  .strictObject({
    trigger: lineRefSchema.describe("output to the sensor's trigger"),
    echo: lineRefSchema.describe("input from the sensor's echo, by way of a divider: the sensor has 5 V, the board 3.3 V"),
    pull: z.enum(["none", "up", "down"]).default("down").describe("bias of the echo line: down, so that a broken wire is silence"),
    periodMs: z
      .number()
      .min(60)
      .max(60_000)
      .default(60)
      .describe("from one measurement to the next, milliseconds; from 60 on no echo meets the one before (HC-SR04 data sheet)"),
    samples: z
      .int()
      .min(1)
      .max(15)
      .default(3)
      .describe("the distance is the median of this many measurements, of which more than half have to be good"),
    minM: z.number().min(0).max(1).default(0.02).describe("nearer than this nothing is measured, metres"),
    maxM: z.number().min(0.1).max(6).default(4).describe("farther than this nothing is measured, metres"),
    temperatureC: z.number().min(-40).max(85).default(20).describe("of the air, degrees Celsius"),
    temperatureVariable: z
      .string()
      .min(1)
      .optional()
      .describe("variable that knows the temperature better, degrees Celsius, as long as it is fresh"),
    faultAfter: z
      .int()
      .min(1)
      .max(1000)
      .default(10)
      .describe("measurements in a row without any echo pulse, or with one that does not end, until that is a fault"),
  })
  .refine(({ minM, maxM }) => minM < maxM, { path: ["maxM"], error: "the farthest distance has to be more than the nearest one" })
  .refine(({ trigger, echo }) => trigger !== echo, { path: ["echo"], error: "trigger and echo are two lines" });

type UltrasonicOptions = z.output<typeof optionsSchema>;

/** Why there is no distance. */
type Missing = "no echo" | "stuck" | "too near" | "too far";

/**
 * An HC-SR04 or one like it, timed by the kernel's stamps. Publishes `distance` (metres; missing rather than wrong, so that it goes stale), `ok` and `status`
 * (`ok`, `no echo`, `stuck`, `too near`, `too far`).
 */
export const ultrasonicDriver = defineDriver({
  name: "ultrasonic",
  summary: "a distance sensor with trigger and echo lines (HC-SR04): metres, corrected by temperature, median of several",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  reads: ({ temperatureVariable }) => (temperatureVariable === undefined ? [] : [temperatureVariable]),
  claims: ({ trigger, echo }) => [`line ${trigger}`, `line ${echo}`],
  entities: () => [
    {
      kind: "sensor",
      key: "distance",
      main: true,
      state: { value: "distance" },
      unit: "m",
      deviceClass: "distance",
      stateClass: "measurement",
      digits: 3,
    },
    { kind: "sensor", key: "status", category: "diagnostic", state: { value: "status" } },
  ],
  async open(context, options) {
    const trigger = await context.board.openOutput(context.id, lineRef(options.trigger), false);
    return startOn(trigger, async () => {
      const echo = await context.board.openInput(context.id, lineRef(options.echo), { pull: options.pull });
      return startOn(echo, () => createUltrasonic(context, trigger, echo, options));
    });
  },
});

function createUltrasonic(context: DeviceContext, trigger: DigitalOutput, echo: DigitalInput, options: UltrasonicOptions): Device {
  const { periodMs, samples, minM, maxM, faultAfter, temperatureVariable } = options;
  const window = createEchoWindow(samples);
  const freshMs = periodMs * FRESH_PERIODS;
  let status: "ok" | "starting" | Missing = "starting";
  let distanceM: number | undefined;
  /** When the pulse that is waited for was asked for; undefined when it has come or none was. */
  let askedNs: bigint | undefined;
  let risenNs: bigint | undefined;
  let silent = 0;
  let stuck = 0;
  let cancelTrigger: Cancel | undefined;

  function temperatureC(): number {
    const known = temperatureVariable === undefined ? undefined : context.variable(temperatureVariable);
    if (known === undefined || known.stale || typeof known.value !== "number") return options.temperatureC;
    return known.value >= -40 && known.value <= 85 ? known.value : options.temperatureC;
  }

  /** One measurement is over. */
  function conclude(outcome: number | Missing): void {
    askedNs = undefined;
    risenNs = undefined;
    silent = outcome === "no echo" ? silent + 1 : 0;
    stuck = outcome === "stuck" ? stuck + 1 : 0;
    distanceM = window.push(typeof outcome === "number" ? outcome : undefined);
    if (distanceM !== undefined) status = "ok";
    else if (typeof outcome === "string") status = outcome;
    if (distanceM !== undefined) context.publish("distance", distanceM, freshMs);
    context.publish("ok", distanceM !== undefined, freshMs);
    context.publish("status", status, freshMs);
    reportSilence();
  }

  function reportSilence(): void {
    if (silent >= faultAfter) {
      silent = 0;
      const what = `line ${options.echo} answered none of ${faultAfter} triggers on line ${options.trigger}`;
      context.fault(new AgentError("IO", `${context.id}: ${what}; is the sensor wired and powered?`));
    }
    if (stuck >= faultAfter) {
      stuck = 0;
      const what = `line ${options.echo} stays high, ${faultAfter} measurements long`;
      context.fault(new AgentError("IO", `${context.id}: ${what}; is the sensor wired and powered?`));
    }
  }

  function onEdge({ rising, timestampNs, kernelStamp }: Edge): void {
    if (askedNs === undefined) return;
    if (!kernelStamp) {
      askedNs = undefined;
      const why = `edges of line ${options.echo} have no time stamp of the kernel, and without one a distance is off by metres`;
      context.fault(new AgentError("FAULTED", `${context.id}: ${why}; choose gpio: cdev for the board`));
      return;
    }
    if (rising) {
      // What began before the trigger is something else's echo.
      if (timestampNs >= askedNs) risenNs = timestampNs;
      return;
    }
    if (risenNs === undefined) return;
    const measuredM = echoDistanceM(Number(timestampNs - risenNs), temperatureC());
    if (measuredM < minM) conclude("too near");
    else conclude(measuredM > maxM ? "too far" : measuredM);
  }

  function endTrigger(): void {
    try {
      trigger.write(false);
    } catch (error) {
      context.fault(error);
    }
  }

  function measure(nowMs: number): void {
    if (askedNs !== undefined) conclude(risenNs === undefined ? "no echo" : "stuck");
    if (echo.read()) {
      conclude("stuck");
      return;
    }
    askedNs = BigInt(Math.floor(nowMs * 1e6));
    trigger.write(true);
    cancelTrigger = context.clock.after(TRIGGER_MS, endTrigger);
  }

  echo.onEdge(onEdge, (error) => {
    context.fault(error);
  });
  context.publish("ok", false, freshMs);
  context.publish("status", status, freshMs);
  const cancelTicks = context.every(periodMs, measure);
  return {
    functions: {
      state: defineFunction({
        summary: "the distance in metres (null when it is not known) and why it is or is not, with the temperature that was reckoned with",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ distanceM: distanceM ?? null, status, temperatureC: temperatureC() }),
      }),
    },
    close() {
      cancelTicks();
      cancelTrigger?.();
      return attemptAll([() => trigger.close(), () => echo.close()]);
    },
  };
}
