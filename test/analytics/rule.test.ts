import t from "tap";

import type { VariableValue } from "../../agent/contract/variable.ts";
import { createLanguage } from "../../analytics/expression.ts";
import { checkRule, compileRule, type CompiledRule, type RuleProblem } from "../../analytics/rule.ts";

const language = createLanguage();

function compile(when: string, call = "lamp.on()", values: Record<string, VariableValue> = {}): CompiledRule {
  const rule = compileRule("r", { when, call, priority: 10 }, language);
  for (const [name, value] of Object.entries(values)) rule.assign(name, value);
  return rule;
}

function problems(when: string, call = "lamp.on()"): readonly RuleProblem[] {
  const checked = checkRule("r", { when, call, priority: 10 }, language);
  return "problems" in checked ? checked.problems : [];
}

t.test("a rule says which device it calls and which variables it reads", (t) => {
  const rule = compileRule("follow", {
    when: "track.on && pan_angle != 0",
    call: " pan . to ( pan_angle, [1, offset] ) ",
    leaseMs: 300,
    priority: 5,
  });
  t.match(rule, { name: "follow", device: "pan", function: "to", leaseMs: 300, priority: 5 });
  for (const [when, reads] of [
    ["true", []],
    ["lights.on && battery_v < 11.5 || battery_v > 15", ["lights.on", "battery_v"]],
    ["scan.exists(d, d < limit) && scan[0] > 1", ["scan", "limit"]],
    ["a.b.c.size() > 2", ["a.b.c"]],
    ["cel.bind(y, x + 1, y > z)", ["x", "z"]],
    ["has(lights.on) && type(x) == double", ["lights.on", "x"]],
    ["{'a': x}['a'] > -y && !z", ["x", "y", "z"]],
    ["d > 1 && scan.all(d, d > 1)", ["d", "scan"]],
  ] as const) {
    t.strictSame(compile(when).reads, reads, when);
  }
  t.strictSame(rule.reads, ["track.on", "pan_angle", "offset"]);
  t.end();
});

const CONDITIONS: readonly (readonly [string, Record<string, VariableValue>, boolean])[] = [
  ["battery_v < 11", { battery_v: 10.5 }, true],
  ["battery_v < 11", { battery_v: 11 }, false],
  ["x == 3", { x: 3 }, true],
  ["3 == x && x != 4 && x == 3.0", { x: 3 }, true],
  ["x + 1 > 3 && 2 * x == 6 && x / 2 == 1.5 && x % 2 == 1 && 7 - x == 4", { x: 3 }, true],
  ["x - 1 in [1, 2]", { x: 3 }, true],
  ["scan[1] == 5 && size(scan) == 2 && scan[x - 1] == 5", { scan: [4, 5], x: 2 }, true],
  ["min(scan) < 1 && max(scan) > 2 && min(x, 2) == 2 && max(x, 2.5) == 3", { scan: [0.5, 3], x: 3 }, true],
  ["abs(x) == 3 && clamp(x, -2, 2) == -2", { x: -3 }, true],
  ["match && !other", { match: true, other: false }, true],
  ["lights.on && lights.percent > 50", { "lights.on": true, "lights.percent": 30 }, false],
  ['gear == "D" && gear.startsWith("D")', { gear: "D" }, true],
  ["scan.exists(d, d < 0.5)", { scan: [1, 0.4] }, true],
];

t.test("conditions treat the numbers of variables and of literals alike", (t) => {
  for (const [when, values, expected] of CONDITIONS) t.equal(compile(when, "lamp.on()", values).holds(), expected, when);
  t.end();
});

t.test("a condition whose values do not fit throws, and works again when they do", (t) => {
  const rule = compile("battery_v < 11", "lamp.on()", { battery_v: "low" });
  t.throws(() => rule.holds(), { code: "ARGUMENT", message: "no such overload: dyn<string> < int" });
  rule.assign("battery_v", 10);
  t.equal(rule.holds(), true);
  t.throws(() => compile("x", "lamp.on()", { x: 3 }).holds(), { message: "the condition is 3; true or false is expected" });
  t.throws(() => compile("min(scan) < 1", "lamp.on()", { scan: [] }).holds(), { message: "a list of at least one number is expected" });
  t.throws(() => compile("abs(x) < 1", "lamp.on()", { x: "far" }).holds(), { message: 'a number is expected, not "far"' });
  t.throws(() => compile("abs(x) < 1", "lamp.on()", { x: [1] }).holds(), { message: "a number is expected, not a list" });
  t.end();
});

