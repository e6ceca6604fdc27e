import { existsSync, readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";

import t from "tap";

import { createAgent } from "../../agent/agent.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { connectRaw } from "../helpers/raw-client.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../../agent/wire/classic-clone.ts";

const LAMP = "devices: { lamp: { driver: light, line: GPIO17, beam: { low: 30, high: 100 } } }\n";

/** The mission's first scenario: who asks for light gets the beam the battery allows. */
const SCENARIO = `
devices:
  lights: { driver: switch, leaseMs: 400 }
  lamp: { driver: light, pwm: { chip: sim, channel: 0 }, beam: { low: 30, high: 100 }, leaseMs: 200 }
analytics:
  variables: { battery_v: { unit: V, staleMs: 300, min: 0, max: 60 } }
rules:
  low-beam: { when: lights.on && battery_v < 11.5, call: lamp.beam("low") }
  high-beam: { when: lights.on && battery_v >= 11.5, call: lamp.beam("high") }
`;

function padded(text: string): string {
  return text.padEnd(500, "\0");
}

t.test("one telnet line moves a line, is acknowledged as the original did, and the lease takes it back", async (t) => {
  const { board, exchange } = await startAgent(t, LAMP);
  t.equal(await exchange("clone", "lamp.on\r\n"), padded(CLONE_ACKNOWLEDGEMENT));
  t.equal(board.world.level("GPIO17"), true);
  await eventually(() => !board.world.level("GPIO17"));
});

t.test("every way to ask gets the same answer", async (t) => {
  const { agent, exchange } = await startAgent(t, LAMP);
  t.equal(await exchange("clone", "CLONE lamp.on\r\n"), ":100\r\n");
  t.equal(await exchange("gateway", "clone lamp.on\n"), ":100\r\n");
  t.equal(await exchange("gateway", "*2\r\n$5\r\nCLONE\r\n$7\r\nlamp.on\r\n"), ":100\r\n");
  t.equal(await exchange("clone", "lamp.on()\r\n"), padded("OK 100"));
  t.equal(await exchange("clone", 'lamp.beam("low")\n'), padded("OK 100"));
  t.equal(await exchange("clone", "lamp.beam(dim)\n"), padded('ERR ARGUMENT lamp.beam: beam is "dim"; one of "low", "high" is expected'));
  t.equal(await exchange("clone", "KingCobraRequest2\r\n"), padded(CLONE_ACKNOWLEDGEMENT), "what names nothing is queued");
  t.match(await exchange("gateway", "DEQUEUE TOPIC kingcobra\r\n"), /KingCobraRequest2/);
  for (const bytes of ["lamp.on\r\n", "CLONE lamp.on\r\nQUIT\r\n"]) {
    const client = await connectRaw(agent.addresses["clone"] ?? "");
    for (const byte of bytes) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const answer = await client.rest();
    t.equal(answer, bytes.startsWith("C") ? ":100\r\n+OK\r\n" : padded(CLONE_ACKNOWLEDGEMENT), "one byte at a time");
    client.destroy();
  }
});

t.test("a lease that is not renewed ends in the safe state; a lower priority is told who holds it", async (t) => {
  const { board, ask } = await startAgent(t, LAMP);
  t.equal(await ask("CLONE LEASE 300 lamp.on"), ":100\r\n");
  t.match(
    await ask("CLONE PRIORITY 50 lamp.off"),
    /^-IN_USE lamp is held by 127\.0\.0\.1 with priority 100 for another \d+ ms; 127\.0\.0\.1 asked with 50\r\n$/,
  );
  t.equal(board.world.level("GPIO17"), true);
  await eventually(() => !board.world.level("GPIO17"));
  t.equal(await ask("CLONE PRIORITY 50 lamp.on"), ":100\r\n");
});

t.test("a client that hangs up cancels neither its lease nor a stop", async (t) => {
  const { agent, board, ask } = await startAgent(t, LAMP);
  const client = await connectRaw(agent.addresses["gateway"] ?? "");
  client.send("CLONE LEASE 60000 lamp.on\r\nESTOP\r\n");
  client.destroy();
  await eventually(async () => (await ask("CLONE lamp.on")).startsWith("-FAULTED lamp: e-stop is latched"));
  t.equal(board.world.level("GPIO17"), false);
  t.equal(await ask("ESTOP RESET"), "+OK\r\n");
  t.equal(await ask("CLONE lamp.on"), ":100\r\n");
});

t.test("scenario 1: the battery decides which beam `lights on` means, and a cut stream makes the lamp safe", async (t) => {
  const { agent, board, ask } = await startAgent(t, SCENARIO);
  const percent = (): number => Math.round(board.world.duty("pwm sim:0") * 100);
  let voltage = 11.2;
  let lights = true;
  const renew = setInterval(() => {
    if (voltage > 0) agent.variables.set("battery_v", voltage, "test stream");
    if (lights) void ask("CLONE lights.on");
  }, 50);
  t.teardown(() => {
    clearInterval(renew);
  });
  await eventually(() => percent() === 30);
  t.equal(await ask("CLONE lamp.on"), ":30\r\n", "an operator's own command keeps the beam");
  await eventually(async () => (await ask("VAR.GET lamp.beam")).includes("low"));
  voltage = 12.6;
  await eventually(() => percent() === 100);
  const because = agent.journal
    .latest(50)
    .findLast(({ kind, subject, caller }) => kind === "actuate" && subject === "lamp" && caller.startsWith("rule"));
  t.match(agent.journal.chain(because?.id ?? 0), [
    { kind: "actuate", caller: "rule high-beam", detail: "beam(high)" },
    { kind: "rule", subject: "high-beam", detail: /^lights\.on=true \(lights, \d+ ms old\), battery_v=12\.6 \(test stream, \d+ ms old\)$/ },
  ]);
  voltage = 0;
  await eventually(() => percent() === 0);
  t.equal(agent.variables.get("battery_v")?.stale, true, "the stream is cut: dark after the lease, though light is still asked for");
  t.equal(agent.variables.get("lights.on")?.value, true);
  voltage = 11.2;
  await eventually(() => percent() === 30);
  lights = false;
  await eventually(() => percent() === 0);
  t.equal(
    agent.variables.get("lights.on")?.value,
    false,
    "nobody asks for light any more: dark after the lease, though the battery is known",
  );
  t.equal(agent.variables.get("battery_v")?.stale, false);
});

t.test("a stream over TCP reaches the rules: the agent connects out to whoever serves pairs", async (t) => {
  const clients: Socket[] = [];
  const server = createServer((socket) => clients.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const { board } = await startAgent(
    t,
    `devices: { lamp: { driver: light, line: GPIO17, leaseMs: 200 } }
analytics: { sources: [{ tcp: "127.0.0.1:${port}" }], variables: { temp_c: { unit: C, staleMs: 200 } } }
rules: { warn: { when: temp_c > 80, call: lamp.on() } }`,
  );
  t.teardown(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  await eventually(() => clients.length === 1);
  clients[0]?.write("temp_c=20\n");
  clients[0]?.write("other=1,temp_c=8");
  clients[0]?.write("1.5\n");
  await eventually(() => board.world.level("GPIO17"));
  await eventually(() => !board.world.level("GPIO17"));
});

t.test("what was bound stands in listen.json while the agent runs", async (t) => {
  const { agent, stateFolder } = await startAgent(t, 'analytics: { sources: [{ tcp: "127.0.0.1:0", listen: true }] }');
  const file = join(stateFolder, "listen.json");
  t.same(JSON.parse(readFileSync(file, "utf8")), agent.addresses);
  t.same(Object.keys(agent.addresses).sort(), ["analytics", "clone", "eventnet", "files", "gateway", "memory", "queue"]);
  for (const address of Object.values(agent.addresses)) t.match(address, /^127\.0\.0\.1:[1-9]\d*$/);
  await agent.stop();
  t.equal(existsSync(file), false);
});

t.test("an agent that cannot listen says where and why, and gives everything back", async (t) => {
  const first = await startAgent(t, LAMP);
  const board = createSimBoard({ clock: createSystemClock() });
  const options = { stateFolder: `${first.stateFolder}-2`, version: "0", clock: createSystemClock(), log: first.log, board };
  const taken = first.agent.addresses["clone"] ?? "";
  await t.rejects(createAgent({ ...options, config: { ...first.config, listen: { ...first.config.listen, clone: taken } } }), {
    code: "IN_USE",
    message: new RegExp(`^clone cannot listen on ${taken}: `),
  });
  t.match(board.world.history("GPIO17").entries.at(-1), { event: "release" });
  t.notOk(existsSync(join(options.stateFolder, "listen.json")));
  t.equal(await first.ask("CLONE lamp.on"), ":100\r\n", "the first one goes on");
});

t.test("a source that cannot be opened takes those before it back too", async (t) => {
  const taken = createServer();
  const free = createServer();
  const listen = (server: typeof taken, port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        resolve((server.address() as { port: number }).port);
      });
    });
  const takenPort = await listen(taken, 0);
  const freePort = await listen(free, 0);
  await new Promise((resolve) => free.close(resolve));
  t.teardown(() => {
    taken.close();
    free.close();
  });
  const sources = [freePort, takenPort].map((port) => `{ tcp: "127.0.0.1:${port}", listen: true }`);
  await t.rejects(startAgent(t, `analytics: { sources: [${sources.join(", ")}] }`), { code: "IN_USE" });
  t.equal(await listen(free, freePort), freePort, "the first one's port is free again");
});

t.test("a state folder that cannot be is named before anything is opened", async (t) => {
  const first = await startAgent(t, LAMP);
  const board = createSimBoard({ clock: createSystemClock() });
  const stateFolder = join(first.stateFolder, "listen.json", "state");
  await t.rejects(createAgent({ config: first.config, stateFolder, version: "0", clock: createSystemClock(), log: first.log, board }), {
    code: "IO",
    message: /^the state folder .*listen\.json\/state cannot be written to: .*ENOTDIR.*; choose another with --state$/,
  });
  t.same(board.world.history("GPIO17").entries, []);
});

t.test("INFO, HELP and DEVICES tell a client what there is", async (t) => {
  const { ask } = await startAgent(t, SCENARIO);
  const info = await ask("INFO");
  for (const text of ["# server", "virgo_version:0.0.0-test", "# board", "kind:sim", "# rule low-beam", "holding:0"])
    t.ok(info.includes(text), text);
  const help = await ask("HELP");
  for (const verb of ["CLONE", "DEVICES", "VAR.SET", "PING", "ESTOP"]) t.ok(help.includes(verb), verb);
  t.ok((await ask("DEVICES")).includes("lamp.brightness"));
});
