import { AgentError } from "../../contract/errors.ts";
import type { ByteString } from "../../contract/request.ts";
import { ttlMs, wordsOf, type Words } from "./arguments.ts";
import { wholeNumber } from "./integer.ts";
import type { Clock } from "../../contract/clock.ts";

/** What follows the value of SET. */
export interface SetOptions {
  /** NX: only a key that is not there; XX: only one that is. */
  condition?: "NX" | "XX";
  /** IFREV: only when the key has this revision; 0: when it is not there. */
  ifRevision?: number;
  /** When it expires, monotonic milliseconds; "keep": when the value before would have. */
  deadlineMs?: number | "keep";
  /** GET: answer the value before; REV: answer the new revision. */
  answer?: "GET" | "REV";
}

export const SET_USAGE = "key value [NX|XX|IFREV revision] [GET|REV] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]";

export function parseSetOptions(args: readonly ByteString[], clock: Clock): SetOptions {
  const options: SetOptions = {};
  const words = wordsOf("SET", args, 2, SET_USAGE);
  for (let word = words.next(); word !== undefined; word = words.next()) takeWord(options, word, words, clock);
  if (options.condition !== undefined && options.ifRevision !== undefined) throw conflict("NX, XX and IFREV");
  return options;
}

function takeWord(options: SetOptions, word: string, words: Words, clock: Clock): void {
  switch (word) {
    case "NX":
    case "XX":
      if (options.condition !== undefined && options.condition !== word) throw conflict("NX and XX");
      options.condition = word;
      return;
    case "IFREV":
      options.ifRevision = wholeNumber(words.value(), "SET: the revision after IFREV", 0, Number.MAX_SAFE_INTEGER);
      return;
    case "GET":
    case "REV":
      if (options.answer !== undefined && options.answer !== word) throw conflict("GET and REV");
      options.answer = word;
      return;
    default:
      if (options.deadlineMs !== undefined) throw conflict("EX, PX, EXAT, PXAT and KEEPTTL");
      options.deadlineMs = deadline(word, words, clock);
  }
}

function deadline(word: string, words: Words, clock: Clock): number | "keep" {
  const nowMs = clock.monotonicMs();
  switch (word) {
    case "KEEPTTL":
      return "keep";
    case "EX":
      return nowMs + ttlMs("SET", words.value(), 1000);
    case "PX":
      return nowMs + ttlMs("SET", words.value(), 1);
    case "EXAT":
      return nowMs + ttlMs("SET", words.value(), 1000) - clock.wallMs();
    case "PXAT":
      return nowMs + ttlMs("SET", words.value(), 1) - clock.wallMs();
    default:
      return words.unknown();
  }
}

function conflict(words: string): AgentError {
  return new AgentError("ARGUMENT", `SET: ${words} exclude each other (${SET_USAGE})`);
}
