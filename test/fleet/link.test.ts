import fc from "fast-check";
import t from "tap";

import { createBackOff } from "../../agent/contract/back-off.ts";
import { createLink, type Link, type LinkOptions } from "../../agent/fleet/link.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { startScriptedNode, type ScriptedNode } from "../helpers/scripted-node.ts";
import { eventually } from "../helpers/eventually.ts";

interface Teardown {
  teardown(handler: () => unknown): void;
}

function linkTo(t: Teardown, nodes: readonly ScriptedNode[], clock: FakeClock, more: Partial<LinkOptions> = {}): Link {
  const link = createLink({ targets: nodes.map(({ target }) => target), clock, random: () => 1, ...more });
  t.teardown(() => link.close());
  return link;
}

/** Moves time on until something has happened: what sockets do takes turns of its own. */
async function passUntil(clock: FakeClock, stepMs: number, check: () => boolean): Promise<void> {
  await eventually(async () => {
    if (check()) return true;
    await clock.advance(stepMs);
    return check();
  });
}

const ECHO = (words: readonly string[]): string => `+${words.join(" ")}\r\n`;

t.test("the back-off doubles up to its end, spreads what failed together, and begins again", (t) => {
  const slowest = createBackOff({ minMs: 100, maxMs: 1000 }, () => 1);
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map(() => slowest.next()),
    [100, 200, 400, 800, 1000, 1000],
  );
  slowest.reset();
  t.equal(slowest.next(), 100);
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 12, maxLength: 12 }), (draws) => {
      const backOff = createBackOff({ minMs: 100, maxMs: 1000 }, () => draws.shift() ?? 0);
      let step = 100;
      for (let i = 0; i < 12; i++) {
        const waitMs = backOff.next();
        if (waitMs < step / 2 || waitMs > step) return false;
        step = Math.min(1000, 2 * step);
      }
      return true;
    }),
  );
  t.end();
});

t.test("nothing is connected before something is asked; questions wait for the connection in their order", async (t) => {
  const clock = createFakeClock();
  const node = await startScriptedNode(t, ECHO, { name: "garage" });
  const link = linkTo(t, [node], clock, { token: () => Promise.resolve("swordfish"), user: "ada" });
  await settled();
  t.equal(node.connections.length, 0);
  t.equal(link.node, undefined);
  const answers = await Promise.all(["a", "b", "c"].map((word) => link.call("ECHO", [word], 1000)));
  t.strictSame(
    answers,
    ["a", "b", "c"].map((word) => ({ kind: "status", text: `ECHO ${word}` })),
  );
  t.strictSame(node.asked, ["ECHO a", "ECHO b", "ECHO c"]);
  t.strictSame(node.greetings, ["HELLO 3 AUTH ada swordfish"]);
  t.equal(link.node, "garage");
  await link.ready(1);
  link.rest();
  t.equal(link.connected, false);
  await link.call("ECHO", ["d"], 1000);
  t.equal(node.greetings.length, 2, "after a rest it connects again");
  t.equal(clock.pending(), 0, "no timer is left over");
});

t.test(
  "what was sent when the connection broke is rejected and never sent again; what is asked afterwards waits and is sent",
  async (t) => {
    const clock = createFakeClock();
    let hangUp = true;
    const node = await startScriptedNode(t, (words, socket) => {
      if (!hangUp) return ECHO(words);
      socket.destroy();
      return undefined;
    });
    const down: string[] = [];
    const link = linkTo(t, [node], clock, { retry: { minMs: 100, maxMs: 1000 }, onDown: ({ message }) => down.push(message) });
    const moved = link.call("CLONE", ["lamp.on"], 60_000);
    const along = link.call("CLONE", ["lamp.off"], 60_000);
    await t.rejects(moved, { code: "IO", message: /closed the connection$/ });
    await t.rejects(along, { code: "IO" });
    t.strictSame(node.asked, ["CLONE lamp.on", "CLONE lamp.off"].slice(0, node.asked.length));
    t.match(down, [/closed the connection/]);
    hangUp = false;
    const again = await link.call("ECHO", ["x"], 60_000);
    t.strictSame(again, { kind: "status", text: "ECHO x" });
    t.equal(node.asked.filter((words) => words.startsWith("CLONE lamp.on")).length, 1, "once, and not again");
  },
);

t.test("with a back-off a question waits for a node that is away, until its deadline", async (t) => {
  const clock = createFakeClock();
  const node = await startScriptedNode(t, ECHO);
  await node.stop();
  const link = linkTo(t, [node], clock, { retry: { minMs: 100, maxMs: 400 }, maxWaiting: 2 });
  const lost = link.call("CLONE", ["lamp.on"], 250);
  let refusal: unknown;
  lost.catch((thrown: unknown) => (refusal = thrown));
  await passUntil(clock, 50, () => refusal !== undefined);
  t.match(refusal, { code: "IO", message: `nothing listens on ${node.address}; is the agent running?; not sent within 250 ms` });
  const waiting = [link.call("ECHO", ["1"], 100_000), link.call("ECHO", ["2"], 100_000)];
  await t.rejects(link.call("ECHO", ["3"], 100_000), { code: "FULL", message: /^2 questions wait for a connection to 127\.0\.0\.1:\d+; / });
  await node.start();
  await passUntil(clock, 50, () => link.connected);
  t.strictSame(
    await Promise.all(waiting),
    [1, 2].map((n) => ({ kind: "status", text: `ECHO ${n}` })),
  );
});

