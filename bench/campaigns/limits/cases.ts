// The table of limits, row by row, against the real devices on the simulated board: below, at and above each limit, at both ends of its range and at its
// default, of both signs, armed and not.
import { PEDAL_ROWS, STEERING_ROWS, type LimitRow } from "../../../drivers/vehicle/limit-table.ts";
import { LOSS_PROBES } from "./loss-probes.ts";
import { PEDAL_PROBES } from "./pedal-probes.ts";
import { STEERING_PROBES } from "./steering-probes.ts";
import type { Check, Probe } from "./probe.ts";

export interface Case {
  readonly device: "gcbaf" | "steering";
  readonly row: LimitRow;
  readonly value: number;
  readonly probe: Probe;
}

function casesOf(device: Case["device"], rows: readonly LimitRow[], probes: Readonly<Record<string, Probe>>): readonly Case[] {
  return rows.flatMap((row) => {
    const probe = probes[row.name];
    if (probe === undefined) throw new Error(`limit ${row.name} of ${device} has no probe`);
    return [...new Set([row.min, row.default, row.max])].map((value) => ({ device, row, value, probe }));
  });
}

/** Every row with the least, the usual and the greatest value it may have. A row without a probe is an error. */
export function allCases(): readonly Case[] {
  return [...casesOf("gcbaf", PEDAL_ROWS, { ...PEDAL_PROBES, ...LOSS_PROBES }), ...casesOf("steering", STEERING_ROWS, STEERING_PROBES)];
}

/** The checks that do not hold, as text. */
export function failures(checks: readonly Check[]): readonly string[] {
  return checks
    .filter(({ expected, actual }) => !matches(expected, actual))
    .map(({ what, expected, actual }) => `${what}: ${String(expected)} expected, ${String(actual)} seen`);
}

/** Numbers match to a hundred-thousandth of what is driven. */
function matches(expected: unknown, actual: unknown): boolean {
  if (typeof expected === "number" && typeof actual === "number")
    return Math.abs(expected - actual) <= 1e-5 * Math.max(1, Math.abs(expected));
  return expected === actual;
}
