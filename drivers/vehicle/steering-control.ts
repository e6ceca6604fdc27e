import { armRefusal, nextPhase, type Phase } from "./arming.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { createStreamMeter } from "./stream.ts";
import { findDriven } from "./found.ts";
import { HEALTHY, lossCause, loopVerdict, noteTick } from "./loss.ts";
import { limitAngle, rangeRefusal, type LimitedAngle } from "./limits.ts";
import { readSpeed, type SpeedReading } from "./measured.ts";
import type { DeviceContext, SafeTarget } from "../../agent/contract/device.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { SteeringOptions } from "./steering-options.ts";

/** What the angle is written to. */
export interface SteeringPort {
  write(angleDeg: number, nowMs: number): void;
  /** Now, whatever is under way. */
  force(angleDeg: number, nowMs: number): Eventually<void>;
  silence(nowMs: number): Eventually<void>;
  close(): Eventually<void>;
}

export interface SteeringState extends LimitedAngle {
  readonly phase: Phase;
  /** Why it is not armed. */
  readonly reason: string;
  readonly overruns: number;
  readonly speed: SpeedReading;
}

/** Commands set the target; `tick` writes what the limits make of it. Commands throw LIMIT and NOT_READY. */
export interface SteeringControl {
  arm(): void;
  disarm(): Eventually<void>;
  angle(angleDeg: number): number;
  failsafe(to: SafeTarget): Eventually<void>;
  tick(nowMs: number, missed: number): void;
  stopping(): boolean;
  state(): SteeringState;
}

export function createSteeringControl(context: DeviceContext, options: SteeringOptions, port: SteeringPort): SteeringControl {
  const { id, clock } = context;
  const { limits } = options;
  const stream = createStreamMeter(limits);

  const found = findDriven(context);
  const foundDeg = found.driven ? found.numberOf("angle") : undefined;

  // The wheels stay where they were driven to while the vehicle is stopped.
  let phase: Phase = foundDeg === undefined ? "silent" : "stopping";
  let reason = foundDeg === undefined ? "not armed yet" : "nobody steers";
  let lastMs = clock.monotonicMs();
  let armedMs = -Infinity;
  let heldMs = 0;
  let health = HEALTHY;
  let overruns = 0;
  /** The last that could be believed: what bounds the wheels while none can. */
  let knownMps: number | undefined;
  let targetDeg = Math.min(limits.angleDeg, Math.max(-limits.angleDeg, foundDeg ?? 0));
  let driven: LimitedAngle = { angleDeg: targetDeg, limitedBy: "none" };

  const speedNow = (): SpeedReading => readSpeed(context, options.speed, limits.speedStaleMs);

  const isStanding = ({ speedMps }: SpeedReading): boolean => speedMps !== undefined && speedMps <= limits.standstillMps;

  /** Where the wheels are, as far as it is known: undefined when it is measured and not to be believed. */
  function measuredDeg(): number | undefined {
    if (options.measuredAngle === undefined) return driven.angleDeg;
    const variable = context.variable(options.measuredAngle);
    if (variable === undefined || variable.stale || typeof variable.value !== "number") return undefined;
    return Math.abs(variable.value) <= limits.angleDeg ? variable.value : undefined;
  }

  function goSilent(why: string): Eventually<void> {
    phase = nextPhase(phase, "off");
    reason = why;
    targetDeg = 0;
    driven = { angleDeg: 0, limitedBy: "none" };
    return port.silence(clock.monotonicMs());
  }

  function beginLoss(why: string): void {
    phase = nextPhase(phase, "loss");
    reason = why;
    targetDeg = driven.angleDeg;
    heldMs = 0;
  }

  /** Holds the angle while the vehicle is stopped, then takes the rest. */
  function holdOn(stepMs: number, speed: SpeedReading): void {
    heldMs += Math.max(0, stepMs);
    if (heldMs < limits.lossHoldMs && !isStanding(speed)) return;
    phase = nextPhase(phase, "stopped");
    if (options.whenDisarmed === "neutral") targetDeg = 0;
  }

  function detach(): void {
    const done = goSilent(reason);
    if (done instanceof Promise) done.catch((error: unknown) => context.fault(error));
  }

  return {
    arm() {
      const nowMs = clock.monotonicMs();
      const speed = speedNow();
      const angleDeg = measuredDeg();
      const refusal =
        angleDeg === undefined
          ? "the measured angle is missing, stale or out of range"
          : armRefusal(
              {
                phase,
                stream: stream.state(nowMs),
                nominalHz: options.streamHz,
                speedFresh: speed.fresh,
                // What stands and what is braked is the pedals' business.
                standing: true,
                brakePressed: false,
                gear: undefined,
                gearFresh: undefined,
              },
              limits,
            );
      if (refusal !== undefined) throw new AgentError("NOT_READY", `${id} cannot be armed: ${refusal}`);
      if (phase === "armed" || angleDeg === undefined) return;
      phase = nextPhase(phase, "arm");
      reason = "";
      armedMs = nowMs;
      health = HEALTHY;
      targetDeg = angleDeg;
      driven = { angleDeg, limitedBy: "none" };
    },
    disarm() {
      if (phase !== "armed") return undefined;
      beginLoss("disarmed");
      return port.force(driven.angleDeg, clock.monotonicMs());
    },
    angle(angleDeg) {
      const outside = rangeRefusal("angle", angleDeg, -limits.angleDeg, limits.angleDeg, "°");
      if (outside !== undefined) throw new AgentError("LIMIT", `${id}: ${outside}`);
      stream.note(clock.monotonicMs());
      if (phase !== "armed") throw new AgentError("NOT_READY", `${id} is disarmed: ${reason}; keep commands coming and call ${id}.arm`);
      targetDeg = angleDeg;
      return angleDeg;
    },
    failsafe(to) {
      if (to === "off") return goSilent("switched off");
      // Where the wheels are is not known before they were driven: they are left alone.
      if (phase === "silent") return undefined;
      if (phase === "armed") beginLoss("nobody steers");
      return port.force(driven.angleDeg, clock.monotonicMs());
    },
    tick(nowMs, missed) {
      const stepMs = nowMs - lastMs;
      lastMs = nowMs;
      overruns += missed;
      if (phase === "silent") return;
      const speed = speedNow();
      knownMps = speed.speedMps ?? knownMps;
      health = noteTick(health, missed);
      if (phase === "armed") {
        const cause = lossCause(
          speed.fresh === false,
          loopVerdict(health, { degradeMissed: limits.stopMissed, stopMissed: limits.stopMissed }),
        );
        if (cause !== undefined) beginLoss(cause);
      } else if (phase === "stopping") holdOn(stepMs, speed);
      const inTransition = nowMs - armedMs < limits.transitionMs;
      driven = limitAngle(driven.angleDeg, targetDeg, { speedMps: knownMps, stepMs, inTransition }, options.wheelbaseM, limits);
      port.write(driven.angleDeg, nowMs);
      if (phase === "held" && options.whenDisarmed === "detach") detach();
    },
    stopping: () => phase === "stopping",
    state: () => ({ phase, reason, ...driven, overruns, speed: speedNow() }),
  };
}
