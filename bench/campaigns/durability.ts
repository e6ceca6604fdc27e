// What was acknowledged is there after kill -9 at random moments, and when the disk is full.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { FREE_PORTS } from "../processes.ts";
import { quantile, row, type Row, type SuiteOptions } from "../report.ts";
import { fillDisk } from "./durability/disk-full.ts";
import { MISTAKES } from "./durability/findings.ts";
import { killRepeatedly } from "./durability/kills.ts";
import { createBlocksLoad } from "./durability/loads/blocks.ts";
import { createEventsLoad } from "./durability/loads/events.ts";
import { createFilesLoad } from "./durability/loads/files.ts";
import { createKeysLoad, DURABLE_KEYS } from "./durability/loads/keys.ts";
import type { Load } from "./durability/loads/load.ts";
import { createQueueLoad } from "./durability/loads/queue.ts";
import { createRandom } from "./durability/random.ts";

const KILLS = { full: 200, quick: 12 };

/** Keys are in a durable pool, blocks in no pool and durable as well. Messages are delivered again until somebody acknowledges them. */
const CONFIG = `node: durable
board: sim
log: { level: error }
${FREE_PORTS}
memory: { durable: true, pools: { kept: { keys: "${DURABLE_KEYS}", durable: true, maxBytes: 67108864 } } }
queue: { maxDeliveries: 1000 }
events: { fileMs: 20 }
`;

function writeConfig(folder: string): string {
  const path = join(folder, "agent.yaml");
  writeFileSync(path, CONFIG);
  return path;
}

function createLoads(state: string, seed: number): readonly Load[] {
  const random = createRandom(seed);
  return [
    createQueueLoad(random),
    createKeysLoad(random),
    createBlocksLoad(random),
    createFilesLoad(random),
    createEventsLoad(random, join(state, "eventnet")),
  ];
}

async function killRows({ quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  const wanted = quick ? KILLS.quick : KILLS.full;
  const folder = mkdtempSync(join(tmpdir(), "virgo-durability-"));
  const state = join(folder, "state");
  mkdirSync(state);
  try {
    const loads = createLoads(state, seed);
    const outcome = await killRepeatedly({ config: writeConfig(folder), state }, loads, wanted, createRandom(seed + 1), progress);
    for (const what of loads.flatMap(({ findings }) => findings.notes)) progress(what);
    return [
      row({ name: "kill -9", value: outcome.kills, unit: "kills", goal: `≥ ${wanted}` }),
      row({ name: "  of them while the agent started", value: outcome.killsWhileStarting, unit: "kills" }),
      row({ name: "  start after a kill, median", value: quantile(outcome.startMs, 0.5), unit: "ms" }),
      row({ name: "  start after a kill, slowest", value: Math.max(...outcome.startMs), unit: "ms" }),
      ...loads.flatMap(loadRows),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function loadRows({ name, acknowledged, findings }: Load): readonly Row[] {
  return [
    row({ name, value: acknowledged, unit: "acknowledged", goal: "≥ 1" }),
    ...MISTAKES.filter((mistake) => mistake !== "differing text" || name.startsWith("EventNet")).map((mistake) =>
      row({ name: `  ${mistake}`, value: findings.count(mistake), unit: "", goal: "= 0" }),
    ),
  ];
}

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const { seed, progress } = options;
  const killed = await killRows(options);
  const filled = await fillDisk({ writeConfig, createLoads: (state) => createLoads(state, seed), progress });
  return [...killed, ...filled];
}
