import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { errorReply, OK, PRIORITY, valueReply, type EventId, type Reply } from "../contract/request.ts";
import { isPending, type Eventually, type Value } from "../contract/value.ts";
import { claimRefusal, createClaims } from "./claim.ts";
import { isLive, leaseLengthMs, NO_LEASE, type Lease } from "./lease.ts";
import { createRecovery } from "./supervisor-recovery.ts";
import { faultRefusal, isRefusal, refusalOf, waitRefusal } from "./supervisor-refusal.ts";
import { createSlot, type Arguments, type MutableSlot, type Order, type Slot, type Supervised } from "./supervisor-slot.ts";
import { within } from "./time-limit.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { DeviceFunction, SafeTarget } from "../contract/device.ts";
import type { EventKind, Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";

/** The one gate every actuation passes: leases, arbitration, faults, safe states, e-stop. */
export interface Supervisor {
  /** Takes a device that has just opened under supervision. Throws NOT_READY once nothing new is accepted. */
  adopt(supervised: Supervised): Slot;
  /** Calls an actuating function on behalf of `order`, if it may; restarts the lease. `name` is what the journal and errors call it: `beam(low)`. */
  actuate(slot: Slot, name: string, fn: DeviceFunction, args: Arguments, order: Order): Eventually<Reply>;
  /**
   * Gives the device to `order.caller` for one lease, against those that claim it as well; orders under the claim renew it. Answers its token and length. What is
   * ordered without any token is not kept out by it. Throws LIMIT for a lease outside of the device's range.
   */
  claim(slot: Slot, order: Order): Reply;
  /** Calls a reading function: always, also while faulted. */
  read(slot: Slot, fn: DeviceFunction, args: Arguments): Eventually<Reply>;
  /** Takes one device to its safe state, whatever it does; what goes wrong with that is its fault. Never rejects. */
  makeSafe(slot: Slot, caller: string): Promise<void>;
  /** The device can no longer be trusted: it and its motion group go safe and stay so until RESET. The first error is kept. */
  fault(slot: Slot, error: unknown): void;
  /** Another device cannot offer a port of this one any more: a fault that `regain` ends. */
  lose(slot: Slot, error: AgentError): void;
  /**
   * The lost ports are there again. Where nothing else was wrong, with the device or its motion group, these are made safe and their faults clear; what
   * was ordered before is over. Never rejects.
   */
  regain(slot: Slot): Promise<void>;
  /** Makes the device and its motion group safe again; that must succeed for the fault to clear. */
  reset(slot: Slot, caller: string): Promise<Reply>;
  /** Latched: everything goes safe, nothing actuates until `clearEStop`. */
  eStop(caller: string): Promise<Reply>;
  clearEStop(caller: string): Reply;
  /** Begins latched, before anything is open: the e-stop of a host that ended is still in force in the one that takes its place. */
  startEStopped(by: string): void;
  readonly eStoppedBy: string | undefined;
  /**
   * Nobody can be told any more what happens here. What moves, and its motion group, loses its lease and goes safe at once; everything else keeps its
   * lease until it ends. Nothing actuates and nothing opens from then on; `reason` is what whoever asks is told.
   */
  loseFront(reason: string): void;
  /**
   * Takes one device to its exit state, closes it and forgets it, however long it would have taken by itself. Others of its motion group lose their
   * lease with it if somebody was driving it. Never rejects.
   */
  release(slot: Slot, caller: string): Promise<void>;
  /** Takes every device to its exit state and closes it. Nothing actuates afterwards. */
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly log: Log;
  /** What the tokens of this process begin with; random when absent. */
  readonly run?: string;
}

export function createSupervisor({ clock, journal, log, run }: SupervisorOptions): Supervisor {
  const newClaim = createClaims(run);
  const slots: MutableSlot[] = [];
  /** What keeps everything from actuating. */
  const gate: { closed: string | undefined; eStoppedBy: string | undefined } = { closed: undefined, eStoppedBy: undefined };
  let sweepDueMs = Infinity;
  let cancelSweep: Cancel | undefined;

  const recovery = createRecovery({ makeSafe, matesOf, record, log });

  const mutable = (slot: Slot): MutableSlot => slot as MutableSlot;

  function record(slot: MutableSlot, kind: EventKind, caller: string, detail: string, cause: EventId = slot.event): void {
    slot.event = journal.record(kind, slot.id, caller, detail, cause);
  }

  function limited<T>(slot: MutableSlot, what: string, promise: Promise<T>): Promise<T> {
    return within(clock, slot.policy.callMs, `${slot.id}: ${what}`, promise);
  }

  function setLease(slot: MutableSlot, lease: Readonly<Lease>): void {
    slot.current = lease;
    slot.showLease?.(lease.untilMs);
  }

  /** Nobody drives it any more, and a call in progress is told to give up. */
  function abandon(slot: MutableSlot): void {
    setLease(slot, NO_LEASE);
    slot.abort.abort();
    slot.abort = new AbortController();
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
    abandon(slot);
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

  function markFaulted(slot: MutableSlot, error: AgentError, passing: boolean): void {
    if (slot.fault !== undefined) return;
    slot.fault = error;
    slot.faults += 1;
    slot.passing = passing;
    record(slot, "fault", "", `${error.code} ${error.message}`);
    log.error({ device: slot.id, code: error.code }, `${slot.id} faulted: ${error.message}`);
    makeSafeOrReport(slot, "safe", "fault", (failure) => {
      log.error({ device: slot.id, code: failure.code }, `${slot.id} could not be made safe: ${failure.message}`);
    });
  }

  function faultGroup(slot: MutableSlot, thrown: unknown, passing = false): void {
    if (slot.ending) return;
    const error = toAgentError(thrown, "FAULTED");
    markFaulted(slot, error, passing);
    for (const mate of matesOf(slot)) {
      const why = `${slot.id} of motion group ${String(slot.policy.group)} faulted: ${error.message}`;
      markFaulted(mate, new AgentError("FAULTED", why), passing);
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
    for (const member of [slot, ...matesOf(slot)]) settleLoss(member, "lease end");
  }

  function settleLoss(slot: MutableSlot, why: string): void {
    const { onLoss } = slot.policy;
    setLease(slot, NO_LEASE);
    if (onLoss === "hold" && !slot.moves) return;
    makeSafeOrReport(slot, onLoss === "hold" ? "safe" : onLoss, why, (error) => {
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
    setLease(slot, { holder: order.caller, priority: order.priority, untilMs });
    if (order.token !== undefined && untilMs > slot.claim.untilMs) slot.claim = { ...slot.claim, untilMs };
    sweepBy(untilMs, nowMs);
  }

  function refuse(slot: MutableSlot, name: string, order: Order, error: AgentError): Reply {
    record(slot, "refuse", order.caller, `${name}: ${error.code}`, order.cause);
    return errorReply(error);
  }

  /** A refusal by the driver changes nothing; anything else means the device cannot be trusted. */
  function failed(slot: MutableSlot, name: string, order: Order, thrown: unknown): Reply {
    const error = toAgentError(thrown, "FAULTED");
    if (slot.ending || isRefusal(error)) return refuse(slot, name, order, error);
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
    const refusal = refusalOf(gate, slot, order, nowMs);
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
    const full = waitRefusal(slot);
    if (full !== undefined) return refuse(slot, name, order, full);
    const { faults } = slot;
    slot.waiting++;
    await pending;
    slot.waiting--;
    const outdated = faultRefusal(slot, faults);
    if (outdated !== undefined) return refuse(slot, name, order, outdated);
    return actuate(slot, name, fn, args, order);
  }

  /** Throws LIMIT. */
  function lengthOf(slot: MutableSlot, order: Order): number {
    return leaseLengthMs(slot.id, order.leaseMs, slot.policy.leaseMs ?? slot.lease.defaultMs, slot.lease);
  }

  function claim(slot: MutableSlot, order: Order): Reply {
    const nowMs = clock.monotonicMs();
    const refusal = refusalOf(gate, slot, order, nowMs) ?? claimRefusal(slot.id, slot.claim, order, slot.policy.exclusive, nowMs);
    if (refusal !== undefined) return refuse(slot, "claim", order, refusal);
    const leaseMs = lengthOf(slot, order);
    slot.claim = newClaim(slot.claim, order, nowMs + leaseMs, nowMs);
    return valueReply({ token: slot.claim.token, leaseMs });
  }

  function perform(slot: MutableSlot, name: string, fn: DeviceFunction, args: Arguments, order: Order, nowMs: number): Eventually<Reply> {
    let untilMs: number;
    let result: Eventually<Value>;
    try {
      untilMs = nowMs + lengthOf(slot, order);
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

  /** Exit state, then closed, once. Whatever goes wrong is said and does not keep it open. */
  function end(slot: MutableSlot, caller: string): Promise<void> {
    if (slot.ended !== undefined) return slot.ended;
    slot.ending = true;
    slot.ended = close(slot, caller);
    return slot.ended;
  }

  async function close(slot: MutableSlot, caller: string): Promise<void> {
    const { onExit } = slot.policy;
    if (onExit === "hold") abandon(slot);
    else {
      const failure = await makeSafe(slot, onExit, caller);
      if (failure !== undefined)
        log.error({ device: slot.id, code: failure.code }, `${slot.id} could not be made safe: ${failure.message}`);
    }
    forget(slot);
    try {
      const { restMs = 0 } = slot.device;
      await within(clock, slot.policy.callMs + restMs, `${slot.id}: closing`, Promise.resolve(slot.device.close()));
      record(slot, "close", caller, "");
    } catch (error) {
      log.error({ device: slot.id }, `${slot.id} did not close: ${messageOf(error)}`);
    }
  }

  /** From here on not even an e-stop reaches it: it is safe, and being closed. */
  function forget(slot: MutableSlot): void {
    slots.splice(slots.indexOf(slot), 1);
  }

  return {
    adopt(supervised) {
      if (gate.closed !== undefined) throw new AgentError("NOT_READY", `${supervised.id}: ${gate.closed}`);
      const slot = createSlot(supervised);
      slots.push(slot);
      record(slot, "open", "", "");
      return slot;
    },
    actuate: (slot, name, fn, args, order) => actuate(mutable(slot), name, fn, args, order),
    claim: (slot, order) => claim(mutable(slot), order),
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
    async makeSafe(slot, caller) {
      const failure = await makeSafe(mutable(slot), "safe", caller);
      if (failure !== undefined) faultGroup(mutable(slot), failure);
    },
    fault(slot, error) {
      faultGroup(mutable(slot), error);
    },
    lose(slot, error) {
      mutable(slot).portsLost = true;
      faultGroup(mutable(slot), error, true);
    },
    regain: (slot) => recovery.regain(mutable(slot)),
    reset: (slot, caller) => recovery.reset(mutable(slot), caller),
    async eStop(caller) {
      gate.eStoppedBy ??= caller;
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
      if (gate.eStoppedBy === undefined) return OK;
      gate.eStoppedBy = undefined;
      log.warn({ caller }, `e-stop cleared by ${caller}`);
      for (const slot of slots) record(slot, "reset", caller, "e-stop");
      return OK;
    },
    startEStopped(by) {
      gate.eStoppedBy = by;
      log.warn({ caller: by }, `e-stop by ${by} is still latched; ESTOP RESET clears it`);
    },
    get eStoppedBy() {
      return gate.eStoppedBy;
    },
    loseFront(reason) {
      if (gate.closed !== undefined) return;
      gate.closed = reason;
      log.error({}, `${reason}: what moves goes safe`);
      for (const slot of slots) {
        if (!slot.moves && !matesOf(slot).some((mate) => mate.moves)) continue;
        if (slot.current !== NO_LEASE) record(slot, "lease-end", slot.current.holder, reason);
        settleLoss(slot, "front lost");
      }
    },
    release(slot, caller) {
      const leaving = mutable(slot);
      const wasDriven = isLive(leaving.current, clock.monotonicMs());
      if (wasDriven) record(leaving, "lease-end", leaving.current.holder, "closed");
      const ended = end(leaving, caller);
      if (wasDriven) for (const mate of matesOf(leaving)) settleLoss(mate, "lease end");
      return ended;
    },
    async stop() {
      gate.closed = "the agent is stopping";
      cancelSweep?.();
      await Promise.all([...slots].map((slot) => end(slot, "exit")));
    },
  };
}
