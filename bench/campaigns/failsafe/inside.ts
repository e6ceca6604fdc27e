// The part of the failsafe campaign that runs inside the virtual board: `node --import tsx bench/campaigns/failsafe/inside.ts TIMES SEED [WAY]`. Every way to
// lose what drives a device, again and again; prints one line of JSON per way, after the word FAILSAFE.
import { setTimeout as wait } from "node:timers/promises";

import { addPwmChip, loadI2cBus, locate, sysfsBase } from "../../../test/board/world.ts";
import { createRandom } from "../durability/random.ts";
import { changesOf, clearTrace, monotonicMs, readTrace, safeSince, startTrace, type TracedPort } from "./kernel-trace.ts";
import { orderByClient, orderByStream, startAgent, writeConfiguration, type Agent, type Orders } from "./subject.ts";
import type { Measurement } from "./measurement.ts";

const FOLDER = "/tmp/failsafe";
const LEASE_MS = 200;
const STALE_MS = 200;
/** heartbeatMs × missedBeats, the keeper's defaults. */
const SILENCE_MS = 150;
/** After this nothing is waited for any more: beyond every lease, limit and time of the ways below. */
const WINDOW_MS = 5000;
/** It stays safe: this is looked at, too. */
const SETTLE_MS = 150;

const [timesText = "5", seedText = "1", only = ""] = process.argv.slice(2);
const times = Number(timesText);
const random = createRandom(Number(seedText));

const SERVO_ADDRESS = 0x41;
loadI2cBus([0x40, SERVO_ADDRESS]);
const { chip } = addPwmChip(0x40);

function line(name: string): TracedPort {
  const { chip: home, offset } = locate(name);
  return { kind: "line", number: sysfsBase(home.label) + offset };
}

/** Where each device's orders arrive in the end, and whether it moves. */
const PORTS: readonly { readonly name: string; readonly moves: boolean; readonly port: TracedPort }[] = [
  { name: "servo", moves: true, port: { kind: "channel", address: SERVO_ADDRESS, channel: 0 } },
  { name: "motor", moves: true, port: { kind: "channel", address: 0x40, channel: 1 } },
  { name: "motor's input", moves: true, port: line("GPIO5") },
  { name: "lamp", moves: false, port: line("GPIO17") },
];

const CALLS = ["servo.angle 30", "motor.speed 60", "lamp.on"];

writeConfiguration(
  FOLDER,
  `log: { level: warn }
devices:
  servo: { driver: servo, pwm: { pca9685: { bus: 0, address: ${SERVO_ADDRESS}, channel: 0 } } }
  motor: { driver: motor, in1: GPIO5, in2: GPIO6, pwm: { chip: ${chip}, channel: 1 }, slewPercentPerS: 1000 }
  lamp: { driver: light, line: GPIO17, leaseMs: ${LEASE_MS} }
keeper: { crashes: 100, restartMinMs: 50, restartMaxMs: 50 }
analytics:
  sources: [{ tcp: "127.0.0.1:64000", listen: true }]
  variables: { distance_m: { staleMs: ${STALE_MS} } }
rules:
  turn: { when: distance_m < 5.0, call: servo.angle(30.0), leaseMs: ${LEASE_MS} }
  go: { when: distance_m < 5.0, call: motor.speed(60.0), leaseMs: ${LEASE_MS} }
  warn: { when: distance_m < 5.0, call: lamp.on(), leaseMs: ${LEASE_MS} }
`,
);

interface Way {
  readonly name: string;
  readonly goalMs: number;
  readonly order: () => Promise<Orders | undefined>;
  /** What happens, `odd` every other time; resolves once the rest of it may take its time. */
  readonly happen: (agent: Agent, orders: Orders, odd: boolean) => Promise<void> | void;
  /** From when on a port counts as late. */
  readonly dueMs: (eventMs: number, orders: Orders, moves: boolean) => number;
  /** Puts right what happened. Answers whether the agent goes on. */
  readonly repair: (agent: Agent) => Promise<boolean>;
}

const byClient = (): Promise<Orders | undefined> => orderByClient(CALLS.map((call) => `LEASE ${LEASE_MS} ${call}`));
const leaseEnd = (_eventMs: number, orders: Orders): number => orders.lastMs() + LEASE_MS;
const nothing = (): Promise<boolean> => Promise.resolve(true);

async function untilReady(agent: Agent): Promise<boolean> {
  await agent.untilReady();
  return true;
}

