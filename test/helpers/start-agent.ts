import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createAgent, type Agent } from "../../agent/agent.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { loadConfig, type AgentConfig } from "../../agent/config/load.ts";
import { problemText } from "../../agent/config/problem.ts";
import { checkRule } from "../../analytics/rule.ts";
import { createSimBoard, type SimBoard } from "../../drivers/board/sim/sim-board.ts";
import { deviceModules } from "../../agent/modules.ts";
import { createFakeLog, type FakeLog } from "./fake-log.ts";
import { FREE_PORTS } from "./free-ports.ts";
import { connectRaw } from "./raw-client.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { Clock } from "../../agent/contract/clock.ts";

export interface RunningAgent {
  readonly agent: Agent;
  readonly config: AgentConfig;
  readonly board: SimBoard;
  readonly log: FakeLog;
  readonly stateFolder: string;
  /** Sends `bytes` to a listener, ends our side, and returns all that comes back, one character per byte. */
  readonly exchange: (listener: string, bytes: string) => Promise<string>;
  /** One inline command to the gateway; the whole reply. */
  readonly ask: (line: string) => Promise<string>;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

/** An agent in this process, on the simulated board, with its own folder; stopped when the test ends. Listens on free ports unless `yaml` says where. `boardOn` answers what its devices get instead of that board. */
export async function startAgent(
  t: Teardown,
  yaml: string,
  clock: Clock = createSystemClock(),
  boardOn: (board: SimBoard) => Board = (board) => board,
): Promise<RunningAgent> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-agent-"));
  const file = join(folder, "virgo.yaml");
  writeFileSync(file, /^listen:/m.test(yaml) ? yaml : `${FREE_PORTS}${yaml}`);
  const { config, problems } = loadConfig(file, deviceModules, { checkRule });
  if (config === undefined) throw new Error(problems.map(problemText).join("\n"));
  const log = createFakeLog();
  const board = createSimBoard({ clock });
  const stateFolder = join(folder, "state");
  const agent = await createAgent({ config, stateFolder, version: "0.0.0-test", clock, log, board: boardOn(board) });
  t.teardown(async () => {
    await agent.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const exchange = async (listener: string, bytes: string): Promise<string> => {
    const client = await connectRaw(agent.addresses[listener] ?? "");
    client.send(bytes);
    client.end();
    return client.rest();
  };
  return { agent, config, board, log, stateFolder, exchange, ask: (line) => exchange("gateway", `${line}\r\n`) };
}

export { eventually } from "./eventually.ts";
