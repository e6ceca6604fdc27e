import t from "tap";
import type { Test } from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { errorReply, type Reply, type Request } from "../../../agent/contract/request.ts";
import { createFakeClock, settled, type FakeClock } from "../../helpers/fake-clock.ts";
import { CALLER, openMemory, type TestMemory } from "../../helpers/memory.ts";
import type { Fleet } from "../../../agent/contract/fleet.ts";

/** What stands between the nodes. */
interface Wires {
  /** Nodes nobody reaches. */
  readonly down: Set<string>;
  /** Nodes that take requests and never answer. */
  readonly mute: Set<string>;
  /** Everything that was asked over them: `barn SETM`. */
  readonly asked: string[];
  /** Asked before a request is handed on; what it returns is waited for. */
  before: (node: string, request: Request) => Promise<void> | undefined;
}

interface Nodes {
  readonly shed: TestMemory;
  readonly barn: TestMemory;
  readonly wires: Wires;
  readonly clock: FakeClock;
}

const OPTIONS = { spread: true, chunkBytes: 1000, deadlineMs: 500, maxChunks: 20, chunkLeaseMs: 30_000 };

/** Two nodes; chunks are laid on them in turns. */
async function openNodes(t: Test, more: { readonly shed?: object; readonly barn?: object } = {}): Promise<Nodes> {
  const clock = createFakeClock();
  const wires: Wires = { down: new Set(), mute: new Set(), asked: [], before: () => undefined };
  const nodes = new Map<string, TestMemory>();

  async function deliver(node: string, request: Request): Promise<Reply> {
    await wires.before(node, request);
    return (nodes.get(node) as TestMemory).handle(request, { ...CALLER, name: "a node" });
  }

  function fleetOf(self: string, others: readonly string[]): Fleet {
    let picked = 0;
    return {
      self,
      others,
      async ask(node, request, deadlineMs) {
        wires.asked.push(`${node} ${request.verb}`);
        if (wires.down.has(node)) return errorReply(new AgentError("IO", `node ${node} cannot be reached`));
        const late = new Promise<Reply>((resolve) => {
          clock.after(deadlineMs, () => {
            resolve(errorReply(new AgentError("TIMEOUT", `node ${node} has not answered within ${deadlineMs} ms`)));
          });
        });
        return wires.mute.has(node) ? late : Promise.race([late, deliver(node, request)]);
      },
      pick: () => Promise.resolve([self, ...others][picked++ % (others.length + 1)]),
      learned: () => undefined,
    };
  }

  const shed = await openMemory(t, { ...OPTIONS, ...more.shed }, { clock, node: "shed", fleet: fleetOf("shed", ["barn"]) });
  const barn = await openMemory(t, { ...OPTIONS, ...more.barn }, { clock, node: "barn", fleet: fleetOf("barn", ["shed"]) });
  nodes.set("shed", shed).set("barn", barn);
  return { shed, barn, wires, clock };
}

/** Bytes that differ from place to place. */
function bytesOf(length: number, seed = 0): string {
  return Array.from({ length }, (_, i) => String.fromCharCode(33 + ((i * 7 + (i >> 8) + seed) % 90)))
    .join("")
    .replaceAll(/["'\\]/g, "_");
}

t.test("a large block lies on both nodes and reads back whole", async (t) => {
  const { shed, barn, wires } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  t.match(vuid, /^shed:ffff88/);
  t.same([shed.figures()["spread_chunks"], shed.figures()["blocks"], barn.figures()["blocks"]], [3, 3, 1]);
  t.same([shed.figures()["bytes"], barn.figures()["bytes"]], [1500, 1000]);
  t.equal(await shed.say(`GETM ${vuid}`), "");
  for (const length of [2500, 0, 1, 999, 1000, 1001, 2000, 2499]) {
    const value = bytesOf(length, length);
    const revision = await shed.say(`SETM ${vuid} '${value}'`);
    t.same(await shed.say(`GETM ${vuid} REV`), [value, revision], `${length} bytes`);
  }
  t.match(await shed.say(`SETM ${vuid} ${bytesOf(2501)}`), /^-LIMIT 2501 bytes do not fit into shed:ffff88[0-9a-f]{10}, which has 2500/);
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2499, 2499));
  wires.asked.length = 0;
  const small = shed.now("MALLOC 1000");
  t.match(small, /^shed:/, "what fits into one chunk stays here");
  t.same(wires.asked, []);
  t.equal(await shed.say(`FREEM ${vuid}`), "+OK");
  t.match(await shed.say(`GETM ${vuid}`), /^-UNKNOWN/);
  await settled();
  t.same([shed.figures()["blocks"], barn.figures()["blocks"], barn.figures()["bytes"]], [1, 0, 0]);
});

