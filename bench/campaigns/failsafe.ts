// Everything that can be lost while devices are driven: the front, the device host, both, the network, the stream behind a rule. The built agent, each time until the
// last port had its safe value, counted from the death, or from the end of the declared lease, staleness or silence. First on this machine with simulated ports and a
// meter at them, then on the virtual board's kernel drivers, where the kernel's own events say when: GPIO lines, I2C registers, CAN frames.
import { loadavg } from "node:os";

import { bootBoard } from "../../test/board/boot.ts";
import { ensureKernel, installCommand, missingPackages } from "../../test/board/build.ts";
import { measureSimPorts } from "./failsafe/sim-ports.ts";
import { median, row, type Row, type SuiteOptions } from "../report.ts";
import type { Measurement } from "./failsafe/measurement.ts";

const FULL_TIMES = 50;
const QUICK_TIMES = 5;

/** One time takes up to 10 s where the agent has to be started again, and there are seven ways. */
const LIMIT_S_PER_TIME = 120;

/** What builds up does so from the control loop's next tick on, and a frame goes out at its next turn: one period of 10 ms each. */
const RAMP_MS = 20;

const MARK = "FAILSAFE ";

export async function run({ quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  const missing = missingPackages();
  if (missing.length > 0) throw new Error(`the virtual board needs Debian packages: ${installCommand(missing)}`);
  const times = quick ? QUICK_TIMES : FULL_TIMES;
  const rows: Row[] = [];
  let disturbed = 0;
  let again = 0;

  function take(where: string, measurement: Measurement): void {
    const load = loadavg()[0]?.toFixed(1) ?? "";
    const values = measurement.lateMs.map((ms) => (ms === null ? "never" : ms.toFixed(1))).join(" ");
    progress(`${where}, ${measurement.name}: ${values} ms; disturbed ${measurement.disturbed}, load ${load}`);
    disturbed += measurement.disturbed;
    again += measurement.again;
    rows.push(...rowsOf(where, measurement));
  }

  const say = (line: string): void => progress(line);
  await measureSimPorts({ times, seed, only: "", say, onMeasured: (measurement) => take("simulated ports", measurement) });
  const { exitCode, output, console } = await bootBoard(ensureKernel(), {
    command: `node --import tsx bench/campaigns/failsafe/inside.ts ${times} ${seed}`,
    environment: {},
    timeoutS: times * LIMIT_S_PER_TIME,
    onLine(line) {
      if (/^(late|disturbed), /.test(line)) progress(line);
      if (line.startsWith(MARK)) take("virtual board", JSON.parse(line.slice(MARK.length)) as Measurement);
    },
  });
  if (exitCode !== 0) throw new Error(`the board ended with ${exitCode ?? "nothing"}\n${output.slice(-4000)}\n${console}`);
  return [
    ...rows,
    row({ name: "ports that were unsafe again while another device host started", value: again, unit: "", goal: "= 0" }),
    row({ name: "attempts in which the agent was not driving by itself", value: disturbed, unit: "", goal: "= 0" }),
  ];
}

function rowsOf(where: string, { name, goalMs, lateMs, rampMs }: Measurement): readonly Row[] {
  const figures = (what: string, times: readonly (number | null)[], limitMs: number): readonly Row[] => {
    const values = times.map((ms) => ms ?? Infinity);
    return [
      row({ name: `${where}, ${name}: ${what}, median of ${values.length}`, value: median(values), unit: "ms" }),
      row({ name: `${where}, ${name}: ${what}, worst`, value: Math.max(...values), unit: "ms", goal: `≤ ${limitMs}` }),
    ];
  };
  const ramp = rampMs.length === 0 ? [] : figures("brake begins", rampMs, goalMs + RAMP_MS);
  return [...figures("safe", lateMs, goalMs), ...ramp];
}
