import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { defineDriver, defineFunction, MOTION_LEASE, type Device, type DeviceContext } from "../../agent/contract/device.ts";
import { lineRef, lineRefSchema, type DigitalOutputs } from "../../agent/contract/board.ts";
import { publishChanges } from "./changes.ts";
import { startOn } from "./start-on.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

/** Between 0 (closed) and 100 (open) nothing finer can be told from a time of travel. */
const SHOW_MS = 250;

const travelSchema = z.int().min(500).max(600_000);

const optionsSchema = z
  .strictObject({
    open: lineRefSchema.describe("line of the relay that opens"),
    close: lineRefSchema.describe("line of the relay that closes"),
    activeLow: z.boolean().default(false).describe("a coil is energised while its line is low"),
    openMs: travelSchema.describe("travel from closed to open, milliseconds"),
    closeMs: travelSchema.describe("travel from open to closed, milliseconds"),
    marginMs: z
      .int()
      .min(0)
      .max(60_000)
      .default(1000)
      .describe(
        "how much longer it is driven to either end, milliseconds: there the cover's own limit switch ends the travel, and the position is known again",
      ),
    pauseMs: z
      .int()
      .min(100)
      .max(10_000)
      .default(500)
      .describe("both relays are released for so long before it goes the other way, milliseconds; motors with a capacitor need it"),
    kind: z
      .enum(["awning", "blind", "curtain", "damper", "door", "garage", "gate", "shade", "shutter", "window"])
      .default("shutter")
      .describe("what it is, for home automation"),
  })
  .refine(({ open, close }) => open !== close, { path: ["close"], error: "open and close are two lines" });

type CoverOptions = z.output<typeof optionsSchema>;

type Way = "open" | "close";

/**
 * A shutter, blind or gate whose motor has a relay for either way and limit switches of its own. One relay at a time is ever energised, with a pause in between; the safe
 * state is both released. Where it is follows from the time of travel. Publishes `state` (open, opening, closed, closing, stopped; unknown before the first
 * travel to an end) and `position` (percent, 0 is closed, once known).
 */
export const coverDriver = defineDriver({
  name: "cover",
  summary: "a shutter, blind or gate on two relays: open, close, stop, and a position by the time of travel",
  options: optionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  claims: ({ open, close }) => [`line ${open}`, `line ${close}`],
  entities: ({ kind }) => [
    {
      kind: "cover",
      key: "cover",
      main: true,
      deviceClass: kind,
      state: { state: "state", position: "position" },
      calls: {
        open: { fn: "open" },
        close: { fn: "close" },
        stop: { fn: "stop", once: true },
        position: { fn: "position", takesValue: true },
      },
    },
  ],
  async open(context, options) {
    const { open, close, activeLow } = options;
    const outputs = await context.board.openOutputs(context.id, [lineRef(open), lineRef(close)], [activeLow, activeLow]);
    return startOn(outputs, () => createCover(context, outputs, options));
  },
});

