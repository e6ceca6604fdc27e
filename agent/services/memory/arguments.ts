import { AgentError } from "../../contract/errors.ts";
import { refusal } from "../../contract/request.ts";
import type { ByteString, Caller } from "../../contract/request.ts";
import { shown, wholeNumber } from "./integer.ts";

/** Longer than anybody means: a hundred years. */
const MAX_TTL_MS = 100 * 365.25 * 86_400_000;

/** Throws ARGUMENT unless there are that many. */
export function expectArgs(verb: string, args: readonly ByteString[], least: number, most = least): void {
  if (args.length < least || args.length > most) throw wrongCount(verb, args, least, most);
}

/** What to say about too few or too many arguments. */
export function wrongCount(verb: string, args: readonly ByteString[], least: number, most = least): AgentError {
  let range = `${least} to ${most}`;
  if (least === most) range = String(least);
  else if (most === Infinity) range = `at least ${least}`;
  return new AgentError("ARGUMENT", `${verb} takes ${range} argument${range.endsWith("1") ? "" : "s"}, not ${args.length}`);
}

/** Throws DENIED when the caller may not touch what is called that. */
export function permit(caller: Caller, name: ByteString): void {
  if (caller.permits === undefined) return;
  const refused = refusal(caller, "memory", name);
  if (refused !== undefined) throw refused;
}

/** The words after the positional arguments, one by one. */
export interface Words {
  /** The next word in upper case; undefined at the end. */
  next(): string | undefined;
  /** What must follow the word that was read. Throws ARGUMENT when nothing does. */
  value(): ByteString;
  /** Throws ARGUMENT for the word that was read. */
  unknown(): never;
}

export function wordsOf(verb: string, args: readonly ByteString[], from: number, usage: string): Words {
  let at = from;
  return {
    next: () => args[at++]?.toUpperCase(),
    value() {
      const value = args[at++];
      if (value === undefined) throw new AgentError("ARGUMENT", `${verb}: something must follow ${shown(args.at(-1) ?? "")} (${usage})`);
      return value;
    },
    unknown() {
      throw new AgentError("ARGUMENT", `${verb}: ${shown(args[at - 1] ?? "")} is not understood there (${usage})`);
    },
  };
}

/** A time to live in milliseconds, given in `unitMs`. */
export function ttlMs(verb: string, text: ByteString, unitMs: number): number {
  return wholeNumber(text, `${verb}: the time to live`, 1, MAX_TTL_MS / unitMs) * unitMs;
}

/** A time to live that may be over already. */
export function anyTtlMs(verb: string, text: ByteString, unitMs: number): number {
  return wholeNumber(text, `${verb}: the time to live`, -MAX_TTL_MS / unitMs, MAX_TTL_MS / unitMs) * unitMs;
}
