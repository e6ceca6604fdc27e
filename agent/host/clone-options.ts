import { AgentError } from "../contract/errors.ts";
import type { ByteString } from "../contract/request.ts";

/** What stands before the function in a CLONE. */
export interface CloneOptions {
  node: string | undefined;
  leaseMs: number | undefined;
  deadlineMs: number | undefined;
  priority: number | undefined;
  seq: number | undefined;
  token: string | undefined;
  /** Index of the function. */
  at: number;
}

const NUMERIC_OPTIONS: ReadonlyMap<
  string,
  { readonly key: "leaseMs" | "deadlineMs" | "priority" | "seq"; readonly min: number; readonly max: number }
> = new Map([
  ["LEASE", { key: "leaseMs", min: 1, max: Number.MAX_SAFE_INTEGER }],
  ["DEADLINE", { key: "deadlineMs", min: 1, max: 600_000 }],
  ["PRIORITY", { key: "priority", min: 0, max: 255 }],
  ["SEQ", { key: "seq", min: 0, max: Number.MAX_SAFE_INTEGER }],
]);

/** Reads `[NODE id] [LEASE ms] [DEADLINE ms] [PRIORITY n] [SEQ n] [TOKEN token]` in any order. Throws ARGUMENT naming the option, the value and the range. */
export function parseCloneOptions(args: readonly ByteString[]): CloneOptions {
  const options: CloneOptions = {
    node: undefined,
    leaseMs: undefined,
    deadlineMs: undefined,
    priority: undefined,
    seq: undefined,
    token: undefined,
    at: 0,
  };
  for (;;) {
    const word = args[options.at]?.toUpperCase() ?? "";
    const numeric = NUMERIC_OPTIONS.get(word);
    if (numeric === undefined && word !== "NODE" && word !== "TOKEN") return options;
    const text = args[options.at + 1];
    if (text === undefined) throw new AgentError("ARGUMENT", `${word} needs a value`);
    if (word === "TOKEN") options.token = text;
    else if (numeric === undefined) options.node = text;
    else {
      const number = Number(text);
      if (!/^\d{1,16}$/.test(text) || number < numeric.min || number > numeric.max) {
        throw new AgentError("ARGUMENT", `${word} is ${text}; a whole number from ${numeric.min} to ${numeric.max} is expected`);
      }
      options[numeric.key] = number;
    }
    options.at += 2;
  }
}
