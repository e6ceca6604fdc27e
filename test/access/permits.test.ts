import fc from "fast-check";
import t from "tap";

import { compilePermits, permitMistake } from "../../agent/access/permits.ts";
import type { PermitKind } from "../../agent/contract/request.ts";

/** Which of `kind:name` an allow list covers. */
function covered(allow: readonly string[], names: readonly string[]): readonly string[] {
  const permits = compilePermits(allow);
  return names.filter((name) => {
    const [kind = "", ...rest] = name.split(" ");
    return permits.allows(kind as PermitKind, rest.join(" "));
  });
}

t.test("a permit covers what it names and nothing else", (t) => {
  const names = [
    "function lamp.on",
    "function lamp.off",
    "function lamps.on",
    "function Lamp.on",
    "vars lamp.on",
    "queue orders",
    "events 7",
  ];
  t.strictSame(covered(["lamp.on"], names), ["function lamp.on"]);
  t.strictSame(covered(["lamp.*"], names), ["function lamp.on", "function lamp.off"]);
  t.strictSame(covered(["*.on"], names), ["function lamp.on", "function lamps.on", "function Lamp.on"]);
  t.strictSame(covered(["vars:lamp.on", "queue:orders"], names), ["vars lamp.on", "queue orders"]);
  t.strictSame(covered(["events:*"], names), ["events 7"]);
  t.strictSame(covered(["*"], names), names, "everything");
  t.strictSame(covered([], names), [], "an empty list is nothing");
  t.end();
});

t.test("permits can be made again from the list they show", (t) => {
  const permits = compilePermits(compilePermits(["lamp.*", "vars:battery_*"]).allow ?? []);
  t.strictSame(permits.allow, ["lamp.*", "vars:battery_*"]);
  t.equal(permits.allows("function", "lamp.on"), true);
  t.equal(permits.allows("function", "pump.on"), false);
  t.end();
});

t.test("a star stands for any characters, none as well", (t) => {
  const names = [
    "vars battery_",
    "vars battery_v",
    "vars battery_1.cell",
    "vars my_battery_v",
    "memory settings:a",
    "memory settings:a:b",
    "memory settings",
  ];
  t.strictSame(covered(["vars:battery_*"], names), ["vars battery_", "vars battery_v", "vars battery_1.cell"]);
  t.strictSame(covered(["vars:*battery*v"], names), ["vars battery_v", "vars my_battery_v"]);
  t.strictSame(covered(["memory:settings:*"], names), ["memory settings:a", "memory settings:a:b"]);
  t.strictSame(covered(["vars:a*b*c"], ["vars abc", "vars axxbyyc", "vars abbbc", "vars acb", "vars abcd"]), [
    "vars abc",
    "vars axxbyyc",
    "vars abbbc",
  ]);
  t.strictSame(covered(["vars:a.c+[x]?"], ["vars a.c+[x]?", "vars abc+[x]?", "vars a.c+xy"]), ["vars a.c+[x]?"], "nothing else is special");
  t.end();
});

t.test("in paths a star ends at a slash and two stars do not", (t) => {
  const names = ["files logs", "files logs/a.txt", "files logs/b/a.txt", "files logs2", "files a.txt"];
  t.strictSame(covered(["files:logs/*"], names), ["files logs/a.txt"]);
  t.strictSame(covered(["files:logs/**"], names), ["files logs", "files logs/a.txt", "files logs/b/a.txt"], "the folder itself, too");
  t.strictSame(covered(["files:*"], names), ["files logs", "files logs2", "files a.txt"]);
  t.strictSame(covered(["files:**"], names), names);
  t.strictSame(covered(["files:**/a.txt"], names), ["files logs/a.txt", "files logs/b/a.txt"]);
  t.strictSame(covered(["files:**"], ["files ", "files ."]), ["files ", "files ."], "the root");
  t.strictSame(covered(["files:*", "files:logs/**"], ["files ", "files ."]), []);
  t.strictSame(covered(["files:l*s/**.txt"], names), ["files logs/a.txt", "files logs/b/a.txt"]);
  t.end();
});

t.test("a path that is not written plainly is covered by no pattern", (t) => {
  const odd = ["logs/../secret", "logs/..", "logs//a", "logs/./a", "/logs/a", "logs/a/", "logs/a\0b"].map((path) => `files ${path}`);
  t.strictSame(covered(["files:logs/**", "files:**", "files:*"], odd), []);
  t.end();
});

t.test("decisions stay right however many names are asked for", (t) => {
  const permits = compilePermits(["vars:even_*0", "vars:even_*2", "vars:even_*4", "vars:even_*6", "vars:even_*8"]);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 3000; i++) if (permits.allows("vars", `even_${i}`) !== (i % 2 === 0)) t.fail(`even_${i}`);
  }
  t.equal(permits.allows("vars", `even_${"1".repeat(5000)}2`), true);
  t.equal(permits.allows("vars", `even_${"1".repeat(5000)}3`), false);
  t.end();
});

t.test("patterns mean what the same regular expression means", (t) => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/", "*"), maxLength: 8 });
  fc.assert(
    fc.property(text, fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 8 }), (pattern, name) => {
      const plain = name.split("/").every((segment) => segment !== "");
      const source = pattern.replaceAll(/\*+/g, (stars) => (stars.length > 1 ? ".{0,}" : "[^/]{0,}"));
      const folder = /^[^*]+\/\*\*$/.test(pattern) && name === pattern.slice(0, -3);
      if (name === "") return true;
      const expected =
        (pattern.includes("*") && plain && new RegExp(`^${source}$`).test(name)) || (!pattern.includes("*") && pattern === name) || folder;
      return compilePermits([`files:${pattern}`]).allows("files", name) === expected;
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test("a hostile name costs no more than its length times the pattern's", (t) => {
  const permits = compilePermits([`vars:${"*a".repeat(120)}*b`]);
  t.equal(permits.allows("vars", "a".repeat(4000)), false);
  t.end();
});

t.test("what can cover nothing is a mistake that says what to write", (t) => {
  for (const permit of [
    "*",
    "lamp.on",
    "lamp.*",
    "*.state",
    "vars:battery_*",
    "files:logs/**",
    "files:*",
    "queue:orders",
    "memory:a:*",
    "events:*",
  ])
    t.equal(permitMistake(permit), undefined, permit);
  t.match(permitMistake("lamp"), /lamp names no function; write lamp\.on, lamp\.\*/);
  t.match(permitMistake("var:x"), /var:x: there are no permits for var; they start with vars:, files:/);
  t.match(permitMistake("vars:"), /vars: covers nothing; write vars:\*/);
  t.match(permitMistake("files:"), /write files:\*\*/);
  for (const path of ["/logs/**", "../x", "a//b", "./a"]) t.match(permitMistake(`files:${path}`), /from files\.root on/);
  t.end();
});
