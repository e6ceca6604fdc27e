import fc from "fast-check";
import t from "tap";

import { createBalancer, type BalancerKind, type Candidate } from "../../agent/fleet/balancer.ts";
import { drawDistribution, publishedExpectation } from "../../agent/fleet/distribution.ts";
import { infoSection, nodeLoad } from "../../agent/fleet/load.ts";
import { createPrg } from "../../agent/fleet/prg.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";

function candidate(name: string, more: Partial<Candidate> = {}): Candidate {
  return { name, weight: 1, load: 0, ready: true, ...more };
}

function create(kind: BalancerKind, clock = createFakeClock()) {
  return createBalancer({ kind, seed: 7, clock });
}

/** How often each is chosen in `draws`. */
function tally(draws: number, choose: () => string | undefined): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < draws; i++) {
    const name = choose() ?? "nobody";
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

t.test("the same seed draws the same numbers, another seed others", (t) => {
  const draw = (seed: number) => {
    const prg = createPrg(seed);
    return Array.from({ length: 20 }, () => prg.below(1000));
  };
  t.strictSame(draw(1), draw(1));
  t.notSame(draw(1), draw(2));
  t.strictSame(draw(0).length, 20, "seed 0 is one like any other");
  t.ok(new Set(draw(0)).size > 10);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 1, max: 0xffff_ffff }), (seed, count) => {
      const prg = createPrg(seed);
      const drawn = prg.below(count);
      const fraction = prg.fraction();
      return Number.isInteger(drawn) && drawn >= 0 && drawn < count && fraction >= 0 && fraction < 1;
    }),
  );
  t.end();
});

t.test("draws are uniform: chi-square below the 0.1 % bound for several counts and seeds", (t) => {
  /** Upper 0.1 % points of chi-square, by degrees of freedom. */
  const bounds: Readonly<Record<number, number>> = { 2: 10.83, 3: 13.82, 7: 22.46, 10: 27.88 };
  for (const [text, bound] of Object.entries(bounds)) {
    const count = Number(text);
    for (const seed of [0, 1, 42, 0xffff_ffff]) {
      const draws = 30_000;
      const { nodes } = drawDistribution(
        Array.from({ length: count }, (_, i) => `n${i}`),
        draws,
        seed,
      );
      const chiSquare = nodes.reduce((sum, { drawn, expected }) => sum + (drawn - expected) ** 2 / expected, 0);
      t.ok(chiSquare < bound, `${count} nodes, seed ${seed}: ${chiSquare.toFixed(2)} < ${bound}`);
    }
  }
  t.end();
});

t.test("prg weighs by repetition and does not look at load", (t) => {
  const balancer = create("prg");
  const counts = tally(3000, () => balancer.choose([candidate("a", { weight: 2, load: 1000 }), candidate("b", { ready: false })]));
  t.ok(Math.abs((counts["a"] ?? 0) - 2000) < 120, `${counts["a"] ?? 0} of 3000 for two of three entries`);
  t.equal(balancer.choose([]), undefined);
  t.end();
});

t.test("least-load goes where the least is to be done, and draws among equals", (t) => {
  const balancer = create("least-load");
  t.equal(balancer.choose([candidate("a", { load: 2 }), candidate("b", { load: 1 }), candidate("c", { load: 1.5 })]), "b");
  const counts = tally(1000, () => balancer.choose([candidate("a"), candidate("b"), candidate("c", { load: 0.1 })]));
  t.ok((counts["a"] ?? 0) > 400 && (counts["b"] ?? 0) > 400, JSON.stringify(counts));
  t.equal(balancer.choose([]), undefined);
  t.end();
});

