import { armRefusal, fuelFlows, fuelRefusal, nextPhase, type Phase } from "./arming.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { ceilingPercent, directionOf, gearRefusal, limitClutch, limitPedals, rangeRefusal, type Direction, type Gear } from "./limits.ts";
import { createStreamMeter } from "./stream.ts";
import { HEALTHY, lossCause, loopVerdict, noteTick, startLadder, stepLadder, type Ladder } from "./loss.ts";
import { findDriven } from "./found.ts";
import { isGear, readSpeed, type SpeedReading } from "./measured.ts";
import type { DeviceContext, SafeTarget } from "../../agent/contract/device.ts";
import type { Drive, GcbafPorts } from "./gcbaf-ports.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { GcbafOptions } from "./gcbaf-options.ts";
import type { LimitedBy, LimitedPedals, Pedals } from "./limits.ts";

/** The vehicle now, as `state` shows it and its variables tell. */
export interface GcbafState {
  readonly phase: Phase;
  /** Why it is not armed. */
  readonly reason: string;
  readonly drive: Drive;
  readonly limitedBy: LimitedBy;
  readonly overruns: number;
  readonly speed: SpeedReading;
  readonly ladder: Ladder | undefined;
  readonly fuelCut: boolean;
}

/** Commands set targets; `tick` writes what the limits make of them. Commands throw LIMIT and NOT_READY. */
export interface GcbafControl {
  arm(): void;
  disarm(): Eventually<void>;
  pedals(target: Partial<Pedals>): Pedals;
  clutch(percent: number): number;
  gear(gear: Gear): Gear;
  cutFuel(): Eventually<void>;
  allowFuel(): void;
  failsafe(to: SafeTarget): Eventually<void>;
  tick(nowMs: number, missed: number): void;
  stopping(): boolean;
  state(): GcbafState;
}

const RELEASED: LimitedPedals = { acceleratorPercent: 0, brakePercent: 0, limitedBy: "none" };

