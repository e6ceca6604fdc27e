// Whoever orders, and in whichever dialect: a lease ends at the same moment, the same order of precedence holds, and one emergency stop stops them all.
import t, { type Test } from "tap";

import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { startAgent, type RunningAgent } from "../helpers/start-agent.ts";

const LEASE_MS = 400;

/** The rule's variable is stale long before the lease of its last call ends. */
const STALE_MS = 100;

const CONFIG = `
devices: { horn: { driver: relay, line: GPIO17, leaseMs: ${LEASE_MS} } }
analytics: { variables: { alarm: { staleMs: ${STALE_MS} } } }
rules: { warn: { when: alarm, call: horn.on() } }
`;

interface Setup extends RunningAgent {
  readonly clock: FakeClock;
  readonly sounds: () => boolean;
}

async function setUp(t: Test): Promise<Setup> {
  const clock = createFakeClock();
  const running = await startAgent(t, CONFIG, clock);
  return { ...running, clock, sounds: () => running.board.world.level("GPIO17") };
}

/** Every way by which somebody may order the horn on; each resolves with what was answered. */
const ROUTES: Readonly<Record<string, (setup: Setup) => Promise<string>>> = {
  "a telnet line on the clone port": ({ exchange }) => exchange("clone", "horn.on\r\n"),
  "the 500 bytes of the original's system call": async ({ agent, clock }) => {
    const client = await connectRaw(agent.addresses["clone"] ?? "");
    client.send("horn.on".padEnd(500, "\0"));
    // No line end: the silence after it ends the request, and silence takes time.
    const waiting = new Set(["the answer"]);
    const answer = client.take(500).finally(() => waiting.clear());
    while (waiting.size > 0) await clock.advance(1);
    client.destroy();
    return answer;
  },
  "a classic call with brackets": ({ exchange }) => exchange("clone", "horn.on()\n"),
  "CLONE on the clone port": ({ exchange }) => exchange("clone", "CLONE horn.on\r\n"),
  "an inline command on the gateway": ({ exchange }) => exchange("gateway", "CLONE horn.on\r\n"),
  "an array of bulk strings on the gateway": ({ exchange }) => exchange("gateway", "*2\r\n$5\r\nCLONE\r\n$7\r\nhorn.on\r\n"),
  "CLONE with options": ({ exchange }) => exchange("gateway", `CLONE NODE ANY LEASE ${LEASE_MS} PRIORITY 100 horn.on\r\n`),
};

/** The same, and the rule, which is answered in the journal. */
const ORDERERS: typeof ROUTES = {
  ...ROUTES,
  "a rule": async ({ agent }) => {
    agent.variables.set("alarm", true, "test stream");
    await settled();
    return agent.journal.latest(1)[0]?.detail ?? "";
  },
};

for (const [name, order] of Object.entries(ORDERERS)) {
  t.test(`the lease of ${name} ends ${LEASE_MS} ms after the last order, not before and not later`, async (t) => {
    const setup = await setUp(t);
    const { clock, agent, sounds, board } = setup;
    const [startedMs, startedWallMs] = [clock.monotonicMs(), clock.wallMs()];
    await order(setup);
    t.equal(sounds(), true);
    await clock.advance(LEASE_MS * 3);
    t.equal(sounds(), false);
    const lastOrder = agent.journal.latest(100).findLast(({ kind }) => kind === "actuate");
    const end = agent.journal.latest(100).find(({ kind }) => kind === "lease-end");
    t.equal((end?.wallMs ?? 0) - (lastOrder?.wallMs ?? 0), LEASE_MS);
    const edges = board.world.history("GPIO17").entries.filter(({ event }) => event === "level");
    t.strictSame(
      edges.map(({ level }) => level),
      [true, false],
      "one edge up, one edge down",
    );
    t.equal((edges[1]?.atMs ?? 0) - startedMs, (end?.wallMs ?? 0) - startedWallMs, "the line itself, at that moment");
  });

  t.test(`${name} is refused while the emergency stop is latched, and served after its reset`, async (t) => {
    const setup = await setUp(t);
    t.equal(await setup.ask("ESTOP"), "+OK\r\n");
    await order(setup);
    t.equal(setup.sounds(), false);
    t.match(setup.agent.journal.latest(1), [{ kind: "refuse", subject: "horn", detail: "on: FAULTED" }]);
    await setup.clock.advance(STALE_MS * 2);
    t.equal(await setup.ask("ESTOP RESET"), "+OK\r\n");
    await order(setup);
    t.equal(setup.sounds(), true);
  });

  t.test(`an emergency stop stops what ${name} has ordered, whoever gives it, also when he hangs up at once`, async (t) => {
    for (const listener of ["clone", "gateway"]) {
      const setup = await setUp(t);
      await order(setup);
      t.equal(setup.sounds(), true);
      const client = await connectRaw(setup.agent.addresses[listener] ?? "");
      client.send("ESTOP\r\n");
      client.destroy();
      // Real sockets, so real time; the agent's own stands still and ends no lease.
      while (setup.sounds()) await settled();
      t.match(await setup.ask("CLONE horn.on"), /^-FAULTED horn: e-stop is latched by 127\.0\.0\.1/);
      t.equal(setup.sounds(), false);
    }
  });
}

for (const [name, order] of Object.entries(ROUTES)) {
  t.test(`${name} takes the horn from a rule, and the rule gets it back when that lease ends`, async (t) => {
    const setup = await setUp(t);
    const { clock, agent, exchange } = setup;
    const holder = async (): Promise<string> =>
      /holder.*?name\r\n\$\d+\r\n([^\r]*)/s.exec(await exchange("gateway", "DEVICES\r\n"))?.[1] ?? "";
    agent.variables.set("alarm", true, "test stream");
    await settled();
    t.equal(await holder(), "rule warn");
    await order(setup);
    t.equal(await holder(), "127.0.0.1");
    for (let ms = 0; ms < LEASE_MS - 50; ms += 50) {
      agent.variables.set("alarm", true, "test stream");
      await clock.advance(50);
      t.equal(await holder(), "127.0.0.1", "a rule does not take it from an operator");
    }
    for (let ms = 0; ms < LEASE_MS; ms += 50) {
      agent.variables.set("alarm", true, "test stream");
      await clock.advance(50);
    }
    t.equal(await holder(), "rule warn");
  });
}
