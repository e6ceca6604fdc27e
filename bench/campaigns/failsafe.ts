// Everything that can be lost while devices are driven: the front, the device host, both, the network, the stream behind a rule. The built agent on the
// virtual board's kernel drivers; each time the kernel's own events say when the last port had its safe value, counted from the death, or from the end of
// the declared lease, staleness or silence.
import { bootBoard } from "../../test/board/boot.ts";
import { ensureKernel, installCommand, missingPackages } from "../../test/board/build.ts";
import { median, row, type Row, type SuiteOptions } from "../report.ts";
import type { Measurement } from "./failsafe/measurement.ts";

const FULL_TIMES = 50;
const QUICK_TIMES = 5;

/** One time takes up to 10 s where the agent has to be started again, and there are seven ways. */
const LIMIT_S_PER_TIME = 120;

const MARK = "FAILSAFE ";

export async function run({ quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  const missing = missingPackages();
  if (missing.length > 0) throw new Error(`the virtual board needs Debian packages: ${installCommand(missing)}`);
  const times = quick ? QUICK_TIMES : FULL_TIMES;
  const measurements: Measurement[] = [];
  const { exitCode, output, console } = await bootBoard(ensureKernel(), {
    command: `node --import tsx bench/campaigns/failsafe/inside.ts ${times} ${seed}`,
    environment: {},
    timeoutS: times * LIMIT_S_PER_TIME,
    onLine(line) {
      if (line.startsWith("late, ")) progress(line);
      if (!line.startsWith(MARK)) return;
      const measurement = JSON.parse(line.slice(MARK.length)) as Measurement;
      measurements.push(measurement);
      progress(`${measurement.name}: ${measurement.lateMs.map((ms) => (ms === null ? "never" : Math.round(ms))).join(" ")} ms`);
    },
  });
  if (exitCode !== 0) throw new Error(`the board ended with ${exitCode ?? "nothing"}\n${output.slice(-4000)}\n${console}`);
  const disturbed = measurements.reduce((sum, measurement) => sum + measurement.disturbed, 0);
  return [
    ...measurements.flatMap(rowsOf),
    row({ name: "attempts in which the agent was not driving by itself", value: disturbed, unit: "", goal: "= 0" }),
  ];
}

function rowsOf({ name, goalMs, lateMs }: Measurement): readonly Row[] {
  const values = lateMs.map((ms) => ms ?? Infinity);
  return [
    row({ name: `${name}: everything safe, median of ${values.length}`, value: median(values), unit: "ms" }),
    row({ name: `${name}: worst`, value: Math.max(...values), unit: "ms", goal: `≤ ${goalMs}` }),
  ];
}
