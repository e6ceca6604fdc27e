// Three agents and a cluster of three brokers, each on a machine of its own: a broker dies without a goodbye, then the cable of an agent is pulled while it drives a
// device of another. Clones to any node must go on, and nothing may move by orders of whoever lost the device, however late they arrive. Needs root and nats-server.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { createNatsNode, type NatsNode } from "../../test/helpers/nats.ts";
import { quantile, row, type Row, type SuiteOptions } from "../report.ts";
import { startPlacedAgent, type PlacedAgent } from "./partition/agent.ts";
import { startCloning, type Tally } from "./partition/cloning.ts";
import { startOrdering, watchDevice, type Seen } from "./partition/driving.ts";
import { buildNetwork, removeNetwork, type Machine } from "./partition/network.ts";

const ROUNDS = { quick: 1, full: 10 };

/** Of the clones to any, and the lease of the device that is driven from afar. */
const DEADLINE_MS = 2000;
const LEASE_MS = 500;

const OUTAGE_MS = 5000;
const CUT_MS = 4000;
const PATIENCE_MS = 20_000;

const NODES = ["garage", "shed", "attic"] as const;
const PORTS = { client: 4222, cluster: 6222, mqtt: 1883 };

interface Scene {
  readonly brokers: readonly NatsNode[];
  readonly garage: PlacedAgent;
  readonly shed: PlacedAgent;
  readonly attic: PlacedAgent;
}

/** What one round showed. */
interface Round {
  readonly takeOverMs: number;
  readonly lastAfterCutMs: number;
  readonly afterLease: number;
  readonly late: number;
  readonly backMs: number;
}

export async function run({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-partition-"));
  const agents: PlacedAgent[] = [];
  const brokers: NatsNode[] = [];
  const giveUp = (): void => {
    removeNetwork();
    process.exit(130);
  };
  process.once("SIGINT", giveUp).once("SIGTERM", giveUp);
  try {
    const scene = await setUp(folder, agents, brokers);
    progress("three agents know each other through three brokers");
    const cloning = startCloning(scene.garage.client, DEADLINE_MS, progress);
    const rounds: Round[] = [];
    for (let i = 0; i < (quick ? ROUNDS.quick : ROUNDS.full); i++) {
      await loseBroker(scene, progress);
      rounds.push(await cutHolder(scene));
      progress(`round ${i + 1}: ${JSON.stringify(rounds.at(-1))}; ${JSON.stringify(cloning.tally.codes)}`);
    }
    return rowsOf(await cloning.stop(), rounds);
  } catch (error) {
    for (const broker of brokers) progress(`${broker.name}: ${broker.log().slice(-2000)}`);
    throw error;
  } finally {
    process.removeListener("SIGINT", giveUp).removeListener("SIGTERM", giveUp);
    await Promise.allSettled(agents.map((agent) => agent.stop()));
    await Promise.allSettled(brokers.map((broker) => broker.stop("SIGKILL")));
    removeNetwork();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function setUp(folder: string, agents: PlacedAgent[], brokers: NatsNode[]): Promise<Scene> {
  const machines = buildNetwork(["nats1", "nats2", "nats3", ...NODES]);
  const natsMachines = machines.slice(0, NODES.length);
  const routes = natsMachines.map(({ address }) => `${address}:${PORTS.cluster}`);
  for (const { name, address: host, prefix } of natsMachines) {
    const broker = createNatsNode({ name, folder: join(folder, "nats"), host, ports: PORTS, routes, prefix });
    brokers.push(broker);
    broker.start();
  }
  const urls = natsMachines.map(({ address }) => `mqtt://${address}:${PORTS.mqtt}`);
  for (const [index, name] of NODES.entries()) {
    const machine = machines[NODES.length + index] as Machine;
    agents.push(await startPlacedAgent(machine, folder, configOf(name, [...urls.slice(index), ...urls.slice(0, index)])));
  }
  const [garage, shed, attic] = agents as [PlacedAgent, PlacedAgent, PlacedAgent];
  await allKnow([garage, attic, shed]);
  return { brokers, garage, shed, attic };
}

/** Every agent has another broker first. The one whose clones are counted asks before each order: what is in doubt is then only what was under way. */
function configOf(name: (typeof NODES)[number], [url = "", ...fallback]: readonly string[]): string {
  const lamp = `lamp: { driver: relay, line: GPIO17, leaseMs: ${LEASE_MS} }`;
  const arm = `arm: { driver: relay, line: GPIO27, leaseMs: ${LEASE_MS}, exclusive: true }`;
  const devices = { garage: "", shed: `${lamp}, ${arm}`, attic: lamp }[name];
  const more = name === "garage" ? ", confirmMs: 0" : "";
  return `devices: { ${devices} }
mqtt: { url: "${url}", fallbackUrls: ${JSON.stringify(fallback)}, protocol: 4, retryMinMs: 100, retryMaxMs: 1000, devices: { enabled: false } }
fleet: { mqtt: { enabled: true, renewMs: 2000, expireMs: 10000, checkMs: 200${more} } }
`;
}

/** Each sees the two others up. */
async function allKnow(agents: readonly PlacedAgent[]): Promise<number> {
  const startedMs = performance.now();
  for (const { name, client } of agents) {
    while (!(await knowsOthers(client))) {
      if (performance.now() - startedMs > PATIENCE_MS) {
        const about = await Promise.all(["mqtt", "fleet"].map(async (section) => (await client.call("INFO", [section])) as string));
        throw new Error(`${name} does not find the others again\n${about.join("\n")}`);
      }
      await wait(50);
    }
  }
  return performance.now() - startedMs;
}

async function knowsOthers(client: PlacedAgent["client"]): Promise<boolean> {
  const nodes = (await client.call("NODES", ["KNOWN"])) as readonly { readonly self: boolean; readonly health: string }[];
  return nodes.filter(({ self, health }) => !self && health === "up").length === NODES.length - 1;
}

/** The broker that shed is connected to dies, and comes back. */
async function loseBroker({ brokers, garage, shed, attic }: Scene, say: (line: string) => void): Promise<void> {
  const used = /198\.18\.0\.(\d)/.exec((await shed.client.call("INFO", ["mqtt"])) as string)?.[1] ?? "2";
  const broker = brokers[Number(used) - 1];
  say(`${broker?.name ?? ""} is killed`);
  await broker?.stop("SIGKILL");
  await wait(OUTAGE_MS);
  broker?.start();
  await allKnow([garage, shed, attic]);
}

/** attic drives shed's arm, and its cable is pulled; garage takes the arm over, and the cable is put in again. */
async function cutHolder({ garage, shed, attic }: Scene): Promise<Round> {
  const watch = await watchDevice(shed.client, "arm");
  const holder = startOrdering(attic.client, "shed", "arm.on");
  const by = (kind: string, node: string, afterMs = 0): readonly Seen[] =>
    watch.seen().filter((event) => event.kind === kind && event.caller === `mqtt ${node}` && event.wallMs > afterMs);
  const until = (condition: () => boolean, what: string) => waitFor(condition, what, () => JSON.stringify(watch.seen().slice(-12)));
  await until(() => by("actuate", "attic").length >= 5, "attic drives shed's arm");
  attic.machine.link(false);
  const cutMs = Date.now();
  const heir = startOrdering(garage.client, "shed", "arm.on");
  await until(() => by("actuate", "garage", cutMs).length > 0, "garage takes the arm over");
  const takeOverMs = (by("actuate", "garage", cutMs)[0]?.wallMs ?? NaN) - cutMs;
  await wait(Math.max(0, CUT_MS - takeOverMs));
  attic.machine.link(true);
  const healedMs = performance.now();
  await until(() => by("refuse", "attic", cutMs).some(({ detail }) => detail.endsWith("STALE")), "late orders of attic arrive");
  await allKnow([garage, shed, attic]);
  const heldUntilMs = Date.now();
  await heir.stop();
  await until(() => by("actuate", "attic", heldUntilMs).length > 0, "attic drives the arm again");
  const backMs = performance.now() - healedMs;
  await holder.stop();
  watch.stop();
  const after = by("actuate", "attic", cutMs).filter(({ wallMs }) => wallMs < heldUntilMs);
  return {
    ...{ takeOverMs, backMs, lastAfterCutMs: Math.max(0, ...after.map(({ wallMs }) => wallMs - cutMs)) },
    afterLease: after.filter(({ wallMs }) => wallMs > cutMs + LEASE_MS).length,
    late: by("refuse", "attic", cutMs).filter(({ detail }) => detail.endsWith("STALE")).length,
  };
}

async function waitFor(condition: () => boolean, what: string, seen: () => string): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > PATIENCE_MS) throw new Error(`waited in vain: ${what}; seen ${seen()}`);
    await wait(20);
  }
}