export function createGcbafControl(context: DeviceContext, options: GcbafOptions, ports: GcbafPorts): GcbafControl {
  const { id, clock } = context;
  const { limits } = options;
  const scale = { acceleratorMps2: options.accelerator.fullMps2, brakeMps2: options.brake.fullMps2 };
  const acceleratorMax = ceilingPercent(limits.accelerationMps2, scale.acceleratorMps2);
  const brakeMax = ceilingPercent(limits.decelerationMps2, scale.brakeMps2);
  /** Held for `lossStopMs` this much brake stops the vehicle. */
  const stoppingPercent = ceilingPercent(limits.lossDecelerationMps2, scale.brakeMps2);
  const stream = createStreamMeter(limits);
  const found = findDriven(context);
  const foundPercent = found.driven ? Math.min(brakeMax, Math.max(0, found.numberOf("brake") ?? 0)) : 0;
  const safeGear = options.gear?.safe;
  const safeClutch = options.clutch?.safePercent ?? 0;

  // What was driven goes on being stopped from where that is, without letting go of the brake.
  let phase: Phase = found.driven ? "stopping" : "silent";
  let reason = found.driven ? "nobody drives" : "not armed yet";
  /** Just opened: what the vehicle was doing is not known. */
  let fresh = !found.silent || options.atStart === "stop";
  let lastMs = clock.monotonicMs();
  let armedMs = -Infinity;
  let health = HEALTHY;
  let overruns = 0;
  let ladder: Ladder | undefined = found.driven ? startLadder((foundPercent / 100) * scale.brakeMps2) : undefined;
  let target: Pedals = RELEASED;
  let pedals: LimitedPedals = { ...RELEASED, brakePercent: foundPercent };
  let clutchTarget = safeClutch;
  let clutchPercent = safeClutch;
  let gearTarget: Gear | undefined;
  let gear: Gear | undefined;
  let shiftedMs = -Infinity;
  let rolling: Direction = "none";
  let brakeHeldMs = 0;
  let fuelLatched = false;
  /** Since nothing was driven. */
  let wasArmed = false;
  /** The brake asked for last, armed or not. */
  let askedBrakePercent = 0;

  const speedNow = (): SpeedReading => readSpeed(context, options.speed, limits.speedStaleMs);

  /** Undefined where nobody knows. */
  function standingAt({ fresh: isFresh, speedMps }: SpeedReading): boolean | undefined {
    if (speedMps !== undefined) return speedMps <= limits.standstillMps;
    return isFresh === undefined && brakeHeldMs >= limits.lossStopMs ? true : undefined;
  }

  function driveNow(): Drive {
    const stood = ladder !== undefined && ladder.stage !== "brake";
    return {
      acceleratorPercent: pedals.acceleratorPercent,
      brakePercent: pedals.brakePercent,
      clutchPercent,
      gear,
      fuel: fuelFlows(phase, wasArmed, stood, fuelLatched, options.fuel?.cutOn ?? "command"),
    };
  }

  function refuseOutside(what: string, value: number, max: number): void {
    const refusal = rangeRefusal(what, value, 0, max, " %");
    if (refusal !== undefined) throw new AgentError("LIMIT", `${id}: ${refusal}`);
  }

  /** Every command within its range counts as one of the stream, also while it is refused. */
  function noteCommand(): void {
    stream.note(clock.monotonicMs());
  }

  function mustBeArmed(): void {
    if (phase !== "armed") throw new AgentError("NOT_READY", `${id} is disarmed: ${reason}; keep commands coming and call ${id}.arm`);
  }

  function measuredGear(): { readonly gear: Gear | undefined; readonly fresh: boolean | undefined } {
    if (options.measuredGear === undefined) return { gear: gear ?? safeGear, fresh: undefined };
    const variable = context.variable(options.measuredGear);
    const value = variable === undefined || variable.stale ? undefined : String(variable.value);
    return isGear(value) ? { gear: value, fresh: true } : { gear: undefined, fresh: false };
  }

  function beginLoss(why: string): void {
    ladder ??= startLadder((pedals.brakePercent / 100) * scale.brakeMps2);
    phase = nextPhase(phase, "loss");
    reason = why;
    target = RELEASED;
    pedals = { ...pedals, acceleratorPercent: 0, limitedBy: "none" };
    clutchTarget = safeClutch;
    gearTarget = gear;
  }

  function goSafe(why: string): Eventually<void> {
    fresh = false;
    beginLoss(why);
    return ports.force(driveNow(), clock.monotonicMs());
  }

  function goSilent(why: string): Eventually<void> {
    fresh = false;
    phase = nextPhase(phase, "off");
    reason = why;
    target = RELEASED;
    pedals = RELEASED;
    wasArmed = false;
    ladder = undefined;
    gear = undefined;
    gearTarget = undefined;
    clutchTarget = safeClutch;
    clutchPercent = safeClutch;
    brakeHeldMs = 0;
    return ports.silence(clock.monotonicMs());
  }

  /** Takes the gear asked for, if it may be taken now; else it is no longer asked for. */
  function shift(speed: SpeedReading, nowMs: number): void {
    if (gearTarget === undefined || gearTarget === gear) return;
    const refusal = gear === undefined ? undefined : gearRefusal(gear, gearTarget, gearSituation(speed), limits);
    if (refusal !== undefined) {
      gearTarget = gear;
      return;
    }
    gear = gearTarget;
    shiftedMs = nowMs;
  }

  function gearSituation(speed: SpeedReading) {
    return {
      acceleratorPercent: pedals.acceleratorPercent,
      clutchPercent: options.clutch === undefined ? undefined : clutchPercent,
      standing: standingAt(speed) === true,
      speedMps: speed.speedMps,
      rolling,
    };
  }

  function stepLoss(from: Ladder, stepMs: number, speed: SpeedReading): void {
    const next = stepLadder(from, stepMs, speed.speedMps === undefined ? undefined : standingAt(speed), limits);
    ladder = next;
    target = { acceleratorPercent: 0, brakePercent: ceilingPercent(next.brakeMps2, scale.brakeMps2) };
    if (next.stage !== "brake") gearTarget = safeGear;
  }

  /** Ends the ladder once the vehicle stood long enough in its safe gear. */
  function finishLoss(): void {
    if (phase !== "stopping" || ladder?.stage !== "done" || gear !== safeGear) return;
    phase = nextPhase(phase, "stopped");
    if (options.whenDisarmed === "hold") return;
    const done = goSilent(reason);
    if (done instanceof Promise) done.catch((error: unknown) => context.fault(error));
  }

  function advance(nowMs: number, stepMs: number, missed: number): void {
    const speed = speedNow();
    health = noteTick(health, missed);
    const verdict = loopVerdict(health, limits);
    if (phase === "armed") {
      const cause = lossCause(speed.fresh === false, verdict);
      if (cause !== undefined) beginLoss(cause);
    }
    if (ladder !== undefined) stepLoss(ladder, stepMs, speed);
    shift(speed, nowMs);
    const situation = {
      speedMps: speed.speedMps,
      stepMs,
      inTransition: nowMs - armedMs < limits.transitionMs,
      degraded: verdict !== "on-time",
      shifting: nowMs - shiftedMs < limits.gearMs,
    };
    pedals = limitPedals(pedals, target, situation, scale, limits);
    clutchPercent = limitClutch(clutchPercent, clutchTarget, stepMs, limits);
    brakeHeldMs = pedals.brakePercent >= stoppingPercent ? brakeHeldMs + stepMs : 0;
    const direction = gear === undefined ? "none" : directionOf(gear);
    if (standingAt(speed) === true) rolling = "none";
    else if (direction !== "none") rolling = direction;
  }

  return {
    arm() {
      const nowMs = clock.monotonicMs();
      const speed = speedNow();
      const engaged = measuredGear();
      const refusal = armRefusal(
        {
          phase,
          stream: stream.state(nowMs),
          nominalHz: options.streamHz,
          speedFresh: speed.fresh,
          standing: standingAt(speed) === true,
          brakePressed: askedBrakePercent >= limits.brakePressedPercent,
          gear: engaged.gear,
          gearFresh: engaged.fresh,
        },
        limits,
      );
      if (refusal !== undefined) throw new AgentError("NOT_READY", `${id} cannot be armed: ${refusal}`);
      if (phase === "armed") return;
      fresh = false;
      phase = nextPhase(phase, "arm");
      reason = "";
      wasArmed = true;
      armedMs = nowMs;
      health = HEALTHY;
      ladder = undefined;
      target = { acceleratorPercent: 0, brakePercent: askedBrakePercent };
      // Known to be in P or N; the first tick makes sure of it.
      gear ??= safeGear;
      gearTarget = gear;
    },
    disarm() {
      if (phase === "armed") return goSafe("disarmed");
      fresh = false;
      return undefined;
    },
    pedals({ acceleratorPercent, brakePercent }) {
      if (acceleratorPercent !== undefined) refuseOutside("accelerator", acceleratorPercent, acceleratorMax);
      if (brakePercent !== undefined) refuseOutside("brake", brakePercent, brakeMax);
      noteCommand();
      askedBrakePercent = brakePercent ?? askedBrakePercent;
      mustBeArmed();
      const brake = brakePercent ?? target.brakePercent;
      // The brake wins, and a pedal that it has released stays released until it is asked for again.
      target = { acceleratorPercent: brake > 0 ? 0 : (acceleratorPercent ?? target.acceleratorPercent), brakePercent: brake };
      return target;
    },
    clutch(percent) {
      refuseOutside("clutch", percent, 100);
      noteCommand();
      mustBeArmed();
      clutchTarget = percent;
      return percent;
    },
    gear(to) {
      noteCommand();
      mustBeArmed();
      const refusal = gear === undefined ? undefined : gearRefusal(gear, to, gearSituation(speedNow()), limits);
      if (refusal !== undefined) throw new AgentError("LIMIT", `${id}: gear ${String(gear)} to ${to}: ${refusal}`);
      gearTarget = to;
      return to;
    },
    cutFuel() {
      fresh = false;
      fuelLatched = true;
      return phase === "silent" ? undefined : ports.cutFuel(clock.monotonicMs());
    },
    allowFuel() {
      if (!fuelLatched) throw new AgentError("NOT_READY", `${id}: fuel is not cut; it flows while the vehicle is armed`);
      const stood = options.speed === undefined && phase === "held";
      const refusal = fuelRefusal(phase, stood || standingAt(speedNow()) === true);
      if (refusal !== undefined) throw new AgentError("LIMIT", `${id}: ${refusal}`);
      fuelLatched = false;
    },
    failsafe(to) {
      if (to === "off") return goSilent("switched off");
      // Silent, it is left alone on purpose: whoever sits in it drives. Just opened, it may be rolling from what an earlier process did.
      if (phase === "silent" && !fresh) return undefined;
      if (phase === "held") return ports.force(driveNow(), clock.monotonicMs());
      return goSafe(phase === "stopping" ? reason : "nobody drives");
    },
    tick(nowMs, missed) {
      const stepMs = nowMs - lastMs;
      lastMs = nowMs;
      overruns += missed;
      fresh = false;
      if (phase === "silent") return;
      advance(nowMs, stepMs, missed);
      ports.write(driveNow(), nowMs);
      finishLoss();
    },
    stopping: () => phase === "stopping" && ladder?.stage === "brake",
    state: () => ({
      phase,
      reason,
      drive: driveNow(),
      limitedBy: pedals.limitedBy,
      overruns,
      speed: speedNow(),
      ladder,
      fuelCut: fuelLatched,
    }),
  };
}
