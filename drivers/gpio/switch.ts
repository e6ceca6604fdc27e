import { z } from "zod";

import { defineDriver, defineFunction, STILL_LEASE, type Device } from "../../agent/contract/device.ts";
import { isOnIn } from "./on-off.ts";

/**
 * A demand without a port: somebody wants something on, and rules decide with other variables what that means.
 * It is on only while its lease is renewed.
 */
export const switchDriver = defineDriver({
  name: "switch",
  summary: "a demand without a port: on or off, for rules to combine with other variables",
  options: z.strictObject({}),
  moves: false,
  lease: STILL_LEASE,
  claims: () => [],
  entities: () => [
    {
      kind: "switch",
      key: "switch",
      main: true,
      state: { on: "on" },
      calls: { on: { fn: "on" }, off: { fn: "off", rests: ["safe", "off"] } },
    },
  ],
  async open(context): Promise<Device> {
    let on = false;

    function set(next: boolean): boolean {
      if (next !== on) {
        on = next;
        context.publish("on", on);
      }
      return on;
    }

    context.publish("on", on);
    return {
      functions: {
        on: defineFunction({
          summary: "demands it on; returns true",
          params: z.strictObject({}),
          effect: "actuate",
          call: () => set(true),
        }),
        off: defineFunction({
          summary: "demands it off; returns false",
          params: z.strictObject({}),
          effect: "actuate",
          call: () => set(false),
        }),
        state: defineFunction({ summary: "whether it is demanded", params: z.strictObject({}), effect: "read", call: () => ({ on }) }),
      },
      failsafe(to) {
        set(isOnIn(to, false));
      },
      close: () => undefined,
    };
  },
});
