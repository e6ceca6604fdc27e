import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { errorReply, OK, PRIORITY, valueReply, type EventId, type Reply } from "../contract/request.ts";
import { isPending, type Eventually, type Value } from "../contract/value.ts";
import { isLive, keepsOut, leaseLengthMs, NO_LEASE, type Lease } from "./lease.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Device, DeviceFunction, DevicePolicy, LeaseRange, LossAction, SafeTarget } from "../contract/device.ts";
import type { EventKind, Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";

/** Calls that may wait for one device's call in progress; more are answered FULL. */
const MAX_WAITING_CALLS = 64;

/** What the supervisor is told of a device when it opens. */
export interface Supervised {
  readonly id: string;
  readonly device: Device;
  readonly policy: DevicePolicy;
  readonly lease: LeaseRange;
}

/** A function's arguments by name, checked. */
export type Arguments = Record<string, unknown>;

/** One command: who gives it, how urgently, and for how long it may stand. */
export interface Order {
  readonly caller: string;
  readonly priority: number;
  readonly leaseMs: number | undefined;
  /** Rises with every command of a stream; one that is not newer than the last is refused STALE. */
  readonly seq: number | undefined;
  readonly cause: EventId;
}

/** One device under supervision. Read by others, written only by the supervisor. */
export interface Slot extends Supervised {
  readonly current: Readonly<Lease>;
  readonly fault: AgentError | undefined;
  /** The latest event about the device. */
  readonly event: EventId;
}

interface MutableSlot extends Supervised {
  current: Readonly<Lease>;
  fault: AgentError | undefined;
  /** The cause of the device's next event. */
  event: EventId;
  abort: AbortController;
  /** A call or a failsafe in progress; later calls wait for it. */
  pending: Promise<unknown> | undefined;
  waiting: number;
  seqCaller: string;
  seq: number;
}

/** The one gate every actuation passes: leases, arbitration, faults, safe states, e-stop. */
export interface Supervisor {
  adopt(supervised: Supervised): Slot;
  /** Calls an actuating function on behalf of `order`, if it may; restarts the lease. `name` is what the journal and errors call it: `beam(low)`. */
  actuate(slot: Slot, name: string, fn: DeviceFunction, args: Arguments, order: Order): Eventually<Reply>;
  /** Calls a reading function: always, also while faulted. */
  read(slot: Slot, fn: DeviceFunction, args: Arguments): Eventually<Reply>;
  /** The device can no longer be trusted: it and its motion group go safe and stay so until RESET. The first error is kept. */
  fault(slot: Slot, error: unknown): void;
  /** Makes the device and its motion group safe again; that must succeed for the fault to clear. */
  reset(slot: Slot, caller: string): Promise<Reply>;
  /** Latched: everything goes safe, nothing actuates until `clearEStop`. */
  eStop(caller: string): Promise<Reply>;
  clearEStop(caller: string): Reply;
  readonly eStoppedBy: string | undefined;
  /** Takes every device to its exit state and closes it. Nothing actuates afterwards. */
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly log: Log;
}

export function createSupervisor({ clock, journal, log }: SupervisorOptions): Supervisor {
  const slots: MutableSlot[] = [];
  let eStoppedBy: string | undefined;
  let stopping = false;
  let sweepDueMs = Infinity;
  let cancelSweep: Cancel | undefined;

  const mutable = (slot: Slot): MutableSlot => slot as MutableSlot;

  function record(slot: MutableSlot, kind: EventKind, caller: string, detail: string, cause: EventId = slot.event): void {
    slot.event = journal.record(kind, slot.id, caller, detail, cause);
  }

  /** The promise's outcome, or TIMEOUT after the device's time limit. What comes later is dropped. */
  async function limited<T>(slot: MutableSlot, what: string, promise: Promise<T>): Promise<T> {
    let cancel: Cancel | undefined;
    const limit = new Promise<never>((_, reject) => {
      cancel = clock.after(slot.policy.callMs, () => {
        reject(new AgentError("TIMEOUT", `${slot.id}: ${what} took longer than ${slot.policy.callMs} ms`));
      });
    });
    try {
      return await Promise.race([promise, limit]);
    } finally {
      cancel?.();
    }
  }

  /** Later calls wait for `work`. It must not reject. */
  function occupy<T>(slot: MutableSlot, work: Promise<T>): Promise<T> {
    const occupied = work.finally(() => {
      if (slot.pending === occupied) slot.pending = undefined;
    });
    slot.pending = occupied;
    return occupied;
  }

  /** Drives the device to `to` without waiting for a call in progress; returns what went wrong. */
  function makeSafe(slot: MutableSlot, to: SafeTarget, caller: string): Eventually<AgentError | undefined> {
    slot.current = NO_LEASE;
    slot.abort.abort();
    slot.abort = new AbortController();
    if (slot.device.failsafe === undefined) return undefined;
    record(slot, "safe", caller, typeof to === "string" ? to : String(to.value));
    try {
      const done = slot.device.failsafe(to);
      if (!isPending(done)) return undefined;
      return occupy(
        slot,
        limited(slot, "going safe", done).then(
          () => undefined,
          (error: unknown) => toAgentError(error),
        ),
      );
    } catch (error) {
      return toAgentError(error);
    }
  }

  function makeSafeOrReport(slot: MutableSlot, to: SafeTarget, caller: string, onError: (error: AgentError) => void): void {
    const failure = makeSafe(slot, to, caller);
    if (isPending(failure)) void failure.then((error) => error && onError(error));
    else if (failure !== undefined) onError(failure);
  }

  function markFaulted(slot: MutableSlot, error: AgentError): void {
    if (slot.fault !== undefined) return;
    slot.fault = error;
    record(slot, "fault", "", `${error.code} ${error.message}`);
    log.error({ device: slot.id, code: error.code }, `${slot.id} faulted: ${error.message}`);
    makeSafeOrReport(slot, "safe", "fault", (failure) => {
      log.error({ device: slot.id, code: failure.code }, `${slot.id} could not be made safe: ${failure.message}`);
    });
  }

  function faultGroup(slot: MutableSlot, thrown: unknown): void {
    const error = toAgentError(thrown, "FAULTED");
    markFaulted(slot, error);
    for (const mate of matesOf(slot)) {
      markFaulted(mate, new AgentError("FAULTED", `${slot.id} of motion group ${String(slot.policy.group)} faulted: ${error.message}`));
    }
  }

  function matesOf(slot: MutableSlot): readonly MutableSlot[] {
    const { group } = slot.policy;
    return group === undefined ? [] : slots.filter((other) => other !== slot && other.policy.group === group);
  }

  /** The lease is over and was not renewed. */
  function loseLease(slot: MutableSlot): void {
    const { holder } = slot.current;
    record(slot, "lease-end", holder, "not renewed");
    const lost = [slot, ...matesOf(slot)];
    for (const member of lost) settleLoss(member, member.policy.onLoss);
  }

  function settleLoss(slot: MutableSlot, action: LossAction): void {
    slot.current = NO_LEASE;
    if (action === "hold") return;
    makeSafeOrReport(slot, action, "lease end", (error) => {
      faultGroup(slot, error);
    });
  }

  function sweep(): void {
    sweepDueMs = Infinity;
    const nowMs = clock.monotonicMs();
    for (const slot of slots) if (slot.current !== NO_LEASE && !isLive(slot.current, nowMs)) loseLease(slot);
    for (const slot of slots) if (slot.current !== NO_LEASE) sweepBy(slot.current.untilMs, nowMs);
  }

  /** One timer for all leases: a renewal only moves its lease's end, the timer finds out when it fires. */
  function sweepBy(untilMs: number, nowMs: number): void {
    if (untilMs >= sweepDueMs) return;
    cancelSweep?.();
    sweepDueMs = untilMs;
    cancelSweep = clock.after(untilMs - nowMs, sweep);
  }

  function grant(slot: MutableSlot, order: Order, untilMs: number, nowMs: number): void {
    slot.current = { holder: order.caller, priority: order.priority, untilMs };
    sweepBy(untilMs, nowMs);
  }

  function refusalOf(slot: MutableSlot, order: Order, nowMs: number): AgentError | undefined {
    if (stopping) return new AgentError("NOT_READY", `${slot.id}: the agent is stopping`);
    if (eStoppedBy !== undefined) return new AgentError("FAULTED", `${slot.id}: e-stop is latched by ${eStoppedBy}; ESTOP RESET clears it`);
    if (slot.fault !== undefined) {
      return new AgentError("FAULTED", `${slot.id} is faulted: ${slot.fault.message}; RESET ${slot.id} clears it`, { cause: slot.fault });
    }
    const { holder, priority, untilMs } = slot.current;
    if (keepsOut(slot.current, order.caller, order.priority, slot.policy.exclusive, nowMs)) {
      const leftMs = Math.ceil(untilMs - nowMs);
      return new AgentError(
        "IN_USE",
        `${slot.id} is held by ${holder} with priority ${priority} for another ${leftMs} ms; ${order.caller} asked with ${order.priority}`,
      );
    }
    if (order.seq !== undefined && slot.seqCaller === order.caller && order.seq <= slot.seq) {
      return new AgentError("STALE", `${slot.id}: command ${order.seq} of ${order.caller} is not newer than ${slot.seq}`);
    }
    return undefined;
  }

  function refuse(slot: MutableSlot, name: string, order: Order, error: AgentError): Reply {
    record(slot, "refuse", order.caller, `${name}: ${error.code}`, order.cause);
    return errorReply(error);
  }

  /** A refusal by the driver changes nothing; anything else means the device cannot be trusted. */
  function failed(slot: MutableSlot, name: string, order: Order, thrown: unknown): Reply {
    const error = toAgentError(thrown, "FAULTED");
    if (isRefusal(error)) return refuse(slot, name, order, error);
    faultGroup(slot, new AgentError(error.code, `${name}: ${messageOf(error)}`, { cause: thrown }));
    return errorReply(new AgentError(error.code, `${slot.id} ${name}: ${messageOf(error)}; RESET ${slot.id} clears the fault`));
  }

  async function settle(slot: MutableSlot, name: string, order: Order, result: Promise<Value>): Promise<Reply> {
    try {
      return valueReply(await limited(slot, name, result));
    } catch (thrown) {
      return failed(slot, name, order, thrown);
    }
  }

  function actuate(slot: MutableSlot, name: string, fn: DeviceFunction, args: Arguments, order: Order): Eventually<Reply> {
    const nowMs = clock.monotonicMs();
    if (slot.current !== NO_LEASE && !isLive(slot.current, nowMs)) loseLease(slot);
    const refusal = refusalOf(slot, order, nowMs);
    if (refusal !== undefined) return refuse(slot, name, order, refusal);
    if (slot.pending !== undefined) return waitAndActuate(slot, slot.pending, name, fn, args, order);
    return perform(slot, name, fn, args, order, nowMs);
  }

  async function waitAndActuate(
    slot: MutableSlot,
    pending: Promise<unknown>,
    name: string,
    fn: DeviceFunction,
    args: Arguments,
    order: Order,
  ): Promise<Reply> {
    if (slot.waiting >= MAX_WAITING_CALLS) {
      return refuse(slot, name, order, new AgentError("FULL", `${slot.id}: ${MAX_WAITING_CALLS} calls are waiting already`));
    }
    slot.waiting++;
    await pending;
    slot.waiting--;
    return actuate(slot, name, fn, args, order);
  }

  function perform(slot: MutableSlot, name: string, fn: DeviceFunction, args: Arguments, order: Order, nowMs: number): Eventually<Reply> {
    let untilMs: number;
    let result: Eventually<Value>;
    try {
      untilMs = nowMs + leaseLengthMs(slot.id, order.leaseMs, slot.policy.leaseMs ?? slot.lease.defaultMs, slot.lease);
      result = fn.call(args, slot.abort.signal);
    } catch (thrown) {
      return failed(slot, name, order, thrown);
    }
    record(slot, "actuate", order.caller, name, order.cause);
    if (order.seq !== undefined) {
      slot.seqCaller = order.caller;
      slot.seq = order.seq;
    }
    // A driver may have reported a fault while it was called: then it is safe already and nobody holds it.
    if (slot.fault === undefined) grant(slot, order, untilMs, nowMs);
    if (!isPending(result)) return valueReply(result);
    return occupy(slot, settle(slot, name, order, result));
  }

  async function stopSlot(slot: MutableSlot): Promise<void> {
    const { onExit } = slot.policy;
    const failure = onExit === "hold" ? undefined : await makeSafe(slot, onExit, "exit");
    if (failure !== undefined) log.error({ device: slot.id, code: failure.code }, `${slot.id} could not be made safe: ${failure.message}`);
    try {
      await limited(slot, "closing", Promise.resolve(slot.device.close()));
      record(slot, "close", "exit", "");
    } catch (error) {
      log.error({ device: slot.id }, `${slot.id} did not close: ${messageOf(error)}`);
    }
  }

  return {
    adopt(supervised) {
      const slot: MutableSlot = {
        ...supervised,
        current: NO_LEASE,
        fault: undefined,
        event: 0,
        abort: new AbortController(),
        pending: undefined,
        waiting: 0,
        seqCaller: "",
        seq: -Infinity,
      };
      slots.push(slot);
      record(slot, "open", "", "");
      return slot;
    },
    actuate: (slot, name, fn, args, order) => actuate(mutable(slot), name, fn, args, order),
    read(slot, fn, args) {
      const reader = mutable(slot);
      try {
        const result = fn.call(args, reader.abort.signal);
        if (!isPending(result)) return valueReply(result);
        return limited(reader, "reading", result).then(valueReply, (error: unknown) => errorReply(toAgentError(error)));
      } catch (error) {
        return errorReply(toAgentError(error));
      }
    },
    fault(slot, error) {
      faultGroup(mutable(slot), error);
    },
    async reset(slot, caller) {
      const members = [mutable(slot), ...matesOf(mutable(slot))];
      const failures = await Promise.all(members.map(async (member) => makeSafe(member, "safe", caller)));
      for (const [index, member] of members.entries()) {
        const failure = failures[index];
        if (failure !== undefined) {
          return errorReply(new AgentError("FAULTED", `${member.id} could not be made safe: ${failure.message}; it stays faulted`));
        }
      }
      for (const member of members) {
        member.fault = undefined;
        record(member, "reset", caller, "");
      }
      return OK;
    },
    async eStop(caller) {
      eStoppedBy ??= caller;
      log.warn({ caller }, `e-stop by ${caller}`);
      const failures = await Promise.all(
        slots.map(async (slot) => {
          record(slot, "estop", caller, `priority ${PRIORITY.eStop}`);
          return makeSafe(slot, "safe", caller);
        }),
      );
      for (const [index, failure] of failures.entries()) {
        const slot = slots[index];
        if (failure !== undefined && slot !== undefined) faultGroup(slot, failure);
      }
      return OK;
    },
    clearEStop(caller) {
      if (eStoppedBy === undefined) return OK;
      eStoppedBy = undefined;
      log.warn({ caller }, `e-stop cleared by ${caller}`);
      for (const slot of slots) record(slot, "reset", caller, "e-stop");
      return OK;
    },
    get eStoppedBy() {
      return eStoppedBy;
    },
    async stop() {
      stopping = true;
      cancelSweep?.();
      await Promise.all(slots.map(stopSlot));
      slots.length = 0;
    },
  };
}

/** Errors by which a driver says no without having done anything. */
function isRefusal(error: AgentError): boolean {
  return (
    error.code === "ARGUMENT" || error.code === "LIMIT" || error.code === "DENIED" || error.code === "NOT_READY" || error.code === "UNKNOWN"
  );
}
