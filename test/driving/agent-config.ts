import { CAR } from "./car.ts";
import { DECLARED } from "./port-watch.ts";
import { drivingConfig } from "./planner-subject.ts";

/** Who decides: the driving analytics, or a cruise control that looks at nothing. */
export type Decider = "driving" | "blind cruise";

/** Pulses of the simulated servos, microseconds. */
export const PULSE = { lowUs: 1000, highUs: 2000, frequencyHz: 50 } as const;

const SAFE_RULES = {
  drive: { when: "driving.velocity >= 0.0", call: "car.drive(driving.accelerator, driving.brake)" },
  steer: { when: "driving.velocity >= 0.0", call: "wheel.angle(driving.direction)" },
};

const BLIND_RULES = {
  faster: { when: "speed < demanded_speed", call: "car.drive(60.0, 0.0)" },
  coast: { when: "speed >= demanded_speed", call: "car.drive(0.0, 0.0)" },
  steer: { when: "true || goal > 0.0", call: "wheel.angle(goal > 30.0 ? 30.0 : (goal < -30.0 ? -30.0 : goal))" },
};

/** What the driving analytics publishes and the rules read. */
const PLANNED = Object.fromEntries(["accelerator", "brake", "direction", "velocity"].map((name) => [`driving.${name}`, { staleMs: 200 }]));

/** The configuration of the agent under test; JSON is YAML. */
export function agentConfig(decider: Decider): string {
  const pwm = (channel: number) => ({ chip: "sim", channel });
  const { lowUs, highUs } = PULSE;
  return JSON.stringify({
    node: "driving",
    board: "sim",
    isolation: "none",
    devices: {
      car: {
        driver: "gcbaf",
        group: "vehicle",
        // Its clock stands when the scenario is over.
        exitStopMs: 0,
        accelerator: { pwm: pwm(0), fullMps2: CAR.fullAcceleratorMps2 },
        brake: { pwm: pwm(1), fullMps2: CAR.fullBrakeMps2 },
        gear: { pwm: pwm(2), positions: { P: 1000, R: 1200, N: 1400, D: 1600 } },
        fuel: { line: "GPIO17" },
        speed: "speed",
        limits: { lossJerkMps3: 10 },
      },
      wheel: {
        driver: "steering",
        group: "vehicle",
        exitStopMs: 0,
        angle: {
          pwm: pwm(3),
          points: [
            [-DECLARED.steeringDeg, lowUs],
            [DECLARED.steeringDeg, highUs],
          ],
        },
        wheelbaseM: CAR.wheelbaseM,
        speed: "speed",
        limits: { angleDeg: DECLARED.steeringDeg },
      },
    },
    analytics: {
      sources: [{ tcp: "127.0.0.1:0", listen: true }],
      staleMs: 200,
      variables: {
        ...(decider === "driving" && PLANNED),
        speed: { unit: "m/s", staleMs: 100, min: 0, max: 50 },
        goal: { unit: "deg", staleMs: 300 },
      },
      ...(decider === "driving" && { driving: drivingConfig() }),
    },
    rules: decider === "driving" ? SAFE_RULES : BLIND_RULES,
    ...listen(),
  });
}

function listen() {
  const off = Object.fromEntries(["clone", "eventnet", "memory", "files", "queue"].map((name) => [name, false]));
  return { listen: { ...off, gateway: "127.0.0.1:0" } };
}
