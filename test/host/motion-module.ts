import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import {
  defineDriver,
  defineFunction,
  MODULE_CONTRACT,
  MOTION_LEASE,
  type Device,
  type DeviceContext,
} from "../../agent/contract/device.ts";

const optionsSchema = z.strictObject({
  periodMs: z.number().default(10),
  /** What opening it fails with. */
  refuses: z.string().optional(),
});

/** A device that publishes what happens to it, and can be told to misbehave. */
export const testMotionDriver = defineDriver({
  name: "mover",
  summary: "a device for tests",
  options: optionsSchema,
  moves: true,
  thread: "motion",
  lease: MOTION_LEASE,
  reads: () => ["speed"],
  claims: () => [],
  async open(context, { periodMs, refuses }) {
    if (refuses !== undefined) throw new AgentError("NOT_READY", refuses);
    const output = await context.board.openPwm(context.id, { chip: "sim", channel: 0 }, 20_000_000);
    return createMover(
      context,
      periodMs,
      (ratio) => void output.write(ratio),
      () => void output.close(),
    );
  },
});

function createMover(context: DeviceContext, periodMs: number, write: (ratio: number) => void, closePort: () => void): Device {
  let percent = 0;
  let ticks = 0;
  let order = 0;
  let trouble: string | undefined;

  function publishWrite(value: number, why: string): void {
    write(value / 100);
    order += 1;
    context.publish(`write${order}`, `${why} ${value}`);
  }

  context.every(periodMs, () => {
    ticks += 1;
    if (trouble === "tick throws") {
      trouble = undefined;
      throw new Error("tick failed");
    }
  });
  return {
    functions: {
      drive: defineFunction({
        summary: "drives",
        params: z.strictObject({
          percent: z
            .number()
            .min(0)
            .max(100)
            .refine((value) => value !== 13, { error: "13 brings bad luck" }),
        }),
        effect: "actuate",
        call(args) {
          percent = args.percent;
          publishWrite(percent, "drive");
          return percent;
        },
      }),
      wait: defineFunction({
        summary: "ends when it is told to",
        params: z.strictObject({}),
        effect: "actuate",
        call: (_args, signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(new AgentError("NOT_READY", "told to end")), { once: true });
          }),
      }),
      misbehave: defineFunction({
        summary: "does something it should not",
        params: z.strictObject({ how: z.enum(["throw", "tick throws", "die", "hang", "fault"]) }),
        effect: "actuate",
        call({ how }) {
          trouble = how;
          if (how === "throw") throw new Error("thrown by the device");
          if (how === "fault") context.fault(new AgentError("IO", "horn is blocked"));
          if (how === "die") setImmediate(() => dieOf("nobody catches this"));
          while (trouble === "hang");
          return null;
        },
      }),
      state: defineFunction({
        summary: "what it is doing",
        params: z.strictObject({ echo: z.string().default("none") }),
        effect: "read",
        call: ({ echo }) => ({
          percent,
          ticking: ticks > 0,
          speed: context.variable("speed")?.value ?? null,
          other: context.variable("other")?.value ?? null,
          echo,
        }),
      }),
    },
    failsafe(to) {
      percent = 0;
      publishWrite(0, typeof to === "string" ? to : String(to.value));
    },
    close: closePort,
  };
}

function dieOf(reason: string): never {
  throw new Error(reason);
}

export const module = { name: "test-motion", contract: MODULE_CONTRACT, drivers: [testMotionDriver] };
