import { join } from "node:path";

import t from "tap";

import { lbCommand, type LbOptions } from "../../agent/cli/lb.ts";
import { nodesCommand } from "../../agent/cli/nodes.ts";
import { createFakeIo } from "../helpers/fake-io.ts";
import { startFleetNode } from "../helpers/fleet-node.ts";

function lb(options: LbOptions): string {
  const io = createFakeIo();
  t.equal(lbCommand(options, io), 0);
  return io.printed.out;
}

t.test("lb shows the draws beside what a uniform draw and the published formula expect", (t) => {
  const out = lb({ nodes: "garage,shed,garage", requests: 300, seed: 7 });
  const [head, empty, columns, garage, shed, blank, uniform, published] = out.split("\n");
  t.equal(head, "300 requests, 3 entries, seed 7");
  t.equal(empty, "");
  t.match(columns, /^NODE +ENTRIES +DRAWN +SHARE +EXPECTED$/);
  t.match(garage, /^garage +2 +\d+ +\d\d\.\d % +200\.00$/);
  t.match(shed, /^shed +1 +\d+ +\d\d\.\d % +100\.00$/);
  t.equal(blank, "");
  t.equal(uniform, "A uniform draw sends k/N = 100.00 requests to each entry (k=300, N=3).");
  t.equal(published, "The original's published formula gives 0.7500; that is not the expectation of a uniform draw.");
  const [, drawnGarage] = /^garage +2 +(\d+)/.exec(garage ?? "") ?? [];
  const [, drawnShed] = /^shed +1 +(\d+)/.exec(shed ?? "") ?? [];
  t.equal(Number(drawnGarage) + Number(drawnShed), 300);
  t.ok(Math.abs(Number(drawnGarage) - 200) < 35);
  t.equal(out, lb({ nodes: "garage, shed , garage", requests: 300, seed: 7 }), "the same seed, the same draws");
  t.not(out, lb({ nodes: "garage,shed,garage", requests: 300, seed: 8 }));
  t.match(lb({ nodes: "alone" }), "divides by zero for one entry");
  t.end();
});

t.test("lb --json has it all, and a conf file as the original has it is read", (t) => {
  const folder = t.testdir({ "virgo_client.conf": "127.0.0.1,127.0.0.1\n", "long.conf": Array(40).fill("10.0.0.7:6390").join(",") });
  const drawn = JSON.parse(lb({ conf: join(folder, "virgo_client.conf"), requests: 2, seed: 1, json: true })) as unknown;
  t.strictSame(drawn, {
    entries: 2,
    requests: 2,
    seed: 1,
    nodes: [{ node: "127.0.0.1", weight: 2, drawn: 2, expected: 2 }],
    expectedPerEntry: 1,
    published: 1.375,
    notes: [],
  });
  t.equal((JSON.parse(lb({ nodes: "a", json: true })) as { published: unknown }).published, null);
  t.match(
    lb({ conf: join(folder, "long.conf") }),
    /Note: the original reads IPv4 addresses without ports.*\nNote: the original reads 256 bytes of the file only; it has 559\.\n$/,
  );
  t.end();
});

t.test("lb says what is wrong with its command line", (t) => {
  const folder = t.testdir({ "empty.conf": "\n", "bad.conf": "10.0.0.7,?\n" });
  const refused = (options: LbOptions, message: RegExp) => t.throws(() => lb(options), { code: "ARGUMENT", message });
  refused({ nodes: "a", conf: "b" }, /^either --nodes or --conf/);
  refused({ nodes: "a", requests: 0 }, /^--requests is 0; 1 to 100000000/);
  refused({ nodes: "a", seed: 2 ** 32 }, /^--seed is 4294967296/);
  refused({ nodes: "," }, /^the list of nodes is empty$/);
  refused({ nodes: "a b" }, /^an address is/);
  refused({ conf: join(folder, "empty.conf") }, /^the list of nodes is empty$/);
  refused({ conf: join(folder, "bad.conf") }, /bad\.conf: an address is/);
  refused({ conf: join(folder, "none.conf") }, /^cannot read the list of nodes: ENOENT/);
  t.end();
});

t.test("nodes shows every node with its health, load and devices", async (t) => {
  const shed = await startFleetNode(t, { name: "shed", relays: { pump: "GPIO4", fan: "GPIO5" } });
  const garage = await startFleetNode(t, {
    name: "garage",
    relays: { lamp: "GPIO17" },
    fleet: { nodes: { shed: { address: shed.address } } },
  });
  const run = async (more: object = {}) => {
    const io = createFakeIo();
    const port = garage.address.slice(garage.address.lastIndexOf(":") + 1);
    t.equal(await nodesCommand({ port, ...more }, io), 0);
    return io.printed.out;
  };
  t.match(await run({ known: true }), /\nshed +127\.0\.0\.1:\d+ +unknown +0 +0 +0\n$/);
  t.match(
    await run(),
    /^NODE +ADDRESS +HEALTH +LOAD +ASKED +FAILED +DEVICES\ngarage +this node +up +[\d.]+ +0 +0 +lamp\nshed +127\.0\.0\.1:\d+ +up +[\d.]+ +0 +0 +pump fan\n$/,
  );
  const [, asJson] = JSON.parse(await run({ json: true })) as { node: string; devices: unknown }[];
  t.match(asJson, { node: "shed", devices: [{ id: "pump", state: "ready" }, { id: "fan" }] });
  await shed.stop();
  t.match(await run(), /\nshed +127\.0\.0\.1:\d+ +down: nothing listens on 127\.0\.0\.1:\d+; is the agent running\? +\d/);
});
