import { z } from "zod";

/** One limit: an option of the driver, with its range, and where its default comes from. Tests, documentation and the campaign go through these rows. */
export interface LimitRow {
  readonly name: string;
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly default: number;
  /** What it bounds. */
  readonly what: string;
  readonly source: string;
}

const AUTOWARE_NOMINAL = "Autoware vehicle_cmd_gate.param.yaml, nominal";
const AUTOWARE_TRANSITION = "Autoware vehicle_cmd_gate.param.yaml, on_transition";
const AUTOWARE_MRM = "Autoware mrm_emergency_stop_operator.param.yaml";
const ARDUPILOT_SLEW = "ArduPilot Rover MOT_SLEWRATE, 0 to 1000 %/s, default 100";

/** What arming asks of the stream of commands, and what a speed has to be to be believed; the same for pedals and steering. */
const COMMON_ROWS = [
  {
    name: "standstillMps",
    unit: "m/s",
    min: 0.01,
    max: 0.5,
    default: 0.1,
    what: "speed up to which the vehicle counts as standing",
    source: `${AUTOWARE_NOMINAL}: lowest reference speed 0.1`,
  },
  {
    name: "speedStaleMs",
    unit: "ms",
    min: 20,
    max: 2000,
    default: 100,
    what: "age at which a measured speed is no longer believed",
    source: "openpilot SubMaster: alive is younger than 10 periods, of 10 ms here",
  },
  {
    name: "armStreamMs",
    unit: "ms",
    min: 500,
    max: 10_000,
    default: 2000,
    what: "how long commands must have come without a gap before arming",
    source: "PX4 offboard mode: the stream must run before and during it",
  },
  {
    name: "armStreamHz",
    unit: "Hz",
    min: 2,
    max: 100,
    default: 10,
    what: "lowest rate of commands that arms, whatever is nominal",
    source: "opendbc safety: a monitored message expected below 10 Hz is invalid; PX4 offboard mode: 2 Hz at the least",
  },
  {
    name: "armStreamRatio",
    unit: "of nominal",
    min: 0.5,
    max: 1,
    default: 0.9,
    what: "part of the nominal rate of commands that arms",
    source: "openpilot SubMaster freq_ok: more than 90 % of nominal",
  },
  {
    name: "transitionMs",
    unit: "ms",
    min: 500,
    max: 60_000,
    default: 2000,
    what: "how long the transition limits hold after arming",
    source: "as long as the stream had to run before arming",
  },
  {
    name: "stopMissed",
    unit: "ticks",
    min: 2,
    max: 1000,
    default: 10,
    what: "missed ticks, less one for every hundred on time, at which the vehicle is stopped",
    source: "opendbc safety: 10 missed messages end the controls",
  },
] as const satisfies readonly LimitRow[];