const WAYS: readonly Way[] = [
  {
    name: "front killed",
    goalMs: 100,
    order: byClient,
    happen: (agent) => agent.kill("SIGKILL", "front"),
    // What moves goes safe at once; what does not keeps the lease it has.
    dueMs: (eventMs, orders, moves) => (moves ? eventMs : Math.max(eventMs, leaseEnd(eventMs, orders))),
    repair: () => Promise.resolve(false),
  },
  {
    name: "front stopped",
    goalMs: 100,
    order: byClient,
    happen: (agent) => agent.kill("SIGSTOP", "front"),
    dueMs: leaseEnd,
    async repair(agent) {
      agent.kill("SIGCONT", "front");
      return untilReady(agent);
    },
  },
  {
    name: "network cut",
    goalMs: 100,
    order: byClient,
    happen: (_agent, orders, odd) => orders.cut(odd ? "reset" : "silent"),
    dueMs: leaseEnd,
    repair: nothing,
  },
  {
    name: "analytics stream cut",
    goalMs: 100,
    order: orderByStream,
    happen: (_agent, orders, odd) => orders.cut(odd ? "reset" : "silent"),
    dueMs: (_eventMs, orders) => orders.lastMs() + STALE_MS + LEASE_MS,
    repair: nothing,
  },
  {
    name: "device host killed",
    goalMs: 100,
    order: byClient,
    happen: (agent) => agent.kill("SIGKILL", "host"),
    dueMs: (eventMs) => eventMs,
    repair: untilReady,
  },
  {
    name: "device host stopped",
    goalMs: 100,
    order: byClient,
    happen: (agent) => agent.kill("SIGSTOP", "host"),
    dueMs: (eventMs) => eventMs + SILENCE_MS,
    repair: untilReady,
  },
  {
    name: "both killed, then virgo safe-state",
    goalMs: 1000,
    order: byClient,
    async happen(agent) {
      agent.kill("SIGKILL", "host");
      agent.kill("SIGKILL", "front");
      await agent.safeState();
    },
    dueMs: (eventMs) => eventMs,
    repair: () => Promise.resolve(false),
  },
];

/** When each port became safe; undefined when one was not driven at the time of the event. */
function safeTimes(eventMs: number): readonly number[] | undefined {
  const trace = readTrace();
  const found = PORTS.map(({ port }) => safeSince(changesOf(trace, port), eventMs));
  return found.includes(undefined) ? undefined : found.map(Number);
}

/** The same, as soon as all of them are, or the window is over. */
async function untilSafe(eventMs: number): Promise<readonly number[] | undefined> {
  for (;;) {
    const found = safeTimes(eventMs);
    if (found === undefined || monotonicMs() > eventMs + WINDOW_MS) return found;
    if (!found.includes(Infinity)) {
      await wait(SETTLE_MS);
      return safeTimes(eventMs);
    }
    await wait(20);
  }
}

/** How long after it was due the last port became safe, milliseconds; undefined when one was not driven. */
async function once(way: Way, agent: Agent, odd: boolean): Promise<number | undefined> {
  await agent.untilReady();
  clearTrace();
  const hostPid = agent.hostPid();
  const orders = await way.order();
  if (orders === undefined) return undefined;
  await wait(200 + random.below(50));
  if (hostPid === undefined || agent.hostPid() !== hostPid) {
    orders.end();
    return undefined;
  }
  const eventMs = monotonicMs();
  const happening = way.happen(agent, orders, odd);
  const safe = await untilSafe(eventMs);
  await happening;
  orders.end();
  if (safe === undefined) return undefined;
  const late = safe.map((atMs, i) => atMs - way.dueMs(eventMs, orders, PORTS[i]?.moves ?? true));
  const worst = Math.max(...late);
  if (worst > way.goalMs) {
    const ports = PORTS.map(({ name }, i) => `${name} ${late[i]?.toFixed(0) ?? ""}`).join(", ");
    process.stdout.write(`late, ${way.name}: ${ports} ms\n`);
    if (worst === Infinity) process.stdout.write(`${readTrace().split("\n").slice(-30).join("\n")}\n`);
  }
  return worst;
}

async function measure(way: Way): Promise<Measurement> {
  const lateMs: number[] = [];
  let disturbed = 0;
  let agent: Agent | undefined;
  try {
    while (lateMs.length < times && disturbed <= times) {
      agent ??= await startAgent(FOLDER);
      const late = await once(way, agent, lateMs.length % 2 === 1);
      if (late === undefined) disturbed += 1;
      else lateMs.push(late);
      if (await way.repair(agent)) continue;
      await agent.stop();
      agent = undefined;
    }
  } finally {
    await agent?.stop();
  }
  return { name: way.name, goalMs: way.goalMs, lateMs, disturbed };
}

startTrace();
for (const way of WAYS.filter(({ name }) => name.startsWith(only)))
  process.stdout.write(`FAILSAFE ${JSON.stringify(await measure(way))}\n`);
process.exit(0);
