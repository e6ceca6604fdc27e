import { angleOf, arm, CHANNELS, openWheels, TICK_MS, type Options, type Rig } from "./rig.ts";
import { streamProbes } from "./stream-probes.ts";
import type { Check, Probe } from "./probe.ts";

const DEG = 180 / Math.PI;
const WHEELBASE_M = 2.5;

/** Nothing binds but what is probed. */
const WIDE: Options = {
  angleDeg: 90,
  rateDegPerS: 720,
  fastRateDegPerS: 720,
  lateralMps2: 5,
  lateralJerkMps3: 5,
  transitionLateralMps2: 5,
  transitionMs: 500,
  stopMissed: 1000,
};

const SPEED: Options = { speed: "speed" };

const wheelsAt = (rig: Rig): number => angleOf(rig.pulseUs(CHANNELS.angle));
const isArmed = (rig: Rig): boolean => rig.published.get("armed") === true;
const turn = (rig: Rig, angleDeg: number): unknown => rig.call("angle", { angleDeg });

const limited = (limits: Options, more: Options = {}): Promise<Rig> => openWheels({ limits: { ...WIDE, ...limits }, ...more });

/** Armed, straight ahead, at this speed. */
async function armed(limits: Options, speedMps?: number, more: Options = {}): Promise<Rig> {
  const rig = await limited(limits, { ...(speedMps !== undefined && SPEED), ...more });
  arm(rig, () => {
    if (speedMps !== undefined) rig.set("speed", speedMps);
    turn(rig, 0);
  });
  return rig;
}

/** `ms` of this angle at this speed; the steepest change in one tick, per second. */
function steer(rig: Rig, ms: number, angleDeg: number, speedMps: number): number {
  let steepest = 0;
  for (let at = 0; at < ms; at += TICK_MS) {
    const last = wheelsAt(rig);
    rig.set("speed", speedMps);
    turn(rig, angleDeg);
    rig.tick();
    steepest = Math.max(steepest, Math.abs(wheelsAt(rig) - last));
  }
  return steepest * (1000 / TICK_MS);
}

/** Both sides. */
const SIGNS = [1, -1] as const;

const side = (sign: number): string => (sign > 0 ? "left" : "right");

async function rateChecks(limits: Options, speedMps: number, expected: number): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for (const sign of SIGNS) {
    // Lateral limits do not bind a long vehicle that is asked for little.
    const rig = await armed({ ...limits, transitionMs: 500 }, speedMps, { wheelbaseM: 20 });
    steer(rig, 1000, 0, speedMps);
    checks.push({ what: `${side(sign)} at ${speedMps} m/s`, expected, actual: steer(rig, 60, sign * 90, speedMps) });
  }
  return checks;
}

/** The angle that is reached when the most is asked for at this speed. */
async function lateralChecks(limits: Options, lateralMps2: number, ms: number): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for (const speedMps of [5, 15, -15]) {
    for (const sign of SIGNS) {
      const rig = await armed(limits, speedMps);
      steer(rig, ms, sign * 90, speedMps);
      const boundDeg = Math.atan((lateralMps2 * WHEELBASE_M) / speedMps ** 2) * DEG;
      checks.push({ what: `${side(sign)} at ${speedMps} m/s`, expected: sign * boundDeg, actual: wheelsAt(rig) });
    }
  }
  return checks;
}

async function armAfter(limits: Options, periodMs: number, ms: number, more: Options = {}): Promise<unknown> {
  const rig = await limited(limits, more);
  for (let at = 0; at < ms; at += periodMs) {
    turn(rig, 0);
    for (let ticks = 0; ticks < periodMs; ticks += TICK_MS) rig.tick();
  }
  turn(rig, 0);
  return rig.call("arm");
}

/** How long the angle is held once nobody steers. */
async function heldMs(limits: Options, speedMps?: number): Promise<number> {
  const rig = await armed(limits, speedMps);
  void rig.device.failsafe?.("safe");
  for (let ms = 0; ms < 300_000; ms += TICK_MS) {
    if (speedMps !== undefined) rig.set("speed", speedMps);
    rig.tick();
    if (rig.pulseUs(CHANNELS.angle) === 0) return ms + TICK_MS;
  }
  return Infinity;
}

