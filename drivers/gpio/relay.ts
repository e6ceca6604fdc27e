import { z } from "zod";

import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { isOnIn, onOffSchema } from "./on-off.ts";
import { lineRef, lineRefSchema, type DigitalOutput } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

const optionsSchema = z.strictObject({
  line: lineRefSchema,
  activeLow: z.boolean().default(false).describe("the coil is energised while the line is low, as on most relay boards with optocouplers"),
  safe: onOffSchema.default("off").describe("the safe state: on (coil energised) or off"),
});

/** A relay: on is the coil energised. Every command answers whether it is. */
export const relayDriver = defineDriver({
  name: "relay",
  summary: "a relay on a line: on, off, and on for a while",
  options: optionsSchema,
  moves: false,
  lease: STILL_LEASE,
  claims: ({ line }) => [`line ${line}`],
  entities: ({ safe }) => [
    {
      kind: "switch",
      key: "switch",
      main: true,
      state: { on: "on" },
      calls: {
        on: { fn: "on", rests: safe === "on" ? ["safe"] : [] },
        off: { fn: "off", rests: safe === "off" ? ["safe", "off"] : ["off"] },
      },
    },
  ],
  async open(context, { line, activeLow, safe }) {
    const safeOn = safe === "on";
    const output = await context.board.openOutput(context.id, lineRef(line), safeOn !== activeLow);
    return startOn(output, () => createRelay(context, output, activeLow, safeOn));
  },
});

function createRelay(context: DeviceContext, output: DigitalOutput, activeLow: boolean, safeOn: boolean): Device {
  let on = safeOn;
  let cancelPulse: Cancel | undefined;

  function set(next: boolean): boolean {
    cancelPulse?.();
    cancelPulse = undefined;
    output.write(next !== activeLow);
    if (next !== on) {
      on = next;
      context.publish("on", on);
    }
    return on;
  }

  function endPulse(): void {
    try {
      set(false);
    } catch (error) {
      context.fault(error);
    }
  }

  context.publish("on", on);
  return {
    functions: {
      on: defineFunction({
        summary: "energises the relay; returns true",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => set(true),
      }),
      off: defineFunction({
        summary: "releases the relay; returns false",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => set(false),
      }),
      pulse: defineFunction({
        summary:
          "energises the relay for a while, then releases it; again meanwhile: from then on. The lease may end it earlier. Returns true",
        params: z.strictObject({ durationMs: z.int().min(1).max(60_000).describe("milliseconds") }),
        effect: "actuate",
        call({ durationMs }) {
          set(true);
          cancelPulse = context.clock.after(durationMs, endPulse);
          return on;
        },
      }),
      state: defineFunction({
        summary: "whether the relay is energised",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ on }),
      }),
    },
    failsafe(to) {
      set(isOnIn(to, safeOn));
    },
    close() {
      cancelPulse?.();
      output.close();
    },
  };
}
