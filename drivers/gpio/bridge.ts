import { isPending, type Eventually } from "../../agent/contract/value.ts";
import { attemptAll, inOrder } from "./attempt-all.ts";
import { createDutyStream, type DutyStream } from "./duty-stream.ts";
import { lineRef } from "../../agent/contract/board.ts";
import { startOn } from "./start-on.ts";
import type { Board, DigitalOutput, DigitalOutputs, PwmRef } from "../../agent/contract/board.ts";

/** 1 is forward. */
export type Way = 1 | -1;

/**
 * The power stage of a motor. Only one of its halves is ever driven, except while it brakes: the way is chosen while there is no duty, and changed only by way of
 * `off`, where inputs on lines drop at once even while the bus of their PWM channel is slow. What `off` and `brake` overtake does not go on.
 */
export interface Bridge {
  /** No half is driven. Tries everything it can, whatever fails. Throws or rejects IO with the first error. */
  off(): Eventually<void>;
  /** Short-circuits the motor; off if that fails. */
  brake(): Eventually<void>;
  /** From off: one way, with a duty from 0 to 1. */
  turn(way: Way, dutyRatio: number): Eventually<void>;
  /** Another duty, the same way. */
  duty(dutyRatio: number): void;
  close(): Eventually<void>;
}

/** The inputs that choose the way, and the PWM channels behind them. */
interface Stage {
  /** Takes every half's input back. */
  readonly clear: readonly (() => Eventually<void>)[];
  readonly brake: readonly (() => Eventually<void>)[];
  point(way: Way): void;
  /** The channel to drive that way. */
  stream(way: Way): DutyStream;
  readonly ports: readonly { close(): Eventually<void> }[];
}

export interface BridgeOptions {
  readonly in1?: string | undefined;
  readonly in2?: string | undefined;
  readonly phase?: string | undefined;
  readonly pwm?: PwmRef | undefined;
  readonly forward?: PwmRef | undefined;
  readonly reverse?: PwmRef | undefined;
  readonly standby?: string | undefined;
  readonly brakeInputs?: "high" | "low" | undefined;
  readonly frequencyHz: number;
}

/** Opens every port with all halves off. `failed` is told of a duty that fails later. */
export async function openBridge(board: Board, owner: string, options: BridgeOptions, failed: (error: unknown) => void): Promise<Bridge> {
  if (options.standby === undefined) return createBridge(await openStage(board, owner, options, failed), undefined);
  const standby = await board.openOutput(owner, lineRef(options.standby), false);
  return startOn(standby, async () => createBridge(await openStage(board, owner, options, failed), standby));
}

function createBridge(stage: Stage, standby: DigitalOutput | undefined): Bridge {
  let orders = 0;
  let stream: DutyStream | undefined;

  function power(on: boolean): () => void {
    return () => standby?.write(on);
  }

  function off(): Eventually<void> {
    orders += 1;
    stream = undefined;
    return attemptAll([...stage.clear, power(false)]);
  }

  /** The steps, as long as nothing else was ordered. */
  function follow(steps: readonly (() => Eventually<void>)[]): Eventually<void> {
    const order = ++orders;
    return inOrder(steps, () => order === orders);
  }

  async function offInstead(error: unknown): Promise<void> {
    await off();
    throw error;
  }

  return {
    off,
    brake() {
      stream = undefined;
      try {
        const done = follow([() => attemptAll(stage.clear), ...stage.brake, power(true)]);
        return isPending(done) ? done.catch(offInstead) : done;
      } catch (error) {
        return offInstead(error);
      }
    },
    turn(way, dutyRatio) {
      const chosen = stage.stream(way);
      return follow([
        () => stage.point(way),
        power(true),
        () => {
          stream = chosen;
          return chosen.write(dutyRatio);
        },
      ]);
    },
    duty: (dutyRatio) => stream?.offer(dutyRatio),
    close: () => attemptAll([...stage.ports, ...(standby === undefined ? [] : [standby])].map((port) => () => port.close())),
  };
}

async function openStage(board: Board, owner: string, options: BridgeOptions, failed: (error: unknown) => void): Promise<Stage> {
  const { in1, in2, phase, pwm, forward, reverse, brakeInputs, frequencyHz } = options;
  const periodNs = Math.round(1e9 / frequencyHz);
  if (forward !== undefined && reverse !== undefined) {
    const first = await board.openPwm(owner, forward, periodNs);
    return startOn(first, async () => {
      const second = await board.openPwm(owner, reverse, periodNs);
      return twoChannels(createDutyStream(first, failed), createDutyStream(second, failed), brakeInputs);
    });
  }
  const lines = in1 === undefined ? [lineRef(phase ?? "")] : [lineRef(in1), lineRef(in2 ?? "")];
  const outputs = await board.openOutputs(
    owner,
    lines,
    lines.map(() => false),
  );
  return startOn(outputs, async () => {
    const stream = createDutyStream(await board.openPwm(owner, pwm as PwmRef, periodNs), failed);
    return in1 === undefined ? phaseAndEnable(outputs, stream) : twoInputs(outputs, stream, brakeInputs);
  });
}

function twoInputs(inputs: DigitalOutputs, stream: DutyStream, brakeInputs: "high" | "low" | undefined): Stage {
  const braking = brakeInputs === "high";
  return {
    clear: [() => stream.write(0), () => inputs.write([false, false])],
    brake: [() => inputs.write([braking, braking]), () => stream.write(1)],
    point: (way) => inputs.write([way === 1, way === -1]),
    stream: () => stream,
    ports: [stream, inputs],
  };
}

function phaseAndEnable(phase: DigitalOutputs, stream: DutyStream): Stage {
  return {
    clear: [() => stream.write(0)],
    brake: [],
    point: (way) => phase.write([way === -1]),
    stream: () => stream,
    ports: [stream, phase],
  };
}

function twoChannels(forward: DutyStream, reverse: DutyStream, brakeInputs: "high" | "low" | undefined): Stage {
  const brakeDuty = brakeInputs === "high" ? 1 : 0;
  return {
    clear: [() => forward.write(0), () => reverse.write(0)],
    brake: [() => attemptAll([() => forward.write(brakeDuty), () => reverse.write(brakeDuty)])],
    point: () => undefined,
    stream: (way) => (way === 1 ? forward : reverse),
    ports: [forward, reverse],
  };
}
