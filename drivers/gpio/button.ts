import { z } from "zod";

import { defineDriver, defineFunction, STILL_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { lineRef, lineRefSchema, type DigitalInput, type Edge } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";

const optionsSchema = z.strictObject({
  line: lineRefSchema,
  pull: z.enum(["none", "up", "down"]).default("up").describe("bias of the line while the button is open"),
  activeLow: z.boolean().default(true).describe("pressing connects the line to ground"),
  debounceMs: z.number().min(0).max(1000).default(10).describe("a level must last this long before it counts, milliseconds"),
});

/**
 * A push button. Publishes `pressed`, `presses` (since it opened) and `pressed_at_us`: the monotonic clock at the latest press in microseconds,
 * 0 before the first. Microseconds, because a variable is a double and nanoseconds would lose digits after 104 days of uptime.
 */
export const buttonDriver = defineDriver({
  name: "button",
  summary: "a push button on a line: publishes presses with their time stamps, debounced",
  options: optionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ line }) => [`line ${line}`],
  entities: () => [
    { kind: "event", key: "press", main: true, state: { count: "presses" }, type: "press", deviceClass: "button" },
    { kind: "binary_sensor", key: "pressed", state: { on: "pressed" } },
    { kind: "sensor", key: "presses", category: "diagnostic", hidden: true, state: { value: "presses" }, stateClass: "total_increasing" },
  ],
  async open(context, { line, pull, activeLow, debounceMs }) {
    const input = await context.board.openInput(context.id, lineRef(line), { pull, debounceUs: Math.round(debounceMs * 1000) });
    return startOn(input, () => createButton(context, input, activeLow));
  },
});

function createButton(context: DeviceContext, input: DigitalInput, activeLow: boolean): Device {
  let presses = 0;
  let lastPressNs: bigint | undefined;
  let pressed = input.read() !== activeLow;

  function onEdge({ rising, timestampNs }: Edge): void {
    const next = rising !== activeLow;
    if (next) {
      presses += 1;
      lastPressNs = timestampNs;
      context.publish("presses", presses);
      context.publish("pressed_at_us", Number(timestampNs / 1000n));
    }
    if (next !== pressed) {
      pressed = next;
      context.publish("pressed", pressed);
    }
  }

  // A button that no longer hears is a fault, not a button that nobody presses.
  input.onEdge(onEdge, (error) => {
    context.fault(error);
  });

  context.publish("pressed", pressed);
  context.publish("presses", presses);
  context.publish("pressed_at_us", 0);
  return {
    functions: {
      state: defineFunction({
        summary:
          "whether it is pressed, presses since it opened, and the monotonic clock at the latest press in nanoseconds (null before the first)",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ pressed: input.read() !== activeLow, presses, lastPressNs: lastPressNs ?? null }),
      }),
    },
    close: () => input.close(),
  };
}