t.test("learned execution times count as much as load, per function, and are forgotten", (t) => {
  const clock = createFakeClock();
  const balancer = create("least-load", clock);
  const both = [candidate("a"), candidate("b")];
  for (let i = 0; i < 20; i++) {
    balancer.learned("a", "arm.move", 100);
    balancer.learned("b", "arm.move", 10);
  }
  t.strictSame(
    tally(50, () => balancer.choose(both, "arm.move")),
    { b: 50 },
  );
  t.equal(balancer.choose([candidate("a"), candidate("b", { load: 8 })], "arm.move"), "b", "9 times 10 ms is less than 100 ms");
  t.equal(balancer.choose([candidate("a"), candidate("b", { load: 10 })], "arm.move"), "a", "11 times 10 ms is more");
  t.strictSame(Object.keys(tally(100, () => balancer.choose(both, "lamp.on"))).sort(), ["a", "b"], "another function");
  t.equal(balancer.choose([...both, candidate("new")], "arm.move") === "a", false, "who has never done it is tried");
  clock.advanceNow(60_001);
  t.equal(balancer.expectedMs("a", "arm.move"), undefined);
  t.strictSame(Object.keys(tally(100, () => balancer.choose(both, "arm.move"))).sort(), ["a", "b"]);
  t.end();
});

t.test("execution times are smoothed", (t) => {
  const balancer = create("least-load");
  balancer.learned("a", "f", 100);
  balancer.learned("a", "f", 0);
  t.equal(balancer.expectedMs("a", "f"), 80);
  for (let i = 0; i < 60; i++) balancer.learned("a", "f", 10);
  t.ok(Math.abs((balancer.expectedMs("a", "f") ?? 0) - 10) < 0.01);
  balancer.learned("b", "f", 0);
  t.equal(balancer.choose([candidate("a"), candidate("b", { load: 5 })], "f"), "b", "nothing is quicker than no time");
  t.end();
});

t.test("what is learned is bounded", (t) => {
  const balancer = create("least-load");
  for (let i = 0; i < 10_001; i++) balancer.learned("a", `f${i}`, 5);
  t.equal(balancer.expectedMs("a", "f0"), undefined);
  t.equal(balancer.expectedMs("a", "f1"), 5);
  t.end();
});

t.test("capability prefers a device in order to a lower load", (t) => {
  const balancer = create("capability");
  t.equal(balancer.choose([candidate("a", { ready: false }), candidate("b", { load: 9 })]), "b");
  t.equal(balancer.choose([candidate("a", { ready: false, load: 1 }), candidate("b", { ready: false })]), "b", "none in order: the load");
  t.equal(create("least-load").choose([candidate("a", { ready: false }), candidate("b", { load: 9 })]), "a");
  t.end();
});

t.test("the published formula gives the published values, and no division by zero", (t) => {
  const close = (nodes: number, requests: number, value: number) =>
    t.ok(Math.abs((publishedExpectation(nodes, requests) ?? 0) - value) < 0.00006, `N=${nodes}, k=${requests}`);
  close(3, 2, 0.6296);
  close(2, 1, 1.25);
  close(2, 2, 1.375);
  close(3, 3, 0.6914);
  t.equal(publishedExpectation(1, 5), undefined);
  t.equal(publishedExpectation(2, 1_000_000), 2, "beyond what doubles hold");
  t.end();
});

t.test("a distribution has every entry, its weight and its k/N", (t) => {
  const { nodes, expectedPerEntry, entries } = drawDistribution(["a", "b", "a", "c"], 400, 3);
  t.equal(entries, 4);
  t.equal(expectedPerEntry, 100);
  t.strictSame(
    nodes.map(({ node, weight, expected }) => [node, weight, expected]),
    [
      ["a", 2, 200],
      ["b", 1, 100],
      ["c", 1, 100],
    ],
  );
  t.equal(
    nodes.reduce((sum, { drawn }) => sum + drawn, 0),
    400,
  );
  t.end();
});

t.test("the load that is published is the load that is read", (t) => {
  const load = nodeLoad(3);
  t.ok(load.load >= 3 && load.cpus >= 1);
  const text = `# server\r\nload:99\r\n\r\n# Load\r\n${Object.entries(load)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join("")}\r\n# memory\r\nload:98\r\n`;
  t.equal(infoSection(text, "load").get("load"), String(load.load));
  t.equal(infoSection(text, "load").size, 4);
  t.equal(infoSection(text, "none").size, 0);
  t.end();
});
