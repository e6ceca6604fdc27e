import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { createBroker } from "../../../agent/mqtt/broker.ts";
import { createOutbox } from "../../../agent/mqtt/outbox.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { mqttOptionsSchema } from "../../../agent/mqtt/options.ts";
import { FREE_PORTS, startWritingListen } from "../../processes.ts";
import { quantile, row, type Row, type SuiteOptions } from "../../report.ts";
import type { Log } from "../../../agent/contract/log.ts";

const MESSAGES = 100_000;
const RUNS = { full: 11, quick: 3 };
/** Taken in one turn, so that the disk keeps up. */
const AT_ONCE = 2000;

const QUIET: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

function nothing(): void {
  return undefined;
}

/** An outbox as it is found after days without a broker. */
async function fillOutbox(folder: string): Promise<void> {
  const clock = createSystemClock();
  const options = mqttOptionsSchema.parse({ url: "mqtt://127.0.0.1:1" });
  const broker = createBroker(options, { node: "n", clock, log: QUIET, readSecrets: () => Promise.resolve({}) });
  const outbox = createOutbox({ folder, options: options.outbox, maxMessageBytes: options.maxMessageBytes, broker, clock, log: QUIET });
  outbox.start();
  for (let i = 0; i < MESSAGES; i++) {
    outbox.send({ topic: `site/${i % 10}`, payload: `value=${i},${"x".repeat(80)}`, policy: "queue" });
    while ((i + 1) % AT_ONCE === 0 && outbox.figures()["kept"] !== i + 1) await wait(1);
  }
  await outbox.close();
}

/** Until the agent listens, with 100,000 messages that wait for a broker that is not there, beside the same without them. */
export async function startRows({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-broker-"));
  const config = join(folder, "agent.yaml");
  writeFileSync(config, `board: sim\nlog: { level: error }\n${FREE_PORTS}\nmqtt: { url: "mqtt://127.0.0.1:1" }\n`);
  const full = join(folder, "outbox");
  try {
    progress(`filling an outbox with ${MESSAGES} messages`);
    await fillOutbox(full);
    const times = { with: [] as number[], without: [] as number[] };
    for (let run = 0; run < (quick ? RUNS.quick : RUNS.full); run++) {
      for (const kind of ["without", "with"] as const) {
        const copy = join(folder, "copy");
        if (kind === "with") cpSync(full, copy, { recursive: true });
        const agent = await startWritingListen((state) => {
          if (kind === "with") renameSync(copy, join(state, "outbox"));
          return ["dist/agent/main.js", "agent", "--config", config, "--state", state];
        });
        times[kind].push(agent.startMs);
        await agent.stop();
      }
    }
    const [median, without] = [quantile(times.with, 0.5), quantile(times.without, 0.5)];
    return [
      row({ name: "start with 100,000 messages in the outbox, median", value: median, unit: "ms", goal: "≤ 1000" }),
      row({ name: "  beside an empty one", value: median, unit: "ms", peer: { name: "empty outbox", value: without }, goal: "≤ 1.25 ×" }),
      row({ name: "  slowest", value: Math.max(...times.with), unit: "ms" }),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
