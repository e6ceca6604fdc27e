import { z } from "zod";

import { openAnalog, pwmClaims, signalChannel } from "./channels.ts";
import { canClaims, openFrames } from "./can-frames.ts";
import { createOutput, openAll, runAll } from "./outputs.ts";
import { createSteeringControl, type SteeringControl, type SteeringPort, type SteeringState } from "./steering-control.ts";
import { createVehicle } from "./device.ts";
import { defineDriver, defineFunction, MOTION_LEASE } from "../../agent/contract/device.ts";
import { isPending } from "../../agent/contract/value.ts";
import { steeringOptionsSchema, type SteeringOptions } from "./steering-options.ts";
import type { Device, DeviceContext, DeviceFunction } from "../../agent/contract/device.ts";

/** The front wheels' angle. Silent until it is armed; when nobody steers any more the angle is held while the vehicle is stopped. */
export const steeringDriver = defineDriver({
  name: "steering",
  summary: "the angle of a vehicle's front wheels, limited by speed; held while the vehicle is stopped when nobody steers",
  options: steeringOptionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  thread: "motion",
  reads: ({ speed, measuredAngle }) => [speed, measuredAngle].filter((name) => name !== undefined),
  claims: (options) => [...pwmClaims(options.angle), ...canClaims(options.can)],
  entities: () => [
    { kind: "binary_sensor", key: "armed", state: { on: "armed" } },
    { kind: "sensor", key: "phase", state: { value: "phase" } },
    { kind: "sensor", key: "reason", category: "diagnostic", state: { value: "reason" } },
    { kind: "sensor", key: "angle", main: true, state: { value: "angle" }, unit: "°", stateClass: "measurement", digits: 1 },
  ],
  open: (context, options) =>
    openAll(async (keep) => {
      const port = keep(await openPort(context, options));
      return createSteering(context, options, port);
    }),
});

function openPort(context: DeviceContext, options: SteeringOptions): Promise<SteeringPort> {
  const { board, id } = context;
  const { limits, can } = options;
  const failed = (error: unknown): void => context.fault(error);
  return openAll(async (keep) => {
    const frames = can === undefined ? undefined : keep(await openFrames(board, id, can, failed));
    const range = [-limits.angleDeg, limits.angleDeg] as const;
    const wheels = keep(createOutput(await openAnalog(board, id, "angle", options.angle, frames, range), failed));
    const enable = can?.enable && createOutput(signalChannel(id, "enable", can.enable, frames, [0, 1]), failed);
    return {
      write(angleDeg, nowMs) {
        frames?.start();
        enable?.drive(1);
        wheels.drive(angleDeg);
        frames?.tick(nowMs);
      },
      force(angleDeg, nowMs) {
        frames?.start();
        return runAll([() => wheels.force(angleDeg), () => enable?.force(1), () => frames?.flush(nowMs)]);
      },
      silence(nowMs) {
        const lastFrame = (): void => {
          frames?.flush(nowMs);
          frames?.stop();
        };
        return runAll([() => wheels.silence(), () => enable?.silence(), lastFrame]);
      },
      close: () => runAll([() => wheels.close(), () => frames?.close()]),
    };
  });
}

function createSteering(context: DeviceContext, options: SteeringOptions, port: SteeringPort): Device {
  const control = createSteeringControl(context, options, port);
  return createVehicle(context, {
    control,
    published: () => published(control.state()),
    functions: functionsOf(control),
    ports: port,
    exitStopMs: options.exitStopMs,
  });
}

function published({ phase, reason, angleDeg, limitedBy, overruns }: SteeringState) {
  return { armed: phase === "armed", phase, reason, angle: angleDeg, limited: limitedBy, overruns };
}

function functionsOf(control: SteeringControl): Record<string, DeviceFunction> {
  const none = z.strictObject({});
  return {
    arm: defineFunction({
      summary: "lets commands through, once they have come for long enough; call it with the priority of who steers. Returns true",
      params: none,
      effect: "actuate",
      call() {
        control.arm();
        return true;
      },
    }),
    disarm: defineFunction({
      summary: "lets no command through any more; the angle is held until the vehicle was stopped. Returns false",
      params: none,
      effect: "actuate",
      call() {
        const done = control.disarm();
        return isPending(done) ? done.then(() => false) : false;
      },
    }),
    angle: defineFunction({
      summary: "turns the front wheels: degrees from straight ahead, positive to the left; returns the angle they go to",
      params: z.strictObject({ angleDeg: z.number().describe("degrees, within limits.angleDeg to either side; outside is refused") }),
      effect: "actuate",
      call: ({ angleDeg }) => control.angle(angleDeg),
    }),
    state: defineFunction({
      summary: "whether the steering is armed, the angle that is driven, and what limits it",
      params: none,
      effect: "read",
      call() {
        const state = control.state();
        return { ...published(state), speedMps: state.speed.speedMps ?? null };
      },
    }),
  };
}
