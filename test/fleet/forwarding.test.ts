import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { errorReply, valueReply } from "../../agent/contract/request.ts";
import { createForwardingDevices, type ForwardingDevices } from "../../agent/fleet/forwarding.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import type { Fleet } from "../../agent/contract/fleet.ts";
import type { Caller, Reply, Request, Service } from "../../agent/contract/request.ts";

interface Rig {
  readonly clock: FakeClock;
  readonly forwarding: ForwardingDevices;
  /** What the own devices were asked. */
  readonly own: Request[];
  /** What other nodes were asked: node, deadline, words. */
  readonly asked: string[];
  /** node, function, milliseconds. */
  readonly learned: string[];
  /** What the balancer was asked for. */
  readonly picked: (string | undefined)[];
  readonly answer: { own: Reply | Promise<Reply>; other: Reply; picks: string | undefined; pickMs: number; askMs: number };
  readonly text: (line: string, by?: Partial<Caller>) => Promise<string>;
}

function rig(others: readonly string[] = ["shed", "attic", "10.0.0.7"]): Rig {
  const clock = createFakeClock();
  const own: Request[] = [];
  const asked: string[] = [];
  const learned: string[] = [];
  const picked: (string | undefined)[] = [];
  const answer: Rig["answer"] = { own: valueReply("own"), other: valueReply("other"), picks: "shed", pickMs: 0, askMs: 0 };
  const devices: Service = {
    verbs: [{ verb: "CLONE", usage: "", summary: "" }],
    handle(request) {
      own.push(request);
      return answer.own;
    },
  };
  const fleet: Fleet = {
    self: "garage",
    others,
    ask(node, { verb, args }, deadlineMs) {
      asked.push([node, deadlineMs, verb, ...args].join(" "));
      clock.advanceNow(answer.askMs);
      return Promise.resolve(answer.other);
    },
    pick(fn) {
      picked.push(fn);
      clock.advanceNow(answer.pickMs);
      return Promise.resolve(answer.picks);
    },
    learned: (node, fn, tookMs) => learned.push(`${node} ${fn} ${tookMs}`),
  };
  const forwarding = createForwardingDevices({ devices, fleet, deadlineMs: 2000, clock });
  const text = async (line: string, by: Partial<Caller> = {}): Promise<string> => {
    const [verb = "", ...args] = line.split(" ");
    const caller: Caller = { name: "ada", priority: 100, maxPriority: 150, signal: new AbortController().signal, ...by };
    const reply = await forwarding.handle({ verb, args }, caller);
    if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
    return reply.kind === "value" ? (reply.value as string) : reply.text;
  };
  return { clock, forwarding, own, asked, learned, picked, answer, text };
}

t.test("what names no other node is the own devices' as it is, in the same turn", (t) => {
  const { forwarding, own, asked } = rig();
  const caller: Caller = { name: "ada", priority: 100, signal: new AbortController().signal };
  const requests: Request[] = [
    { verb: "CLONE", args: ["lamp.on"] },
    { verb: "CLONE", args: ["lamp", "on"] },
    { verb: "CLONE", args: ["LEASE", "500", "lamp.on"] },
    { verb: "CLONE", args: ["NODE", "garage", "lamp.on"] },
    { verb: "CLONE", args: [] },
    { verb: "CLONE", args: ["NODE"] },
    { verb: "CLONE", args: ["DEADLINE", "5", "NODE"] },
    { verb: "DEVICES", args: [] },
    { verb: "ESTOP", args: ["NODE", "shed"] },
  ];
  for (const request of requests) t.strictSame(forwarding.handle(request, caller), valueReply("own"));
  t.equal(own.length, requests.length);
  own.forEach((request, i) => t.equal(request, requests[i], "the very request"));
  t.strictSame(asked, []);
  t.strictSame(
    forwarding.verbs.map(({ verb }) => verb),
    ["CLONE"],
  );
  t.end();
});

