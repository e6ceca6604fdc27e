import t from "tap";
import { z } from "zod";

import { defineFunction } from "../../agent/contract/device.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { bytesOf } from "../../agent/contract/request.ts";
import { createBinder } from "../../agent/host/arguments.ts";

const turn = defineFunction({
  summary: "turn",
  params: z.object({
    angleDeg: z.number().min(-90).max(90),
    how: z.enum(["slow", "fast"]).default("slow"),
    hold: z.boolean().optional(),
    label: z.string().max(5).optional(),
    path: z.array(z.number()).optional(),
  }),
  effect: "actuate",
  call: () => null,
});
const bind = createBinder(turn, "pan.turn");

t.test("words become named arguments of the declared types, defaults filled in", (t) => {
  t.same(bind(["30"], 0), { angleDeg: 30, how: "slow" });
  t.same(bind(["CLONE", "-4.5e1", "fast", "on", bytesOf("höhe"), "[1,2]"], 1), {
    angleDeg: -45,
    how: "fast",
    hold: true,
    label: "höhe",
    path: [1, 2],
  });
  t.same(bind(["1", "slow", "FALSE"], 0)["hold"], false);
  t.end();
});

t.test("what does not fit is refused with the parameter, the value and what is expected", (t) => {
  for (const [words, message] of [
    [[], "pan.turn: angleDeg is missing"],
    [["91"], "pan.turn: angleDeg is 91; 90 or less is expected"],
    [["-90.5"], "pan.turn: angleDeg is -90.5; -90 or more is expected"],
    [["left"], 'pan.turn: angleDeg is "left"; number is expected'],
    [[""], 'pan.turn: angleDeg is ""; number is expected'],
    [["NaN"], 'pan.turn: angleDeg is "NaN"; number is expected'],
    [["0", "quick"], 'pan.turn: how is "quick"; one of "slow", "fast" is expected'],
    [["0", "slow", "maybe"], 'pan.turn: hold is "maybe"; boolean is expected'],
    [["0", "slow", "on", "x", "[1,"], 'pan.turn: path is "[1,"; array is expected'],
    [["0", "slow", "on", "x", "[1]", "more"], "pan.turn takes 5 arguments (angleDeg, how, hold, label, path), got 6"],
  ] as const) {
    t.throws(() => bind(words, 0), new AgentError("ARGUMENT", message));
  }
  t.throws(() => bind(["Infinity"], 0), { code: "ARGUMENT" });
  t.throws(() => bind(["0", "slow", "on", "longer than five"], 0), { code: "ARGUMENT", message: /label is "longer than five"/ });
  t.end();
});

t.test("a function without parameters takes none", (t) => {
  const off = createBinder(defineFunction({ summary: "off", params: z.object({}), effect: "actuate", call: () => null }), "lamp.off");
  t.same(off(["lamp.off"], 1), {});
  t.throws(() => off(["lamp.off", "now"], 1), new AgentError("ARGUMENT", "lamp.off takes no arguments, got 1"));
  t.end();
});