t.test("values are compared and set as a whole", async (t) => {
  const { shed } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  const first = (await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)} IF 0`)) as number;
  const both = await Promise.all([2, 3].map((seed) => shed.say(`SETM ${vuid} ${bytesOf(2500, seed)} IF ${first}`)));
  t.type(both[0], "number");
  t.match(both[1], /^-STALE /);
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 2));
});

t.test("a node that cannot be reached is named, and nothing else suffers", async (t) => {
  const { shed, barn, wires } = await openNodes(t);
  const local = shed.now("MALLOC 10") as string;
  const vuid = (await shed.say("MALLOC 2500")) as string;
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)}`);
  const before = shed.figures()["blocks"];
  wires.down.add("barn");
  t.match(await shed.say(`GETM ${vuid}`), /^-IO cannot read a chunk on node barn: node barn cannot be reached/);
  t.match(await shed.say(`SETM ${vuid} ${bytesOf(2500, 2)}`), /^-IO cannot \w+ a chunk on node barn/);
  t.match(await shed.say("MALLOC 2500"), /^-IO cannot allocate a chunk on node barn/);
  await settled();
  t.equal(shed.figures()["blocks"], before, "what was allocated of it is freed again");
  t.type(shed.now(`SETM ${local} x`), "number");
  t.equal(shed.now(`GETM ${local}`), "x");
  t.match(barn.now("MALLOC 10"), /^barn:/);
  wires.down.clear();
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 1), "the failed store has left what was there");
  t.type(await shed.say(`SETM ${vuid} ${bytesOf(2500, 3)}`), "number");
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 3));
  wires.down.add("barn");
  t.match(await shed.say(`FREEM ${vuid}`), /^-IO cannot free a chunk on node barn/);
  t.match(await shed.say(`GETM ${vuid}`), /^-UNKNOWN/, "it is gone all the same");
});

t.test("a node that does not answer holds nobody up beyond the deadline", async (t) => {
  const { shed, wires, clock } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)}`);
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 2)}`);
  wires.mute.add("barn");
  const answered: string[] = [];
  const lines = [`GETM ${vuid}`, `SETM ${vuid} ${bytesOf(2500, 3)}`, `SETM ${vuid} ${bytesOf(2500, 4)}`, "MALLOC 2500"];
  for (const line of lines) {
    void shed.say(line).then((reply) => answered.push(`${line.slice(0, 6).trim()} ${String(reply).slice(0, 8)}`));
  }
  t.match(shed.now("MALLOC 10"), /^shed:/);
  await clock.advance(499);
  t.same(answered, []);
  await clock.advance(3);
  t.equal(answered.length, 4);
  t.ok(
    answered.every((reply) => / -(IO|TIMEOUT)/.test(reply)),
    answered.join(", "),
  );
  wires.mute.clear();
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 2));
});

