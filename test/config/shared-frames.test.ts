// Two devices that would send the same CAN frame: whoever receives it would get now the one's values, now the other's.
import { join } from "node:path";

import t, { type Test } from "tap";

import { loadConfig } from "../../agent/config/load.ts";
import { deviceModules } from "../../agent/modules.ts";

const PEDALS = "accelerator: { can: { frame: f, signal: a } }, brake: { can: { frame: f, signal: b } }";
const SIGNALS =
  "length: 4, signals: { a: { startBit: 0, lengthBits: 8 }, b: { startBit: 8, lengthBits: 8 }, angle: { startBit: 16, lengthBits: 8, signed: true } }";

/** A car and its wheels, each with a frame `f` that is told apart by these; on can0 unless said otherwise. */
function problemsOf(t: Test, car: string, wheels: string, wheelsOn = "can0", more = ""): readonly string[] {
  const folder = t.testdir({
    "virgo.yaml": `board: sim
devices:
  car: { driver: gcbaf, ${PEDALS}, can: { interface: can0, frames: { f: { ${car}, ${SIGNALS} }${more} } } }
  wheels: { driver: steering, angle: { can: { frame: f, signal: angle } }, can: { interface: ${wheelsOn}, frames: { f: { ${wheels}, ${SIGNALS} } } } }
`,
  });
  return loadConfig(join(folder, "virgo.yaml"), deviceModules).problems.map(
    ({ line, reason, suggestion }) => `${line}: ${reason}; ${suggestion ?? ""}`,
  );
}

t.test("one frame for pedals and wheels is refused before anything opens", async (t) => {
  const [problem = "", ...rest] = problemsOf(t, "id: 0x200", "id: 512");
  t.match(problem, /^4: can can0:0x200 is used by car \(.*virgo\.yaml:3:\d+\) and by wheels; give one of them another port$/);
  t.strictSame(rest, []);
});

t.test("so is the same frame twice in one device", async (t) => {
  const [problem = ""] = problemsOf(t, "id: 0x200", "id: 0x201", "can0", `, g: { id: 0x200, ${SIGNALS} }`);
  t.match(problem, /^3: car uses can can0:0x200 twice/);
});

t.test("other frames are not: by ID, by the length of the ID, by the interface", async (t) => {
  t.strictSame(problemsOf(t, "id: 0x200", "id: 0x201"), []);
  t.strictSame(problemsOf(t, "id: 0x200", "id: 0x200, extended: true"), []);
  t.strictSame(problemsOf(t, "id: 0x200", "id: 0x200", "can1"), []);
});
