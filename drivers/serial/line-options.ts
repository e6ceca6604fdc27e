import { z } from "zod";

import { groupNames, linePattern } from "./line-patterns.ts";
import { serialOptionsShape } from "../../agent/contract/serial.ts";

const NAME = /^[a-z][a-z0-9_]{0,31}$/;

const nameSchema = z.string().regex(NAME, { error: "up to 32 small letters, digits and _" });

const patternSchema = z
  .string()
  .min(1)
  .check(({ value, issues }) => {
    try {
      linePattern(value);
    } catch (thrown) {
      if (!(thrown instanceof Error)) throw thrown;
      issues.push({ code: "custom", path: [], message: `this pattern is not possible: ${thrown.message}`, input: value });
    }
  })
  .describe("regular expression for a whole line; its named groups are the values");

/** What is sent, without its end of line. */
const textSchema = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x20-\x7e]+$/, { error: "characters that print, without an end of line" });

const numberSchema = z.number().min(-1e15).max(1e15);
const rangeSchema = z
  .tuple([numberSchema, numberSchema])
  .refine(([lowest, highest]) => lowest <= highest, { error: "the lowest comes first" });

const valueSchema = z.strictObject({
  type: z.enum(["number", "text"]).default("number"),
  scale: numberSchema.default(1).describe("value = number × scale"),
  unit: z.string().max(20).default("").describe("unit of the value, for people"),
  range: rangeSchema.optional().describe("lowest and highest value; others are not published"),
  freshMs: z.int().min(10).max(3_600_000).default(10_000).describe("how long one may be relied on, milliseconds"),
});

const paramSchema = z.union([
  z.strictObject({
    range: rangeSchema.describe("lowest and highest value"),
    decimals: z.int().min(0).max(9).default(0).describe("digits behind the point"),
    unit: z.string().max(20).default(""),
  }),
  z.strictObject({ oneOf: z.array(textSchema).min(1).max(64).describe("the words that are possible") }),
]);

const commandSchema = z
  .strictObject({
    send: textSchema.describe("what is sent; {name} stands for a parameter"),
    effect: z.enum(["read", "actuate"]).describe("actuate: it changes or moves something"),
    params: z.record(nameSchema, paramSchema).default({}),
    reply: patternSchema.optional().describe("the line that answers; without it nothing is waited for"),
    pollMs: z.int().min(0).max(3_600_000).default(0).describe("sent by itself so often, milliseconds; 0: only when called"),
  })
  .check(({ value, issues }) => {
    const named = [...value.send.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
    const declared = Object.keys(value.params);
    const wrong = [...named.filter((name) => !declared.includes(name)), ...declared.filter((name) => !named.includes(name))];
    if (wrong.length > 0) {
      issues.push({
        code: "custom",
        path: ["send"],
        message: `${wrong.join(", ")}: in send or in params only; both belong together`,
        input: value,
      });
    }
    if (value.pollMs > 0 && (value.effect !== "read" || declared.length > 0)) {
      issues.push({ code: "custom", path: ["pollMs"], message: "only what reads, without parameters, is sent by itself", input: value });
    }
  });

const TERMINATORS = { lf: "\n", cr: "\r", crlf: "\r\n" } as const;

export const lineOptionsSchema = z
  .strictObject({
    ...serialOptionsShape(9600),
    endOfLine: z
      .enum(["lf", "cr", "crlf"])
      .default("lf")
      .transform((word) => TERMINATORS[word])
      .describe("what ends a line that is sent; received ones end with any"),
    encoding: z
      .enum(["ascii", "latin1", "utf8"])
      .default("ascii")
      .describe("of what is received; ascii: a line with other bytes is garbage"),
    maxLineBytes: z.int().min(16).max(256).default(128).describe("bytes of one line; a longer one is garbage"),
    timeoutMs: z.int().min(10).max(60_000).default(1000).describe("time for a reply, milliseconds"),
    lines: z.array(patternSchema).max(32).default([]).describe("lines the instrument sends by itself"),
    values: z.record(nameSchema, valueSchema).default({}).describe("by the names of the patterns' groups"),
    commands: z.record(nameSchema, commandSchema).default({}).describe("functions by name"),
    safe: z
      .array(textSchema)
      .max(16)
      .optional()
      .describe("lines that make the instrument safe, sent whenever the port opens too; none: it moves nothing"),
  })
  .check(({ value, issues }) => {
    const patterns = [...value.lines, ...Object.values(value.commands).flatMap(({ reply }) => reply ?? [])];
    const unknown = [...new Set(patterns.flatMap(groupNames))].filter((name) => value.values[name] === undefined);
    if (unknown.length > 0) {
      issues.push({ code: "custom", path: ["values"], message: `say what these groups are: ${unknown.join(", ")}`, input: value });
    }
    const actuates = Object.values(value.commands).some(({ effect }) => effect === "actuate");
    if (actuates && value.safe === undefined) {
      issues.push({
        code: "custom",
        path: ["safe"],
        message: "commands that actuate need lines that make safe; [] when nothing moves",
        input: value,
      });
    }
    if (value.commands["status"] !== undefined) {
      issues.push({
        code: "custom",
        path: ["commands", "status"],
        message: "the device has a function status of its own; take another name",
        input: value,
      });
    }
  });

export type LineOptions = z.output<typeof lineOptionsSchema>;
export type LineCommand = LineOptions["commands"][string];
export type LineValue = LineOptions["values"][string];
