import { approach, type Travel } from "./servo-motion.ts";
import { createDutyStream } from "./duty-stream.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { PwmOutput } from "../../agent/contract/board.ts";

export interface ServoAxisOptions {
  readonly travel: Travel;
  readonly periodMs: number;
  /** The fastest it is moved; as fast as the servo can when absent. */
  readonly slewDegPerS: number | undefined;
  /** Where the horn is before anything is driven; unknown when absent. */
  readonly startDeg: number | undefined;
}

/** One servo. It gets no pulse before something is driven. */
export interface ServoAxis {
  /** Where the horn was last driven, and is driven as long as there are pulses; undefined before that when nothing else is known. */
  angleDeg(): number | undefined;
  targetDeg(): number | undefined;
  attached(): boolean;
  moving(): boolean;
  /** The pulse that is given, microseconds; 0 for none. */
  pulseUs(): number;
  /** Where it is to go, step by step, by no more than `degPerS` and the slew rate. Returns the angle that will be driven. */
  aim(angleDeg: number, degPerS?: number): number;
  /** One period's way towards the target; from an unknown angle the whole of it. Returns whether some is left. Throws IO. */
  step(): boolean;
  /** Drives the angle at once, whatever the slew rate. Throws or rejects IO. */
  jump(angleDeg: number): Eventually<void>;
  /** Ends the pulses. Throws or rejects IO. */
  detach(): Eventually<void>;
  close(): Eventually<void>;
}

/** `failed` is told of a step that fails later. */
export function createServoAxis(output: PwmOutput, options: ServoAxisOptions, failed: (error: unknown) => void): ServoAxis {
  const { travel, periodMs, slewDegPerS = Infinity, startDeg } = options;
  const stream = createDutyStream(output, failed);
  let angleDeg = startDeg === undefined ? undefined : travel.clampDeg(startDeg);
  let targetDeg: number | undefined;
  let stepDeg = Infinity;
  let attached = false;

  const dutyOf = (angle: number): number => travel.pulseUsOf(angle) / (periodMs * 1000);

  function moving(): boolean {
    return targetDeg !== undefined && (targetDeg !== angleDeg || !attached);
  }

  return {
    angleDeg: () => angleDeg,
    targetDeg: () => targetDeg,
    attached: () => attached,
    moving,
    pulseUs: () => (attached && angleDeg !== undefined ? travel.pulseUsOf(angleDeg) : 0),
    aim(angle, degPerS = Infinity) {
      targetDeg = travel.clampDeg(angle);
      stepDeg = (Math.min(slewDegPerS, degPerS) * periodMs) / 1000;
      return targetDeg;
    },
    step() {
      if (targetDeg === undefined) return false;
      const next = angleDeg === undefined ? targetDeg : approach(angleDeg, targetDeg, stepDeg);
      if (next !== angleDeg || !attached) {
        stream.offer(dutyOf(next));
        angleDeg = next;
        attached = true;
      }
      return moving();
    },
    jump(angle) {
      const next = travel.clampDeg(angle);
      const written = stream.write(dutyOf(next));
      targetDeg = next;
      angleDeg = next;
      attached = true;
      return written;
    },
    detach() {
      const written = stream.write(0);
      targetDeg = undefined;
      attached = false;
      return written;
    },
    close: () => stream.close(),
  };
}