t.test("without one it is refused at once, and the next question tries again", async (t) => {
  const clock = createFakeClock();
  const node = await startScriptedNode(t, ECHO);
  await node.stop();
  const link = linkTo(t, [node], clock);
  await t.rejects(link.call("ECHO", [], 60_000), { code: "IO", message: /^nothing listens on / });
  await t.rejects(link.ready(60_000), { code: "IO" });
  await node.start();
  t.match(await link.call("ECHO", [], 60_000), { kind: "status" });
  t.equal(clock.pending(), 0);
});

t.test("of several targets the first that answers is used, and stays in use", async (t) => {
  const clock = createFakeClock();
  const first = await startScriptedNode(t, ECHO, { name: "first" });
  const second = await startScriptedNode(t, ECHO, { name: "second" });
  await first.stop();
  const link = linkTo(t, [first, second], clock);
  await link.call("ECHO", [], 1000);
  t.equal(link.node, "second");
  await first.start();
  second.hangUp();
  await eventually(() => !link.connected);
  await link.call("ECHO", [], 1000);
  t.equal(link.node, "second");
  await second.stop();
  await eventually(() => !link.connected);
  await link.call("ECHO", [], 1000);
  t.equal(link.node, "first");
});

t.test("who is refused, is no agent, or is another node than expected is not asked", async (t) => {
  const clock = createFakeClock();
  const refusing = await startScriptedNode(t, ECHO, { hello: () => "-DENIED no user has that name and token\r\n" });
  const retry = { minMs: 100, maxMs: 1000 };
  await t.rejects(linkTo(t, [refusing], clock, { retry }).call("ECHO", [], 60_000), { code: "DENIED" }, "waiting would not help");
  const web = await startScriptedNode(t, ECHO, { hello: () => "HTTP/1.1 400\r\n" });
  await t.rejects(linkTo(t, [web], clock, { retry }).call("ECHO", [], 60_000), { code: "SYNTAX" });
  const other = await startScriptedNode(t, ECHO, { name: "garage" });
  await t.rejects(linkTo(t, [other], clock, { expectNode: "shed" }).call("ECHO", [], 60_000), {
    code: "IO",
    message: `${other.address} is node garage, not shed`,
  });
  t.strictSame([...refusing.asked, ...web.asked, ...other.asked], []);
  const tokenless = linkTo(t, [other], clock, { token: () => Promise.reject(new Error("no such file: token")) });
  await t.rejects(tokenless.call("ECHO", [], 60_000), { code: "IO", message: "no such file: token" });
});

t.test("a persistent link connects by itself, and after every end again, slower when it does not last", async (t) => {
  const clock = createFakeClock();
  const node = await startScriptedNode(t, ECHO);
  let connections = 0;
  const link = linkTo(t, [node], clock, {
    persistent: true,
    retry: { minMs: 100, maxMs: 1000 },
    onConnected: (connection) => {
      connections += 1;
      void connection.call("WATCH", []).catch(() => undefined);
    },
  });
  await eventually(() => link.connected && node.asked.length === 1);
  for (const waitMs of [100, 200, 400]) {
    node.hangUp();
    await eventually(() => !link.connected);
    const before = node.greetings.length;
    await clock.advance(waitMs - 1);
    t.equal(node.greetings.length, before, `not before ${waitMs} ms`);
    await clock.advance(1);
    await eventually(() => link.connected);
  }
  await clock.advance(1001);
  node.hangUp();
  await eventually(() => !link.connected);
  await clock.advance(100);
  await eventually(() => link.connected);
  t.equal(connections, 5, "it had lasted: soon again");
  link.close();
  t.equal(clock.pending(), 0);
});

t.test("after it was closed it asks nothing and waits for nothing", async (t) => {
  const clock = createFakeClock();
  const node = await startScriptedNode(t, ECHO);
  const link = linkTo(t, [node], clock, { retry: { minMs: 100, maxMs: 1000 } });
  const waiting = link.call("ECHO", [], 1000);
  link.close();
  await t.rejects(waiting, { code: "IO", message: /is closed$/ });
  await t.rejects(link.call("ECHO", [], 1000), { code: "IO", message: /is closed$/ });
  await t.rejects(link.ready(1000), { code: "IO" });
  await eventually(() => node.connections.every(({ destroyed, readableEnded }) => destroyed || readableEnded));
  t.strictSame(node.asked, []);
  t.equal(clock.pending(), 0);
});
