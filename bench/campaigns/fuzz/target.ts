import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { FREE_PORTS, type Measured, startWritingListen } from "../../processes.ts";

/** The agent under test. */
export interface Target {
  readonly agent: Measured;
  /** Where its listeners are, by their names. */
  readonly ports: ReadonlyMap<string, number>;
  /** Its state folder. */
  readonly state: string;
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;

/** Small limits, all of them reached: what is kept in memory and on disk has a bound that the campaign can check. */
export const BOUNDS = { memoryBytes: 8 * MIB, fileBytes: 16 * MIB, queueBytes: 4 * MIB, events: 2000 } as const;

/**
 * What may be on disk: the files; twice what may be live in each log, since a log is compacted when half of it is dead, and the segments it has in
 * hand; the audit log and texts beside the records.
 */
export const MOST_STATE_BYTES = BOUNDS.fileBytes + 2 * (BOUNDS.memoryBytes + BOUNDS.queueBytes) + 64 * MIB;

const CONFIG = `node: virgo
board: sim
log: { level: error }
devices: { lamp: { driver: light, line: GPIO17 }, pump: { driver: relay, line: GPIO27 } }
memory: { maxBytes: ${BOUNDS.memoryBytes}, maxBytesPerCaller: ${BOUNDS.memoryBytes}, maxBlocks: 2000, maxKeys: 5000, pools: { kept: { keys: "key:1*", durable: true, maxBytes: ${BOUNDS.memoryBytes / 4} } } }
files: { maxTotalBytes: ${BOUNDS.fileBytes}, maxFileBytes: ${BOUNDS.fileBytes / 16}, maxFiles: 100, maxDescriptors: 64, descriptorIdleMs: 1000 }
queue: { maxBytes: ${BOUNDS.queueBytes}, maxMessages: 5000, visibilityMs: 1000 }
events: { maxVertices: ${BOUNDS.events}, maxEdges: ${BOUNDS.events} }
audit: { maxBytes: ${4 * MIB}, maxFiles: 2 }
`;

/** Starts the built agent with every port on a free one. */
export async function startTarget(idleMs: number): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-fuzz-"));
  const config = join(folder, "agent.yaml");
  writeFileSync(config, `${FREE_PORTS}\nlimits: { idleMs: ${idleMs}, maxRequestBytes: 262144 }\n${CONFIG}`);
  let state = "";
  const agent = await startWritingListen((made) => {
    state = made;
    return ["dist/agent/main.js", "agent", "--config", config, "--state", made];
  }).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const listening = JSON.parse(readFileSync(join(state, "listen.json"), "utf8")) as Readonly<Record<string, string>>;
  return {
    agent,
    state,
    ports: new Map(Object.entries(listening).map(([name, address]) => [name, Number(address.split(":").at(-1))])),
    stop: async () => {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