export const STEERING_PROBES: Readonly<Record<string, Probe>> = {
  angleDeg: async (value) => {
    const checks: Check[] = [];
    for (const sign of SIGNS) {
      const rig = await armed({ angleDeg: value });
      const disarmed = await limited({ angleDeg: value });
      for (const [what, angleDeg, ok] of [
        ["below", value * 0.9, true],
        ["at", value, true],
        ["above", value * 1.001, false],
      ] as const) {
        checks.push({
          what: `${what}, ${side(sign)}, armed`,
          expected: ok ? sign * angleDeg : "LIMIT",
          actual: turn(rig, sign * angleDeg),
        });
        checks.push({
          what: `${what}, ${side(sign)}, disarmed`,
          expected: ok ? "NOT_READY" : "LIMIT",
          actual: turn(disarmed, sign * angleDeg),
        });
        if (!ok) continue;
        steer(rig, 500, sign * angleDeg, 0);
        checks.push({ what: `${what}, ${side(sign)}, driven`, expected: sign * angleDeg, actual: wheelsAt(rig) });
      }
      disarmed.run(100);
      checks.push({ what: "disarmed, pulse", expected: 0, actual: disarmed.pulseUs(CHANNELS.angle) });
    }
    return checks;
  },
  rateDegPerS: async (value) => [
    ...(await rateChecks({ rateDegPerS: value, fastRateDegPerS: 720 }, 0, value)),
    ...(await rateChecks({ rateDegPerS: value, fastRateDegPerS: value }, 1, value)),
  ],
  // Fast, the lateral jerk binds before a wheel turns that fast: the rate is seen where it is the lower one, of a long vehicle.
  fastRateDegPerS: async (value) => {
    const speedMps = 30;
    const jerkRate = ((5 * 20) / speedMps ** 2) * DEG;
    return rateChecks({ rateDegPerS: 720, fastRateDegPerS: value }, speedMps, Math.min(value, Math.atan(jerkRate / DEG / 100) * DEG * 100));
  },
  lateralMps2: (value) => lateralChecks({ lateralMps2: value, transitionLateralMps2: Math.min(value, 5) }, value, 8000),
  lateralJerkMps3: async (value) => {
    const checks: Check[] = [];
    const speedMps = 10;
    for (const sign of SIGNS) {
      const rig = await armed({ lateralJerkMps3: value }, speedMps);
      steer(rig, 1000, 0, speedMps);
      let steepest = 0;
      let lastMps2 = (speedMps ** 2 * Math.tan(wheelsAt(rig) / DEG)) / WHEELBASE_M;
      for (let at = 0; at < 300; at += TICK_MS) {
        steer(rig, TICK_MS, sign * 90, speedMps);
        const mps2 = (speedMps ** 2 * Math.tan(wheelsAt(rig) / DEG)) / WHEELBASE_M;
        steepest = Math.max(steepest, Math.abs(mps2 - lastMps2) * (1000 / TICK_MS));
        lastMps2 = mps2;
      }
      // The pulse is read to a millionth of a microsecond.
      checks.push({ what: side(sign), expected: value, actual: Number(steepest.toFixed(4)) });
    }
    return checks;
  },
  transitionLateralMps2: (value) => lateralChecks({ transitionLateralMps2: value, lateralMps2: 5, transitionMs: 60_000 }, value, 8000),
  lossHoldMs: async (value) => [
    { what: "speed unknown", expected: value, actual: await heldMs({ lossHoldMs: value }) },
    { what: "still moving", expected: value, actual: await heldMs({ lossHoldMs: value }, 5) },
    { what: "standing", expected: TICK_MS, actual: await heldMs({ lossHoldMs: value }, 0) },
  ],
  standstillMps: async (value) => [
    { what: "at", expected: TICK_MS, actual: await heldMs({ standstillMps: value, lossHoldMs: 1000 }, value) },
    { what: "at, backwards", expected: TICK_MS, actual: await heldMs({ standstillMps: value, lossHoldMs: 1000 }, -value) },
    { what: "above", expected: 1000, actual: await heldMs({ standstillMps: value, lossHoldMs: 1000 }, value * 1.1) },
  ],
  speedStaleMs: async (value) => {
    const after = async (ageMs: number): Promise<boolean> => {
      const rig = await armed({ speedStaleMs: value }, 1);
      rig.set("speed", 1);
      rig.run(ageMs, () => turn(rig, 0));
      return isArmed(rig);
    };
    return [
      { what: "at: armed", expected: true, actual: await after(value) },
      { what: "above: armed", expected: false, actual: await after(value + TICK_MS) },
    ];
  },
  ...streamProbes(armAfter),
  transitionMs: async (value) => {
    const speedMps = 10;
    const rig = await armed({ transitionMs: value, transitionLateralMps2: 0.5, lateralMps2: 5 }, speedMps);
    const boundDeg = Math.atan((0.5 * WHEELBASE_M) / speedMps ** 2) * DEG;
    let ms = 0;
    while (ms < 100_000) {
      steer(rig, TICK_MS, 90, speedMps);
      ms += TICK_MS;
      if (wheelsAt(rig) > boundDeg * 1.001) break;
    }
    return [{ what: "turns freely after", expected: value, actual: ms }];
  },
  stopMissed: async (value) => {
    const after = async (missed: number): Promise<boolean> => {
      const rig = await armed({ stopMissed: value });
      turn(rig, 0);
      rig.tick(missed);
      return isArmed(rig);
    };
    return [
      { what: "below: armed", expected: true, actual: await after(value - 1) },
      { what: "at: armed", expected: false, actual: await after(value) },
    ];
  },
};