t.test("a named node is asked by its name, with everything that was said, and its answer is the answer", async (t) => {
  const { text, asked, own, answer } = rig();
  t.equal(await text("CLONE NODE shed lamp.beam low"), "other");
  t.equal(await text("CLONE LEASE 500 node attic PRIORITY 120 SEQ 7 lamp beam low"), "other");
  t.equal(await text("CLONE NODE garage NODE shed DEADLINE 300 lamp.on"), "other", "of two names the last counts, as for the own devices");
  t.equal(await text("CLONE NODE 10.0.0.7 lamp.on"), "other", "one that is known by its address does not know that name");
  t.strictSame(asked, [
    "shed 2000 CLONE NODE shed PRIORITY 100 lamp.beam low",
    "attic 2000 CLONE NODE attic LEASE 500 PRIORITY 120 SEQ 7 lamp beam low",
    "shed 300 CLONE NODE shed PRIORITY 100 DEADLINE 300 lamp.on",
    "10.0.0.7 2000 CLONE PRIORITY 100 lamp.on",
  ]);
  t.equal(own.length, 0);
  answer.other = errorReply(new AgentError("IN_USE", "lamp is held by bob"));
  t.equal(await text("CLONE NODE shed lamp.on"), "-IN_USE lamp is held by bob");
});

t.test("who may not is told so here, and the other node is not asked", async (t) => {
  const { text, asked } = rig();
  const permits = { allows: (_kind: string, name: string) => name === "lamp.state" };
  t.equal(await text("CLONE NODE shed lamp.on", { permits }), "-DENIED ada may not use lamp.on; its user's allow list does not cover it");
  t.equal(await text("CLONE NODE shed lamp on", { permits }), "-DENIED ada may not use lamp.on; its user's allow list does not cover it");
  t.equal(await text("CLONE NODE ANY lamp.on", { permits }), "-DENIED ada may not use lamp.on; its user's allow list does not cover it");
  t.equal(await text("CLONE NODE shed PRIORITY 151 lamp.on"), "-DENIED priority 151 is above 150, the highest ada may ask for");
  t.equal(
    await text("CLONE NODE shed PRIORITY 11 lamp.on", { priority: 10, maxPriority: undefined as never }),
    "-DENIED priority 11 is above 10, the highest ada may ask for",
  );
  t.strictSame(asked, []);
  t.equal(await text("CLONE NODE shed lamp.state", { permits, priority: 30 }), "other");
  t.strictSame(asked, ["shed 2000 CLONE NODE shed PRIORITY 30 lamp.state"], "with no more priority than it has here");
});

t.test("a node that is not known is UNKNOWN, with the one that may have been meant", async (t) => {
  const { text, asked } = rig();
  t.equal(await text("CLONE NODE shde lamp.on"), "-UNKNOWN no node shde is known here (did you mean shed?); this is garage");
  t.equal(await text("CLONE NODE cellar lamp.on"), "-UNKNOWN no node cellar is known here; this is garage");
  t.strictSame(asked, []);
  const alone = rig([]);
  t.equal(await alone.text("CLONE NODE ANY lamp.on"), "own");
  t.equal(await alone.text("CLONE NODE cellar lamp.on"), "own", "without a fleet the device host says what it always said");
});

t.test("ANY is whom the balancer picks for the function, and it learns how long that took", async (t) => {
  const { text, asked, own, picked, learned, answer } = rig();
  answer.askMs = 40;
  t.equal(await text("CLONE NODE ANY lamp.on"), "other");
  t.equal(await text("CLONE LEASE 500 NODE any lamp on now"), "other");
  t.strictSame(picked, ["lamp.on", "lamp.on"]);
  t.strictSame(asked, ["shed 2000 CLONE NODE shed PRIORITY 100 lamp.on", "shed 2000 CLONE NODE shed PRIORITY 100 LEASE 500 lamp on now"]);
  t.strictSame(learned, ["shed lamp.on 40", "shed lamp.on 40"]);
  answer.picks = "garage";
  t.equal(await text("CLONE NODE ANY lamp.on"), "own");
  t.equal(learned[2], "garage lamp.on 0");
  answer.picks = undefined;
  t.equal(await text("CLONE NODE ANY lmap.on"), "own", "nobody has it: this node says so");
  t.equal(await text("CLONE NODE ANY"), "own", "and what is missing");
  answer.own = errorReply(new AgentError("UNKNOWN", "no function lmap.on"));
  t.equal(await text("CLONE NODE ANY lmap.on"), "-UNKNOWN no function lmap.on; no other node that answers has it (NODES lists them)");
  t.equal(own.length, 4);
  answer.picks = "shed";
  answer.other = errorReply(new AgentError("IO", "node shed: nothing listens"));
  t.match(await text("CLONE NODE ANY lamp.on"), /^-IO node shed/);
  t.equal(learned.length, 3, "an error is not quick work");
});

