// Whether instruments on serial ports can be pulled, plugged in again and disturbed at any byte: every driver with its simulated instrument, which measures
// the same all the time, so that any other value is invented; and again on the kernel's pseudo terminals, which need socat.
import { cutPty } from "./serial/pty.ts";
import { invented, missing, trial, type Trial, type Trouble } from "./serial/trial.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";
import { SUBJECTS, type Subject } from "./serial/subjects.ts";

const QUICK_STEP = 7;
/** 0: as it was sent; the others are the lengths of the pieces that arrive. */
const MAX_CHUNK_BYTES = 5;
const DAMAGED_RUNS = { quick: 10, full: 200 };

/** xorshift32: the same seed gives the same run. */
function randomFrom(seed: number): (below: number) => number {
  let state = (seed | 0) === 0 ? 1 : seed | 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Findings {
  trials: number;
  faults: number;
  invented: number;
  unrecovered: number;
  uncounted: number;
  leftTimers: number;
}

/** Pulls the plug after so many bytes from plugging in, in the middle of whatever comes then. */
function cutAt({ settleMs }: Subject, byte: number): Trouble {
  return {
    async during(world, advance) {
      world.unplug();
      await advance(500);
      world.setChunkBytes(byte % MAX_CHUNK_BYTES);
      world.plug();
      world.unplugAfter(byte);
      // Long enough for so many bytes.
      await advance(settleMs * 3);
    },
  };
}

function garbage(random: (below: number) => number): Trouble {
  return {
    async during(world, advance) {
      for (let i = 0; i < 50; i++) {
        world.send(Uint8Array.from({ length: random(200) }, () => random(256)));
        await advance(random(50));
      }
    },
  };
}

/** One byte of every piece that is sent changed, or the piece cut short. */
function damage(random: (below: number) => number): Trouble {
  return {
    async during(world, advance) {
      const cuts = random(2) === 0;
      world.alter((bytes) => {
        const at = random(bytes.length);
        return cuts ? bytes.subarray(0, at) : bytes.map((byte, i) => (i === at ? byte ^ (1 + random(255)) : byte));
      });
      await advance(5000);
    },
  };
}

async function tryOne(subject: Subject, options: SuiteOptions, found: Findings): Promise<void> {
  const { quick, seed, progress } = options;
  const random = randomFrom(seed);
  const clean = await trial(subject, {});
  if (clean.afterwards.size === 0) throw new Error(`${subject.name} publishes nothing`);

  async function judge(what: string, trouble: Trouble): Promise<Trial> {
    const seen = await trial(subject, trouble);
    const wrong = invented(subject, seen, clean.published);
    const lost = missing(subject, seen, clean.afterwards);
    found.trials += 1;
    found.faults += seen.faults.length;
    found.invented += wrong.length;
    found.unrecovered += lost.length;
    found.leftTimers += seen.leftTimers;
    if (wrong.length + lost.length + seen.faults.length + seen.leftTimers > 0) {
      const faults = seen.faults.map(String).join(" ");
      progress(
        `${subject.name} ${what}: invented ${wrong.join(" ")}; lost ${lost.join(" ")}; faults ${faults}; ${seen.leftTimers} timers left`,
      );
    }
    return seen;
  }

  for (let byte = 0; byte <= subject.cutBytes; byte += quick ? QUICK_STEP : 1) await judge(`cut at byte ${byte}`, cutAt(subject, byte));
  const runs = quick ? DAMAGED_RUNS.quick : DAMAGED_RUNS.full;
  for (let i = 0; i < runs && subject.errors !== undefined; i++) {
    await judge(`garbage ${i}`, garbage(random));
    const damaged = await judge(`damage ${i}`, damage(random));
    if (damaged.errors <= clean.errors) {
      found.uncounted += 1;
      progress(`${subject.name} damage ${i}: nothing was counted`);
    }
  }
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const found: Findings = { trials: 0, faults: 0, invented: 0, unrecovered: 0, uncounted: 0, leftTimers: 0 };
  for (const subject of SUBJECTS) {
    const before = found.trials;
    await tryOne(subject, options, found);
    options.progress(`${subject.name}: ${found.trials - before} trials`);
  }
  const pty = await cutPty(options.quick ? QUICK_STEP : 1, options.progress);
  return [
    row({ name: "drivers whose port was pulled and disturbed", value: SUBJECTS.length, unit: "drivers", goal: "≥ 7" }),
    row({ name: "trials: pulled at a byte, garbage, damaged and cut frames", value: found.trials, unit: "trials" }),
    row({ name: "values published that the instrument never had", value: found.invented, unit: "values", goal: "= 0" }),
    row({ name: "values that did not come back afterwards", value: found.unrecovered, unit: "values", goal: "= 0" }),
    row({ name: "devices that faulted", value: found.faults, unit: "faults", goal: "= 0" }),
    row({ name: "damaged runs in which nothing was counted", value: found.uncounted, unit: "runs", goal: "= 0" }),
    row({ name: "pseudo terminals ended in the middle of whatever came", value: pty.cuts, unit: "cuts" }),
    row({ name: "of them after which not every value came again", value: pty.unrecovered, unit: "cuts", goal: "= 0" }),
    row({ name: "values published there that the instrument never had", value: pty.invented, unit: "values", goal: "= 0" }),
    row({ name: "devices that faulted there", value: pty.faults, unit: "faults", goal: "= 0" }),
    row({ name: "timers left behind", value: found.leftTimers, unit: "timers", goal: "= 0" }),
  ];
}
