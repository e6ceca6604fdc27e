import { createPlanner, type Plan } from "../../analytics/driving/plan.ts";
import { drivingSchema, type DrivingOptions } from "../../analytics/driving/options.ts";
import { pedalLimitsSchema, steeringLimitsSchema } from "../../drivers/vehicle/limit-table.ts";
import { limitAngle, limitPedals, type LimitedPedals } from "../../drivers/vehicle/limits.ts";
import { CAR } from "./car.ts";
import { MAX_RANGE_M } from "./lidar.ts";
import { DECLARED } from "./port-watch.ts";
import { DT_S, type Subject } from "./scenario.ts";

/** The simulated car as the planner is told of it. */
export function drivingOptions(): DrivingOptions {
  return drivingSchema.parse(drivingConfig());
}

export function drivingConfig() {
  return {
    horizontal: "horizontal",
    vertical: "vertical",
    speed: "speed",
    demandedSpeed: "demanded_speed",
    goal: "goal",
    sensor: {
      forwardM: CAR.sensorForwardM,
      heightM: CAR.sensorHeightM,
      verticalForwardM: CAR.verticalForwardM,
      maxRangeM: MAX_RANGE_M,
    },
    vehicle: {
      widthM: CAR.widthM,
      heightM: CAR.heightM,
      wheelbaseM: CAR.wheelbaseM,
      frontM: CAR.frontM,
      rearM: CAR.rearM,
      maxSteeringDeg: CAR.maxSteeringDeg,
      steeringRateDegPerS: DECLARED.steeringDegPerS,
      fullAcceleratorMps2: CAR.fullAcceleratorMps2,
      fullBrakeMps2: CAR.fullBrakeMps2,
    },
  };
}

const SCALE = { acceleratorMps2: CAR.fullAcceleratorMps2, brakeMps2: CAR.fullBrakeMps2 };
const PEDAL_LIMITS = pedalLimitsSchema.parse({});
const STEERING_LIMITS = steeringLimitsSchema.parse({ angleDeg: CAR.maxSteeringDeg });
const RELEASED: LimitedPedals = { acceleratorPercent: 0, brakePercent: 0, limitedBy: "none" };

/** A planner without an agent around it, through the vehicle's limits. */
export function createPlannerSubject(options = drivingOptions()): Subject & { readonly last: () => Readonly<Plan> | undefined } {
  let planner = createPlanner(options);
  let nowMs = 0;
  let last: Readonly<Plan> | undefined;
  let limited = RELEASED;
  let angleDeg = 0;
  return {
    last: () => last,
    begin() {
      planner = createPlanner(options);
      nowMs = 1000;
      limited = RELEASED;
      angleDeg = 0;
    },
    step(frame, pedals) {
      nowMs += DT_S * 1000;
      last = planner.plan({ ...frame, nowMs });
      const stepMs = DT_S * 1000;
      const { speedMps } = frame;
      limited = limitPedals(
        limited,
        last,
        { speedMps, stepMs, inTransition: false, degraded: false, shifting: false },
        SCALE,
        PEDAL_LIMITS,
      );
      angleDeg = limitAngle(
        angleDeg,
        last.directionDeg,
        { speedMps, stepMs, inTransition: false },
        CAR.wheelbaseM,
        STEERING_LIMITS,
      ).angleDeg;
      pedals.acceleratorPercent = limited.acceleratorPercent;
      pedals.brakePercent = limited.brakePercent;
      pedals.steeringDeg = angleDeg;
      pedals.fuelCut = last.fuel === "cut";
    },
  };
}
