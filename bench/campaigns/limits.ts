// Whether a vehicle's limits hold at its ports: every row of their table below, at and above, on the simulated board; and whether the tests of the code
// that decides notice when it is wrong.
import { allCases, failures } from "./limits/cases.ts";
import { mutate, VEHICLE_TARGETS } from "./mutation.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const { progress } = options;
  const cases = allCases();
  let checks = 0;
  let failed = 0;
  for (const { device, row: limit, value, probe } of cases) {
    const seen = await probe(value);
    checks += seen.length;
    const wrong = failures(seen);
    failed += wrong.length;
    for (const text of wrong) progress(`${device} ${limit.name} ${value} ${limit.unit}: ${text}`);
  }
  progress(`${cases.length} limits with ${checks} checks on the simulated board, ${failed} failed`);
  return [
    row({ name: "limits tried, each at the ends of its range and at its default", value: cases.length, unit: "limits", goal: "≥ 100" }),
    row({ name: "checks below, at and above them, of both signs, armed and not", value: checks, unit: "checks" }),
    row({ name: "of them failed", value: failed, unit: "checks", goal: "= 0" }),
    ...(await mutate({ what: "the vehicle's limits, arming and loss", targets: VEHICLE_TARGETS }, options)),
  ];
}
