import { z } from "zod";

import { defineFunction, STILL_LEASE, type DevicePolicy, type SafeTarget } from "../../agent/contract/device.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createSupervisor } from "../../agent/host/supervisor.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { Reply } from "../../agent/contract/request.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";
import type { Order } from "../../agent/host/supervisor-slot.ts";

export const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 };

export function order(over: Partial<Order> = {}): Order {
  return { caller: "bench", priority: 100, leaseMs: undefined, seq: undefined, token: undefined, cause: 0, ...over };
}

/** A supervisor with its fakes, and devices for it. */
export function rig() {
  const clock = createFakeClock();
  const journal = createJournal(clock);
  const log = createFakeLog();
  const supervisor = createSupervisor({ clock, journal, log, run: "run" });

  /** A device that writes down what happens to it, and does what the test tells it to. */
  function device(
    id: string,
    policy: Partial<DevicePolicy> = {},
    behaviour: { failsafe?: (to: SafeTarget) => Eventually<void>; close?: () => Eventually<void>; restMs?: number; moves?: boolean } = {},
  ) {
    const did: string[] = [];
    const shown: number[] = [];
    const signals: AbortSignal[] = [];
    let answer: () => Eventually<Value> = () => 1;
    const fn = defineFunction({
      summary: "move",
      params: z.object({}),
      effect: "actuate",
      call(_args, signal) {
        did.push("call");
        signals.push(signal);
        return answer();
      },
    });
    const slot = supervisor.adopt({
      id,
      device: {
        functions: { move: fn },
        failsafe(to) {
          did.push(`failsafe ${typeof to === "string" ? to : String(to.value)}`);
          return behaviour.failsafe?.(to);
        },
        restMs: behaviour.restMs,
        close() {
          did.push("close");
          return behaviour.close?.();
        },
      },
      policy: { ...POLICY, ...policy },
      lease: STILL_LEASE,
      moves: behaviour.moves ?? false,
      showLease: (untilMs) => shown.push(untilMs),
    });
    return {
      slot,
      did,
      /** What was said of its lease. */
      shown,
      signals,
      answers(next: () => Eventually<Value>) {
        answer = next;
      },
      /** The next calls last until they are told to give up. */
      givesUp(error: Error) {
        answer = () =>
          new Promise((_, reject) => {
            signals.at(-1)?.addEventListener("abort", () => {
              reject(error);
            });
          });
      },
      /** The next calls last until the test ends the latest of them. */
      waits() {
        let finish: (value: Value) => void = () => undefined;
        answer = () =>
          new Promise((resolve) => {
            finish = resolve;
          });
        return (value: Value) => finish(value);
      },
      move: (over: Partial<Order> = {}) => supervisor.actuate(slot, "move", fn, {}, order(over)),
      claim: (over: Partial<Order> = {}) => supervisor.claim(slot, order(over)),
      read: () => supervisor.read(slot, fn, {}),
    };
  }
  return { clock, journal, log, supervisor, device };
}

export function errorOf(reply: Reply): string {
  return reply.kind === "error" ? `${reply.error.code} ${reply.error.message}` : `no error but ${reply.kind}`;
}

export async function refusal(reply: Eventually<Reply>): Promise<string> {
  return errorOf(await reply);
}

export const hang = () => new Promise<never>(() => undefined);