function createCover(context: DeviceContext, outputs: DigitalOutputs, options: CoverOptions): Device {
  const { openMs, closeMs, marginMs, pauseMs, activeLow } = options;
  const { clock } = context;
  const show = publishChanges(context);
  /** Percent, as long as nothing was driven since; undefined while it is unknown. */
  let position: number | undefined;
  let way: Way | undefined;
  let target = 0;
  let sinceMs = 0;
  let releasedMs = -Infinity;
  let lastWay: Way | undefined;
  let cancel: Cancel | undefined;
  let cancelShow: Cancel | undefined;

  const msPerPercent = (going: Way): number => (going === "open" ? openMs : closeMs) / 100;

  /** Where it is now. */
  function positionNow(): number | undefined {
    if (position === undefined || way === undefined) return position;
    const travelled = (clock.monotonicMs() - sinceMs) / msPerPercent(way);
    return Math.min(100, Math.max(0, way === "open" ? position + travelled : position - travelled));
  }

  function energise(next: Way | undefined): void {
    outputs.write([(next === "open") !== activeLow, (next === "close") !== activeLow]);
  }

  function stateWord(): string {
    if (way !== undefined) return way === "open" ? "opening" : "closing";
    if (position === undefined) return "unknown";
    if (position === 0) return "closed";
    return position === 100 ? "open" : "stopped";
  }

  function showAll(): void {
    show("state", stateWord());
    const now = positionNow();
    if (now !== undefined) show("position", Math.round(now));
  }

  function release(): void {
    cancel?.();
    cancelShow?.();
    cancelShow = undefined;
    if (way !== undefined) {
      position = positionNow();
      releasedMs = clock.monotonicMs();
    }
    way = undefined;
    energise(undefined);
    showAll();
  }

  /** What fails without anybody waiting for it is the device's fault. */
  function later(delayMs: number, run: () => void): Cancel {
    return clock.after(delayMs, () => {
      try {
        run();
      } catch (error) {
        context.fault(error);
      }
    });
  }

  /** Whoever comes to an end has been there: the position is known from then on. */
  function arrive(at: number): void {
    release();
    if (at === 0 || at === 100) position = at;
    showAll();
  }

  function start(going: Way): void {
    energise(going);
    way = going;
    lastWay = going;
    sinceMs = clock.monotonicMs();
    cancelShow = context.every(SHOW_MS, showAll);
    const atEnd = target === 0 || target === 100;
    const left = position === undefined ? 100 : Math.abs(target - position);
    cancel = later(left * msPerPercent(going) + (atEnd ? marginMs : 0), () => arrive(target));
    showAll();
  }

  function go(going: Way, to: number): number {
    // An order that is repeated changes nothing.
    if (way === going && target === to) return to;
    if (way !== undefined) release();
    cancel?.();
    target = to;
    const waitMs = lastWay === undefined || lastWay === going ? 0 : releasedMs + pauseMs - clock.monotonicMs();
    if (waitMs > 0) cancel = later(waitMs, () => start(going));
    else start(going);
    return to;
  }

  function goTo(to: number): number {
    if (to === 100) return goToEnd("open", 100);
    if (to === 0) return goToEnd("close", 0);
    const now = positionNow();
    if (now === undefined) {
      throw new AgentError(
        "NOT_READY",
        `${context.id}: nobody knows where it is before it was opened or closed once; open or close it first`,
      );
    }
    if (Math.abs(now - to) >= 1) return go(to > now ? "open" : "close", to);
    release();
    return to;
  }

  /** One that is there stays there; what it is told again and again must not heat its motor. */
  function goToEnd(going: Way, to: number): number {
    return way === undefined && position === to ? to : go(going, to);
  }

  showAll();
  return {
    functions: {
      open: defineFunction({
        summary: "opens it as far as it goes, or as long as the lease is renewed; returns 100",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => goTo(100),
      }),
      close: defineFunction({
        summary: "closes it as far as it goes, or as long as the lease is renewed; returns 0",
        params: z.strictObject({}),
        effect: "actuate",
        call: () => goTo(0),
      }),
      stop: defineFunction({
        summary: "releases both relays; returns the percent it is open, null where that is not known",
        params: z.strictObject({}),
        effect: "actuate",
        call() {
          release();
          return position === undefined ? null : Math.round(position);
        },
      }),
      position: defineFunction({
        summary: "drives it so far open, by the time of travel; returns the percent it goes to",
        params: z.strictObject({ percent: z.number().min(0).max(100).describe("percent open: 0 is closed") }),
        effect: "actuate",
        call: ({ percent }) => goTo(percent),
      }),
      state: defineFunction({
        summary: "what it does, and how far it is open, percent, null where that is not known",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({ state: stateWord(), percent: positionNow() ?? null }),
      }),
    },
    failsafe: release,
    close() {
      cancel?.();
      cancelShow?.();
      outputs.close();
    },
  };
}
