import t from "tap";

import { eventsCommand, type EventsCommandOptions } from "../../agent/cli/events.ts";
import { whyCommand, type WhyOptions } from "../../agent/cli/why.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { eventually, startAgent, type RunningAgent } from "../helpers/start-agent.ts";

const LAMP = `devices:
  lamp: { driver: light, line: GPIO17 }
rules:
  night: { when: dark, call: lamp.on() }
analytics: { variables: { dark: { staleMs: 60000 } } }
`;

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;

async function why({ stateFolder }: RunningAgent, id: string, options: WhyOptions = {}) {
  const io = createFakeIo();
  const code = await whyCommand(id, { state: stateFolder, ...options }, io);
  return { code, ...io.printed };
}

async function events({ stateFolder }: RunningAgent, options: EventsCommandOptions = {}) {
  const io = createFakeIo();
  const code = await eventsCommand({ state: stateFolder, ...options }, io);
  return { code, ...io.printed };
}

t.test("why says what an event follows from, newest first, with times and who took part", async (t) => {
  const running = await startAgent(t, "");
  await running.ask("EVENT.VERTEX press operator button");
  await running.ask("EVENT.EDGE press request");
  await running.ask('EVENT.EDGE request "lamp off"');
  const { code, out } = await why(running, "lamp off");
  t.equal(code, 0);
  t.match(
    out,
    new RegExp(
      `^${TIME}  event lamp off  Lamport 3\nbecause of\n${TIME}  request -> lamp off  Lamport 3\n${TIME}  press -> request  of operator, button  Lamport 2\n$`,
    ),
  );
  t.match((await why(running, "lamp off", { count: 1 })).out, /3\nand more; --count shows more of them\n$/);
  t.match(
    (await why(running, "press")).out,
    new RegExp(`^${TIME}  event press  of operator, button  Lamport 1\nfollows from nothing that is known\n$`),
  );
  const json = JSON.parse((await why(running, "request", { json: true })).out) as object;
  t.match(json, { id: "request", causes: [{ from: "press", to: "request", lamport: 2, partakers: ["operator", "button"] }], more: false });
  t.match(await why(running, "requst"), { code: 1, out: "", error: /^UNKNOWN no event and no device requst \(did you mean request\?\)/ });
});

t.test("why says why a device is as it is: what was done, by whom, because of what", async (t) => {
  const running = await startAgent(t, LAMP);
  running.agent.variables.set("dark", true, "test");
  await eventually(() => running.board.world.level("GPIO17"));
  const { code, out } = await why(running, "lamp");
  t.equal(code, 0);
  t.match(
    out,
    new RegExp(
      `^${TIME}  lamp  actuate on(\\(\\))?  by rule night  @\\d+\nbecause of\n${TIME}  night  rule .*dark.*  by rule night  @\\d+\n$`,
    ),
  );
  const [, entry = ""] = /@(\d+)\n$/.exec(out) ?? [];
  t.match((await why(running, `@${entry}`)).out, new RegExp(`^${TIME}  night  rule .+@${entry}\n$`));
  await running.ask("EVENT.EDGE dusk lamp");
  t.match(
    (await why(running, "lamp")).out,
    /@\d+\n\n.+ event lamp .+\nbecause of\n.+ dusk -> lamp /s,
    "and what the event of that name follows from",
  );
  t.match(await why(running, "@999999"), { code: 1, error: /^UNKNOWN the journal has no entry @999999/ });
});

t.test("events lists the latest, in the order in which they came", async (t) => {
  const running = await startAgent(t, "");
  t.equal((await events(running)).out, "0 events, 0 edges, Lamport 0\n");
  await running.ask("EVENT.VERTEX 7 11 12");
  for (const to of [8, 9, 10]) await running.ask(`EVENT.EDGE 7 ${to}`);
  const { code, out } = await events(running);
  t.equal(code, 0);
  const lines = out.split("\n");
  t.strictSame(lines.slice(0, 2), ["4 events, 3 edges, Lamport 4", ""]);
  t.match(lines[2], /^LAMPORT +TIME +EVENT +PARTAKERS$/);
  t.match(lines[3], new RegExp(`^1 +${TIME} +7 +11, 12$`));
  t.strictSame(
    lines.slice(4, -1).map((line) => line.replace(/^(\d+) +\S+ +/, "$1 ")),
    ["2 8", "2 7 -> 8", "3 9", "3 7 -> 9", "4 10", "4 7 -> 10"],
  );
  t.equal((await events(running, { count: 1 })).out.split("\n").length, 6, "head, blank, headings, an event and its edge");
  const json = JSON.parse((await events(running, { json: true, count: 2 })).out) as object;
  t.match(json, { stat: { edges: 3 }, vertices: [{ id: "9" }, { id: "10" }], edges: [{ to: "9" }, { to: "10" }] });
});

t.test("events --dot prints the whole graph, as EVENT.GRAPH does, also one of many pages", async (t) => {
  const running = await startAgent(t, "");
  await running.ask("EVENT.VERTEX 7 11 12");
  await running.ask('EVENT.EDGE 7 "low beam"');
  const asked = (await running.ask("EVENT.GRAPH")).replace(/^\$\d+\r\n/, "").trimEnd();
  t.equal((await events(running, { dot: true })).out, `${asked}\n`);
  const lines = Array.from({ length: 9000 }, (_, n) => `EVENT.EDGE ${n} ${n + 1}`).join("\r\n");
  await running.ask(lines);
  const { code, out } = await events(running, { dot: true });
  t.equal(code, 0);
  t.equal(out.match(/^digraph/gm)?.length, 1);
  t.equal(out.match(/ -> /g)?.length, 9001);
  t.equal(out.match(/\[Label=/g)?.length, 9002);
  t.ok(out.endsWith('8999  -> 9000[label="1", color="grey"]\n}\n'));
});

t.test("events --tail prints what happens until it is stopped", async (t) => {
  const running = await startAgent(t, LAMP);
  const io = createFakeIo();
  const tailing = eventsCommand({ state: running.stateFolder, tail: true }, io);
  await eventually(async () => (await running.ask("EVENT.STAT")).includes("tails\r\n:1"));
  await running.ask("EVENT.EDGE 5 7");
  await running.ask("EVENT.VERTEX 7 a b");
  await running.ask("CLONE lamp.on");
  await eventually(() => io.printed.out.split("\n").length > 3);
  t.match(
    io.printed.out,
    new RegExp(`^${TIME}  5 -> 7  Lamport 1\n${TIME}  7  of a, b  Lamport 2\n${TIME}  lamp  actuate on.*  by 127\\.0\\.0\\.1  @\\d+`),
  );
  io.end();
  t.equal(await tailing, 0);

  const json = createFakeIo();
  const asJson = eventsCommand({ state: running.stateFolder, tail: true, json: true }, json);
  await eventually(async () => (await running.ask("EVENT.STAT")).includes("tails\r\n:1"));
  await running.ask("EVENT.EDGE 7 8");
  await eventually(() => json.printed.out.includes("\n"));
  t.match(JSON.parse(json.printed.out.split("\n")[0] ?? ""), { kind: "edge", from: "7", to: "8", lamport: 3 });
  const ended = t.rejects(asJson, { code: "IO", message: /closed the connection/ }, "the agent went away");
  await running.agent.stop();
  await ended;
  const stopped = createFakeIo();
  stopped.end();
  const late = await startAgent(t, "");
  t.equal(await eventsCommand({ state: late.stateFolder, tail: true }, stopped), 0, "stopped before it began");
});