t.test("arguments become the words of a command", (t) => {
  const words = (call: string, values: Record<string, VariableValue> = {}): readonly string[] => compile("true", call, values).callWords();
  t.strictSame(words("lamp.on()"), []);
  t.strictSame(words('lamp.beam("low", 3, 2.50, true, [1, 2.5], "größer")'), [
    "low",
    "3",
    "2.5",
    "true",
    "[1,2.5]",
    "gr\u00c3\u00b6\u00c3\u009fer",
  ]);
  t.strictSame(words("pan.to(clamp(pan_angle * 2, -90, 90), mode)", { pan_angle: 60, mode: "fast" }), ["90", "fast"]);
  t.throws(() => words("pan.to(1.0 / x)", { x: 0 }), { code: "ARGUMENT", message: /^argument 1 of the call is Infinity; a finite number/ });
  const constant = compile("true", 'lamp.beam("low")');
  t.equal(constant.callWords(), constant.callWords(), "made once");
  t.end();
});

const MISTAKES: readonly (readonly [string, string, readonly RuleProblem[]])[] = [
  ["battery_v <", "lamp.on()", [{ field: "when", offset: 11, message: "unexpected token: EOF" }]],
  ["x = 3", "lamp.on()", [{ field: "when", offset: 2, message: "unexpected character: =" }]],
  ["1 + 2", "lamp.on()", [{ field: "when", offset: 0, message: "a condition is true or false, this is int" }]],
  ['x && "a"', "lamp.on()", [{ field: "when", offset: 0, message: "logical operator requires bool operands, got 'string'" }]],
  ['x > 1 && "a" < 3', "lamp.on()", [{ field: "when", offset: 9, message: "no such overload: string < int" }]],
  [
    "lights && lights.on",
    "lamp.on()",
    [{ field: "when", offset: 0, message: "lights is read both by itself and as a device with values" }],
  ],
  ["true", "lamp", [{ field: "call", offset: 0, message: 'a call is device.function(arguments), for example lamp.beam("low")' }]],
  [
    "true",
    "lamp.beam(1][0)",
    [{ field: "call", offset: 0, message: 'a call is device.function(arguments), for example lamp.beam("low")' }],
  ],
  ["true", " lamp.beam( 1 +)", [{ field: "call", offset: 15, message: "unexpected token: RBRACKET" }]],
  ["true", "lamp.beam(1 / 0)", [{ field: "call", offset: 9, message: "division by zero" }]],
  [
    "foo(x)",
    "lamp.beam(bar(x))",
    [
      { field: "when", offset: 0, message: "found no matching overload for 'foo(dyn)'" },
      { field: "call", offset: 10, message: "found no matching overload for 'bar(dyn)'" },
    ],
  ],
];

t.test("every mistake is found when the rule is loaded, with its place in the expression", (t) => {
  for (const [when, call, expected] of MISTAKES) t.strictSame(problems(when, call), expected, `${when} | ${call}`);
  t.throws(() => compileRule("low-beam", { when: "battery_v <", call: "lamp.on()", priority: 10 }), {
    code: "ARGUMENT",
    message: "rule low-beam: when, character 12: unexpected token: EOF",
  });
  t.end();
});

t.test("expressions reach nothing but their variables", (t) => {
  t.match(problems("__proto__ == 1"), [{ message: "reserved identifier: __proto__" }]);
  for (const when of ["x.constructor == 1", "constructor == 1", 'x["constructor"] == 1']) {
    const rule = compile(when);
    t.throws(() => rule.holds(), { code: "ARGUMENT" }, when);
  }
  t.end();
});
