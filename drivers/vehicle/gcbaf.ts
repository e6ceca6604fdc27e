import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { canClaims } from "./can-frames.ts";
import { createVehicle } from "./device.ts";
import { createGcbafControl, type GcbafControl, type GcbafState } from "./gcbaf-control.ts";
import { defineDriver, defineFunction, MOTION_LEASE } from "../../agent/contract/device.ts";
import { gcbafOptionsSchema, gearSchema, type GcbafOptions } from "./gcbaf-options.ts";
import { isPending } from "../../agent/contract/value.ts";
import { openAll } from "./outputs.ts";
import { openGcbafPorts, type GcbafPorts } from "./gcbaf-ports.ts";
import { pwmClaims } from "./channels.ts";
import type { Device, DeviceContext, DeviceFunction } from "../../agent/contract/device.ts";
import type { Eventually, Value } from "../../agent/contract/value.ts";

/** The range is refused by the device as LIMIT, not clamped. */
const percentSchema = z.number().describe("percent of the pedal's travel, 0 to 100; outside is refused");

/**
 * Gear, clutch, brake, accelerator and fuel of a vehicle. Silent until it is armed; what is written passes the limits 100 times a second; when nobody
 * drives it any more it is brought to a stop.
 */
export const gcbafDriver = defineDriver({
  name: "gcbaf",
  summary: "gear, clutch, brake, accelerator and fuel of a vehicle, armed before it is driven and stopped when nobody drives it",
  options: gcbafOptionsSchema,
  moves: true,
  lease: MOTION_LEASE,
  thread: "motion",
  reads: ({ speed, measuredGear }) => [speed, measuredGear].filter((name) => name !== undefined),
  claims: ({ accelerator, brake, clutch, gear, fuel, can }) => [
    ...pwmClaims(accelerator, brake, clutch, gear),
    ...(fuel?.line === undefined ? [] : [`line ${fuel.line}`]),
    ...canClaims(can),
  ],
  entities: ({ gear, fuel, clutch }) => [
    { kind: "binary_sensor", key: "armed", state: { on: "armed" } },
    { kind: "sensor", key: "phase", state: { value: "phase" } },
    { kind: "sensor", key: "reason", category: "diagnostic", state: { value: "reason" } },
    { kind: "sensor", key: "stage", category: "diagnostic", state: { value: "stage" } },
    { kind: "sensor", key: "accelerator", state: { value: "accelerator" }, unit: "%", stateClass: "measurement", digits: 0 },
    { kind: "sensor", key: "brake", state: { value: "brake" }, unit: "%", stateClass: "measurement", digits: 0 },
    ...(gear === undefined ? [] : [{ kind: "sensor", key: "gear", state: { value: "gear" } } as const]),
    ...(fuel === undefined ? [] : [{ kind: "sensor", key: "fuel", state: { value: "fuel" } } as const]),
    ...(clutch === undefined
      ? []
      : [{ kind: "sensor", key: "clutch", state: { value: "clutch" }, unit: "%", stateClass: "measurement", digits: 0 } as const]),
  ],
  open: (context, options) =>
    openAll(async (keep) => {
      const ports = keep(await openGcbafPorts(context, options));
      const device = createGcbaf(context, options, ports);
      if (options.atStart === "stop") await device.failsafe?.("safe");
      return device;
    }),
});

function createGcbaf(context: DeviceContext, options: GcbafOptions, ports: GcbafPorts): Device {
  const control = createGcbafControl(context, options, ports);
  return createVehicle(context, {
    control,
    published: () => published(control.state(), options),
    functions: functionsOf(context, options, control),
    ports,
    exitStopMs: options.exitStopMs,
  });
}

/** What is published: at once when a word changes, ten times a second when a number does. */
function published({ phase, reason, drive, limitedBy, overruns, ladder }: GcbafState, options: GcbafOptions) {
  return {
    armed: phase === "armed",
    phase,
    reason,
    stage: ladder?.stage ?? "none",
    ...(options.gear !== undefined && { gear: drive.gear ?? "unknown" }),
    ...(options.fuel !== undefined && { fuel: drive.fuel ? "on" : "cut" }),
    ...(options.clutch !== undefined && { clutch: drive.clutchPercent }),
    accelerator: drive.acceleratorPercent,
    brake: drive.brakePercent,
    limited: limitedBy,
    overruns,
  };
}

/** `value` once `done` is. */
function after(done: Eventually<void>, value: Value): Eventually<Value> {
  return isPending(done) ? done.then(() => value) : value;
}

function functionsOf({ id }: DeviceContext, options: GcbafOptions, control: GcbafControl): Record<string, DeviceFunction> {
  const none = z.strictObject({});
  const functions: Record<string, DeviceFunction> = {
    arm: defineFunction({
      summary: "lets commands through, once they have come for long enough; call it with the priority of who drives. Returns true",
      params: none,
      effect: "actuate",
      call() {
        control.arm();
        return true;
      },
    }),
    disarm: defineFunction({
      summary: "lets no command through any more and brings the vehicle to a stop; returns false",
      params: none,
      effect: "actuate",
      call: () => after(control.disarm(), false),
    }),
    accelerator: defineFunction({
      summary: "presses the accelerator, while the brake is released; returns the percent it goes to",
      params: z.strictObject({ percent: percentSchema }),
      effect: "actuate",
      call: ({ percent }) => control.pedals({ acceleratorPercent: percent }).acceleratorPercent,
    }),
    brake: defineFunction({
      summary: "presses the brake, and releases the accelerator; returns the percent it goes to",
      params: z.strictObject({ percent: percentSchema }),
      effect: "actuate",
      call: ({ percent }) => control.pedals({ brakePercent: percent }).brakePercent,
    }),
    drive: defineFunction({
      summary: "accelerator and brake in one command, for streams; the brake wins. Returns the percents they go to",
      params: z.strictObject({ acceleratorPercent: percentSchema, brakePercent: percentSchema }),
      effect: "actuate",
      call: (target) => ({ ...control.pedals(target) }),
    }),
    state: defineFunction({
      summary: "whether the vehicle is armed, what is driven, what limits it, and how far it was stopped",
      params: none,
      effect: "read",
      call() {
        const state = control.state();
        return { ...published(state, options), fuelCut: state.fuelCut, speedMps: state.speed.speedMps ?? null };
      },
    }),
  };
  if (options.clutch !== undefined) {
    functions["clutch"] = defineFunction({
      summary: "presses the clutch: 100 is pressed; returns the percent it goes to",
      params: z.strictObject({ percent: percentSchema }),
      effect: "actuate",
      call: ({ percent }) => control.clutch(percent),
    });
  }
  if (options.gear !== undefined) {
    const { positions } = options.gear;
    functions["gear"] = defineFunction({
      summary: "changes the gear: P, R, N, D or 1 to 8, as far as there are; returns it",
      params: z.strictObject({ gear: gearSchema }),
      effect: "actuate",
      call({ gear }) {
        if (positions[gear] === undefined) {
          throw new AgentError("UNKNOWN", `${id} has no gear ${gear}; it has ${Object.keys(positions).join(", ")}`);
        }
        return control.gear(gear);
      },
    });
  }
  if (options.fuel !== undefined) {
    functions["fuel"] = defineFunction({
      summary: "cuts fuel until the vehicle is disarmed, stands, and fuel is switched on again; returns on or cut",
      params: z.strictObject({ fuel: z.enum(["on", "cut"]) }),
      effect: "actuate",
      call({ fuel }) {
        if (fuel === "cut") return after(control.cutFuel(), fuel);
        control.allowFuel();
        return fuel;
      },
    });
  }
  return functions;
}