t.test("time spent on choosing is part of the deadline", async (t) => {
  const { text, asked, answer } = rig();
  answer.pickMs = 120;
  await text("CLONE NODE ANY DEADLINE 300 lamp.on");
  await text("CLONE NODE ANY DEADLINE 100 lamp.on");
  await text("CLONE NODE ANY DEADLINE soon lamp.on");
  t.strictSame(asked, [
    "shed 180 CLONE NODE shed PRIORITY 100 DEADLINE 300 lamp.on",
    "shed 1 CLONE NODE shed PRIORITY 100 DEADLINE 100 lamp.on",
    "shed 1880 CLONE NODE shed PRIORITY 100 DEADLINE soon lamp.on",
  ]);
});

t.test("it counts what its own devices have begun and not ended", async (t) => {
  const { forwarding, answer, text } = rig();
  let finish: (reply: Reply) => void = () => undefined;
  answer.own = new Promise((resolve) => (finish = resolve));
  const both = [text("CLONE lamp.fade"), text("CLONE lamp fade")];
  t.equal(forwarding.running, 2);
  finish(valueReply("faded"));
  t.strictSame(await Promise.all(both), ["faded", "faded"]);
  await settled();
  t.equal(forwarding.running, 0);
});

t.test("where it is certain that nothing was done, another node is asked within the deadline, and each only once", async (t) => {
  const clock = createFakeClock();
  const refused = new WeakSet<Reply>();
  const asked: string[] = [];
  const answers = new Map<string, Reply>([
    ["shed", errorReply(new AgentError("NOT_READY", "shed is silent"))],
    ["attic", valueReply("attic")],
    ["barn", errorReply(new AgentError("IN_USE", "barn is driven"))],
  ]);
  const rig: { order: string[]; took: number; certain: ReadonlySet<string> } = { order: [], took: 0, certain: new Set(["shed", "barn"]) };
  const fleet: Fleet = {
    self: "garage",
    others: [...answers.keys()],
    ask(node, _request, deadlineMs) {
      asked.push(`${node} ${deadlineMs}`);
      clock.advanceNow(rig.took);
      const reply = answers.get(node) as Reply;
      if (rig.certain.has(node)) refused.add(reply);
      else refused.delete(reply);
      return Promise.resolve(reply);
    },
    pick: (_fn, tried) => Promise.resolve(rig.order.find((node) => tried?.has(node) !== true)),
    refused: (reply) => refused.has(reply),
    learned: () => undefined,
  };
  const devices: Service = { verbs: [], handle: () => errorReply(new AgentError("UNKNOWN", "no function lamp.on")) };
  const forwarding = createForwardingDevices({ devices, fleet, deadlineMs: 2000, clock });
  const caller: Caller = { name: "ada", priority: 100, signal: new AbortController().signal };
  const clone = async (order: string[], words = "NODE ANY lamp.on", took = 300): Promise<string> => {
    asked.length = 0;
    rig.order = order;
    rig.took = took;
    const reply = await forwarding.handle({ verb: "CLONE", args: words.split(" ") }, caller);
    return reply.kind === "error" ? `-${reply.error.code} ${reply.error.message}` : reply.kind === "value" ? (reply.value as string) : "";
  };
  t.equal(await clone(["shed", "barn", "attic"]), "attic");
  t.strictSame(asked, ["shed 2000", "barn 1700", "attic 1400"]);
  t.equal(await clone(["shed", "barn"]), "-IN_USE barn is driven", "the last refusal, when nobody is left");
  t.equal(await clone(["shed", "attic"], "NODE ANY DEADLINE 300 lamp.on"), "-NOT_READY shed is silent", "not after the deadline");
  t.strictSame(asked, ["shed 300"]);
  t.equal(await clone([]), "-UNKNOWN no function lamp.on; no other node that answers has it (NODES lists them)");
  rig.certain = new Set();
  t.equal(await clone(["shed", "attic"]), "-NOT_READY shed is silent", "it may have been done");
  t.strictSame(asked, ["shed 2000"]);
  t.equal(await clone(["attic"], "NODE shed lamp.on"), "-NOT_READY shed is silent", "who names a node means it");
});
