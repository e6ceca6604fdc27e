import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { createSystemClock } from "../../../agent/clock.ts";
import { createClient, type Client } from "../../../agent/fleet/client.ts";
import { plainEnvironment } from "../../processes.ts";
import type { Machine } from "./network.ts";

/** The built agent on one machine, asked through a socket of its folder, whatever its network does. */
export interface PlacedAgent {
  readonly name: string;
  readonly machine: Machine;
  readonly client: Client;
  stop(): Promise<void>;
}

/** The same in every namespace. */
const GATEWAY_PORT = 6390;

const RELAY = "bench/campaigns/partition/relay.mjs";

const START_LIMIT_MS = 20_000;

export async function startPlacedAgent(machine: Machine, folder: string, yaml: string): Promise<PlacedAgent> {
  const own = join(folder, machine.name);
  const state = join(own, "state");
  mkdirSync(state, { recursive: true });
  const gateway = join(own, "gateway");
  const config = join(own, "agent.yaml");
  const listen = `listen: { clone: false, eventnet: false, memory: false, files: false, queue: false, gateway: 127.0.0.1:${GATEWAY_PORT} }\n`;
  writeFileSync(config, `node: ${machine.name}\nboard: sim\nlog: { level: error }\n${listen}${yaml}`);
  const [command = "", ...prefix] = machine.prefix;
  const args = [...prefix, process.execPath, "dist/agent/main.js", "agent", "--config", config, "--state", state];
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], env: plainEnvironment() });
  const relay = spawn(command, [...prefix, process.execPath, RELAY, gateway, String(GATEWAY_PORT)], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const startedMs = performance.now();
  while (!existsSync(join(state, "listen.json")) || !existsSync(gateway)) {
    if (child.exitCode !== null || performance.now() - startedMs > START_LIMIT_MS) {
      await Promise.all([stopChild(child), stopChild(relay)]);
      throw new Error(`the agent ${machine.name} does not listen`);
    }
    await wait(20);
  }
  const client = createClient({ address: gateway, clock: createSystemClock(), deadlineMs: 5000 });
  return {
    ...{ name: machine.name, machine, client },
    async stop() {
      client.close();
      await Promise.all([stopChild(child), stopChild(relay)]);
    },
  };
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(patience);
}
