import { createPlanner, type Plan } from "../../analytics/driving/plan.ts";
import { drivingSchema, type DrivingOptions } from "../../analytics/driving/options.ts";
import { CAR } from "./car.ts";
import { MAX_RANGE_M } from "./lidar.ts";
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
      fullAcceleratorMps2: CAR.fullAcceleratorMps2,
      fullBrakeMps2: CAR.fullBrakeMps2,
    },
  };
}

/** A planner without an agent around it. */
export function createPlannerSubject(options = drivingOptions()): Subject & { readonly last: () => Readonly<Plan> | undefined } {
  let planner = createPlanner(options);
  let nowMs = 0;
  let last: Readonly<Plan> | undefined;
  return {
    last: () => last,
    begin() {
      planner = createPlanner(options);
      nowMs = 1000;
    },
    step(frame, pedals) {
      nowMs += DT_S * 1000;
      last = planner.plan({ ...frame, nowMs });
      pedals.acceleratorPercent = last.acceleratorPercent;
      pedals.brakePercent = last.brakePercent;
      pedals.steeringDeg = last.directionDeg;
      pedals.fuelCut = last.fuel === "cut";
    },
  };
}