function rowsOf({ tookMs, codes }: Tally, rounds: readonly Round[]): readonly Row[] {
  const count = (code: string): number => codes[code] ?? 0;
  const refused = Object.entries(codes).reduce((sum, [code, times]) => (code === "OK" || code === "TIMEOUT" ? sum : sum + times), 0);
  const sum = (of: (round: Round) => number): number => rounds.reduce((total, round) => total + of(round), 0);
  const most = (of: (round: Round) => number): number => Math.max(...rounds.map(of));
  return [
    row({ name: "a broker killed, a cable pulled", value: rounds.length, unit: "times" }),
    row({ name: "clones to any node", value: count("OK"), unit: "done", goal: "≥ 100" }),
    row({ name: "  refused", value: refused, unit: "", goal: "= 0" }),
    row({ name: "  in doubt: under way when a broker or a cable went", value: count("TIMEOUT"), unit: "", goal: `≤ ${2 * rounds.length}` }),
    row({ name: "  time, median", value: quantile(tookMs, 0.5), unit: "ms" }),
    row({ name: "  time, worst", value: Math.max(...tookMs), unit: "ms", goal: `≤ ${DEADLINE_MS}` }),
    row({ name: "actuations by the one cut off after its lease", value: sum((round) => round.afterLease), unit: "", goal: "= 0" }),
    row({ name: "  its last one after the cut", value: most((round) => round.lastAfterCutMs), unit: "ms", goal: `≤ ${LEASE_MS}` }),
    row({
      name: "  its orders that arrived late and were refused",
      value: sum((round) => round.late),
      unit: "",
      goal: `≥ ${rounds.length}`,
    }),
    row({ name: "taken over by another after the cut, worst", value: most((round) => round.takeOverMs), unit: "ms" }),
    row({ name: "all as before after the cable is back, worst", value: most((round) => round.backMs), unit: "ms" }),
  ];
}
