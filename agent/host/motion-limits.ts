import { z } from "zod";

import { MAX_REALTIME_PRIORITY } from "./realtime.ts";

/** The `motion` part of the configuration. */
export const motionLimitsSchema = z.strictObject({
  graceMs: z
    .int()
    .min(5)
    .max(1000)
    .default(20)
    .describe("the motion thread ends a lease itself when the rest of the device host has not done so by then, milliseconds"),
  watchdogPeriods: z
    .int()
    .min(2)
    .max(100)
    .default(3)
    .describe("a control loop that misses this many deadlines in a row faults its device while that is driven (panda's self-watchdog: 3)"),
  overruns: z
    .int()
    .min(1)
    .max(1000)
    .default(10)
    .describe("a control loop that comes after a missed deadline this often within overrunWindowMs faults its device while that is driven"),
  overrunWindowMs: z.int().min(100).max(60_000).default(1000).describe("see overruns, milliseconds"),
  hangMs: z
    .int()
    .min(50)
    .max(10_000)
    .default(300)
    .describe("a motion thread that stands still for so long is given up: the device host ends and everything is made safe, milliseconds"),
  openMs: z
    .int()
    .min(500)
    .max(60_000)
    .default(5000)
    .describe("the same while the motion thread starts and while a device opens or closes, milliseconds"),
  niceness: z
    .int()
    .min(-20)
    .max(0)
    .default(-10)
    .describe("the motion thread's place in the kernel's scheduling, -20 is first; without the permission (LimitNICE) it stays at 0"),
  realtimePriority: z
    .int()
    .min(0)
    .max(MAX_REALTIME_PRIORITY)
    .default(20)
    .describe(
      "the kernel runs the motion thread before all that is not real-time (SCHED_FIFO; its interrupt threads have 50); 0, or without the permission (LimitRTPRIO) or with one processor: not",
    ),
});

export type MotionLimits = z.output<typeof motionLimitsSchema>;