/** Limits of accelerator, brake, clutch, gear and of the loss ladder. */
export const PEDAL_ROWS = [
  {
    name: "accelerationMps2",
    unit: "m/s²",
    min: 0.1,
    max: 5,
    default: 2,
    what: "acceleration asked of the accelerator at the most",
    source: "opendbc Toyota: +2.0; the maximum is Autoware's lon_acc_lim",
  },
  {
    name: "decelerationMps2",
    unit: "m/s²",
    min: 0.5,
    max: 9,
    default: 3.5,
    what: "deceleration asked of the brake at the most",
    source: "opendbc Toyota: -3.5; the maximum is about what dry asphalt holds",
  },
  {
    name: "accelerationJerkMps3",
    unit: "m/s³",
    min: 0.1,
    max: 80,
    default: 5,
    what: "change of acceleration while the accelerator is pressed or the brake released",
    source: `${AUTOWARE_NOMINAL}: lon_jerk_lim 80/5/5/4`,
  },
  {
    name: "brakeJerkMps3",
    unit: "m/s³",
    min: 1,
    max: 80,
    default: 10,
    what: "change of deceleration while the brake is pressed",
    source: `between the 5 and the 80 of ${AUTOWARE_NOMINAL}: an emergency brake has to build up`,
  },
  {
    name: "acceleratorSlewPercentPerS",
    unit: "%/s",
    min: 1,
    max: 1000,
    default: 100,
    what: "how fast the accelerator is pressed; it is released at once",
    source: ARDUPILOT_SLEW,
  },
  {
    name: "brakeSlewPercentPerS",
    unit: "%/s",
    min: 10,
    max: 1000,
    default: 300,
    what: "how fast the brake is pressed and released",
    source: `range of ${ARDUPILOT_SLEW}; the whole pedal in a third of a second`,
  },
  {
    name: "clutchSlewPercentPerS",
    unit: "%/s",
    min: 1,
    max: 1000,
    default: 200,
    what: "how fast the clutch is pressed and released",
    source: `range of ${ARDUPILOT_SLEW}; the whole pedal in half a second`,
  },
  {
    name: "speedMps",
    unit: "m/s",
    min: 0.5,
    max: 40,
    default: 25,
    what: "measured speed from which on the accelerator stays released",
    source: `${AUTOWARE_NOMINAL}: vel_lim 25`,
  },
  {
    name: "gearChangeMps",
    unit: "m/s",
    min: 0,
    max: 25,
    default: 3,
    what: "speed up to which gears may be changed",
    source: "walking to jogging pace; own choice",
  },
  {
    name: "gearMs",
    unit: "ms",
    min: 0,
    max: 5000,
    default: 500,
    what: "how long the accelerator stays released while a gear is changed",
    source: "travel of usual servos, about 0.2 s for 60°, with reserve; own choice",
  },
  {
    name: "clutchPressedPercent",
    unit: "%",
    min: 50,
    max: 100,
    default: 90,
    what: "from here on the clutch counts as pressed",
    source: "past the biting point of usual clutches; own choice",
  },
  {
    name: "brakePressedPercent",
    unit: "%",
    min: 5,
    max: 100,
    default: 20,
    what: "from here on the brake counts as pressed",
    source: "well past the free travel; own choice",
  },
  {
    name: "transitionAccelerationMps2",
    unit: "m/s²",
    min: 0.1,
    max: 5,
    default: 1,
    what: "acceleration at the most just after arming",
    source: `${AUTOWARE_TRANSITION}: lon_acc_lim 1.0`,
  },
  {
    name: "transitionJerkMps3",
    unit: "m/s³",
    min: 0.1,
    max: 80,
    default: 0.5,
    what: "change of acceleration just after arming",
    source: `${AUTOWARE_TRANSITION}: lon_jerk_lim 0.5`,
  },
  {
    name: "degradedAccelerationMps2",
    unit: "m/s²",
    min: 0,
    max: 5,
    default: 1,
    what: "acceleration at the most while the control loop misses ticks",
    source: `as just after arming: ${AUTOWARE_TRANSITION}: lon_acc_lim 1.0`,
  },
  {
    name: "degradeMissed",
    unit: "ticks",
    min: 1,
    max: 999,
    default: 3,
    what: "missed ticks, less one for every hundred on time, at which acceleration is reduced",
    source: "panda main.c: its own watchdog is 3 periods",
  },
  {
    name: "lossDecelerationMps2",
    unit: "m/s²",
    min: 0.5,
    max: 5,
    default: 2.5,
    what: "deceleration at which a vehicle that nobody drives any more is stopped",
    source: `${AUTOWARE_MRM}: -2.5`,
  },
  {
    name: "lossJerkMps3",
    unit: "m/s³",
    min: 0.3,
    max: 80,
    default: 1.5,
    what: "how fast that deceleration builds up",
    source: `${AUTOWARE_MRM}: -1.5`,
  },
  {
    name: "lossStopMs",
    unit: "ms",
    min: 1000,
    max: 120_000,
    default: 15_000,
    what: "where no speed is known: how long braking at that deceleration takes to stop the vehicle",
    source: "25 m/s at 2.5 m/s² is 10 s, the jerk adds 0.8 s, the rest is reserve",
  },
  {
    name: "holdMs",
    unit: "ms",
    min: 0,
    max: 60_000,
    default: 1000,
    what: "how long the stopped vehicle is held before it is disarmed",
    source: "PX4 auto-disarms 2 s after landing; own choice",
  },
  ...COMMON_ROWS,
] as const satisfies readonly LimitRow[];