t.test("a store that arrives late, after it was given up, changes nothing", async (t) => {
  const { shed, wires, clock } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)}`);
  let release: () => void = () => undefined;
  wires.before = (node, { verb }) => {
    if (node !== "barn" || verb !== "SETM") return undefined;
    wires.before = () => undefined;
    return new Promise((resolve) => {
      release = resolve;
    });
  };
  const late = shed.say(`SETM ${vuid} ${bytesOf(2500, 2)}`);
  await clock.advance(501);
  t.match(await late, /^-IO cannot store a chunk on node barn/);
  t.type(await shed.say(`SETM ${vuid} ${bytesOf(2500, 3)}`), "number");
  release();
  await settled();
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 3));
});

t.test("whoever reads while others store sees one value, never parts of two", async (t) => {
  const { shed, wires } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 5000")) as string;
  const values = new Set(Array.from({ length: 12 }, (_, seed) => bytesOf(5000, seed)));
  await shed.say(`SETM ${vuid} ${bytesOf(5000, 0)}`);
  let turn = 0;
  wires.before = async () => {
    turn += 1;
    for (let wait = (turn * 7) % 5; wait > 0; wait--) await settled();
  };
  const stores = [...values].map((value) => shed.say(`SETM ${vuid} ${value}`));
  const reads: Promise<unknown>[] = [];
  for (let i = 0; i < 60; i++) {
    reads.push(shed.say(`GETM ${vuid}`));
    await settled();
  }
  for (const reply of await Promise.all(stores)) t.type(reply, "number");
  for (const reply of await Promise.all(reads)) t.ok(values.has(reply as string), "one of the values, whole");
  t.equal(await shed.say(`GETM ${vuid}`), [...values].at(-1), "the last one stays");
});

t.test("a refusal of another node is passed on, and frees what was allocated", async (t) => {
  const { shed, barn } = await openNodes(t, { barn: { maxBytes: 1500 } });
  t.match(await shed.say("MALLOC 4000"), /^-FULL cannot allocate a chunk on node barn: .* memory.maxBytes is 1500/);
  await settled();
  t.same([shed.figures()["blocks"], barn.figures()["blocks"]], [0, 0]);
  t.match(await shed.say("MALLOC 20001"), /^-LIMIT 20001 bytes are 21 chunks of 1000; memory.maxChunks is 20/);
});

t.test("what is in a pool stays on its node", async (t) => {
  const { shed, barn } = await openNodes(t, { shed: { pools: { p: { keys: "p:*" } } } });
  t.match(shed.now("MALLOC 5000 POOL p"), /^shed:/);
  t.equal(barn.figures()["blocks"], 0);
});

t.test("chunks are kept as long as their node says so, and dropped when it is gone", async (t) => {
  const { shed, barn, wires, clock } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)}`);
  await clock.advance(100_000);
  t.equal(await shed.say(`GETM ${vuid}`), bytesOf(2500, 1));
  wires.down.add("barn");
  await clock.advance(31_000);
  t.equal(barn.figures()["blocks"], 0);
  t.match(shed.log.lines.join("\n"), /warn memory: chunks on other nodes could not be renewed/);
  wires.down.clear();
  t.match(await shed.say(`GETM ${vuid}`), /^-IO cannot read a chunk on node barn: .* is not allocated, or not any more/);
});

t.test("a spread block whose time is over frees its chunks everywhere", async (t) => {
  const { shed, barn, clock } = await openNodes(t);
  await shed.say("MALLOC 2500 TTL 1000");
  await clock.advance(3000);
  t.same([shed.figures()["blocks"], barn.figures()["blocks"], shed.figures()["expired"]], [0, 0, 1]);
});

t.test("a VUID of another node is answered by that node", async (t) => {
  const { shed, barn, wires } = await openNodes(t);
  const vuid = barn.now("MALLOC 10") as string;
  t.type(await shed.say(`SETM ${vuid} hello`), "number");
  t.equal(await shed.say(`GETM ${vuid}`), "hello");
  t.equal(barn.now(`GETM ${vuid}`), "hello");
  t.equal(await shed.say(`FREEM ${vuid}`), "+OK");
  t.equal(await shed.say(`GETM ${vuid}`), `-UNKNOWN ${vuid} is not allocated, or not any more`);
  wires.down.add("barn");
  t.equal(await shed.say(`GETM ${vuid}`), "-IO node barn cannot be reached");
});

t.test("a block that is freed while it is stored to leaves nothing behind", async (t) => {
  const { shed, barn, wires } = await openNodes(t);
  const vuid = (await shed.say("MALLOC 2500")) as string;
  await shed.say(`SETM ${vuid} ${bytesOf(2500, 1)}`);
  wires.before = () => settled();
  const stored = shed.say(`SETM ${vuid} ${bytesOf(2500, 2)}`);
  t.equal(await shed.say(`FREEM ${vuid}`), "+OK");
  t.match(await stored, /^-UNKNOWN/);
  for (let turn = 0; turn < 10; turn++) await settled();
  t.same([shed.figures()["blocks"], barn.figures()["blocks"]], [0, 0]);
});