/** Limits of the steering; angles are those of the front wheels. */
export const STEERING_ROWS = [
  {
    name: "angleDeg",
    unit: "°",
    min: 1,
    max: 90,
    default: 35,
    what: "angle of the front wheels to either side at the most",
    source: "30° to 40° is the lock of usual cars; set it to that of yours",
  },
  {
    name: "rateDegPerS",
    unit: "°/s",
    min: 1,
    max: 720,
    default: 57.3,
    what: "how fast the wheels are turned, up to 20 m/s",
    source: `${AUTOWARE_NOMINAL}: steer_rate_lim 1.0 rad/s`,
  },
  {
    name: "fastRateDegPerS",
    unit: "°/s",
    min: 1,
    max: 720,
    default: 45.8,
    what: "how fast the wheels are turned at 30 m/s and more; between, in proportion",
    source: `${AUTOWARE_NOMINAL}: steer_rate_lim 0.8 rad/s`,
  },
  {
    name: "lateralMps2",
    unit: "m/s²",
    min: 0.5,
    max: 5,
    default: 3,
    what: "lateral acceleration at the most",
    source: "ISO 11270, as opendbc takes it (without its allowance for roll)",
  },
  {
    name: "lateralJerkMps3",
    unit: "m/s³",
    min: 0.5,
    max: 5,
    default: 3,
    what: "change of lateral acceleration at the most",
    source: "opendbc; ISO 11270 allows 5.0",
  },
  {
    name: "transitionLateralMps2",
    unit: "m/s²",
    min: 0.5,
    max: 5,
    default: 2,
    what: "lateral acceleration at the most just after arming",
    source: `${AUTOWARE_TRANSITION}: lat_acc_lim 2.0`,
  },
  {
    name: "lossHoldMs",
    unit: "ms",
    min: 1000,
    max: 120_000,
    default: 16_000,
    what: "how long a wheel that nobody steers any more is held, unless the vehicle is known to stand before",
    source: "as long as the pedals take to stop the vehicle and hold it",
  },
  ...COMMON_ROWS,
] as const satisfies readonly LimitRow[];

/** The value of every row. */
export type LimitsOf<Row extends LimitRow> = { readonly [Name in Row["name"]]: number };

export type PedalLimits = LimitsOf<(typeof PEDAL_ROWS)[number]>;

export type SteeringLimits = LimitsOf<(typeof STEERING_ROWS)[number]>;

/** The limits both drivers have. */
export type CommonLimits = LimitsOf<(typeof COMMON_ROWS)[number]>;

/** The rows as options: each with its range and default. */
function schemaOf<Row extends LimitRow>(rows: readonly Row[]): z.ZodObject<Record<Row["name"], z.ZodDefault<z.ZodNumber>>> {
  const fields = rows.map((row) => [
    row.name,
    z.number().min(row.min).max(row.max).default(row.default).describe(`${row.what}, ${row.unit} (${row.source})`),
  ]);
  return z.strictObject(Object.fromEntries(fields) as Record<Row["name"], z.ZodDefault<z.ZodNumber>>);
}

export const pedalLimitsSchema = schemaOf(PEDAL_ROWS)
  .refine(({ degradeMissed, stopMissed }) => degradeMissed < stopMissed, {
    path: ["degradeMissed"],
    error: "the vehicle has to be slowed down before it is stopped: degradeMissed has to be less than stopMissed",
  })
  .refine(({ transitionAccelerationMps2, accelerationMps2 }) => transitionAccelerationMps2 <= accelerationMps2, {
    path: ["transitionAccelerationMps2"],
    error: "just after arming the limit cannot be wider than later: transitionAccelerationMps2 has to be up to accelerationMps2",
  })
  .refine(({ transitionJerkMps3, accelerationJerkMps3 }) => transitionJerkMps3 <= accelerationJerkMps3, {
    path: ["transitionJerkMps3"],
    error: "just after arming the limit cannot be wider than later: transitionJerkMps3 has to be up to accelerationJerkMps3",
  });

export const steeringLimitsSchema = schemaOf(STEERING_ROWS).refine(
  ({ transitionLateralMps2, lateralMps2 }) => transitionLateralMps2 <= lateralMps2,
  {
    path: ["transitionLateralMps2"],
    error: "just after arming the limit cannot be wider than later: transitionLateralMps2 has to be up to lateralMps2",
  },
);
