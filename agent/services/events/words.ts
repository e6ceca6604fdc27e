import { AgentError } from "../../contract/errors.ts";
import { textOf, type ByteString } from "../../contract/request.ts";

/**
 * Words with whole numbers behind them, in any order and case: `FROM 0 COUNT 100`. `most` names the words and says how great their numbers may be.
 * Throws ARGUMENT for anything else.
 */
export function readWords<W extends string>(
  verb: string,
  args: readonly ByteString[],
  most: Readonly<Record<W, number>>,
): Partial<Record<W, number>> {
  const read: Partial<Record<W, number>> = {};
  for (let at = 0; at < args.length; at += 2) {
    const word = (args[at] as string).toUpperCase();
    if (!isWord(word, most)) {
      throw new AgentError("ARGUMENT", `${verb} knows ${Object.keys(most).join(" and ")}, not ${textOf(args[at] as string)}`);
    }
    const digits = args[at + 1] ?? "";
    const number = /^\d{1,16}$/.test(digits) ? Number(digits) : Infinity;
    if (number > most[word]) {
      throw new AgentError(
        "ARGUMENT",
        `${verb} ${word} takes a whole number up to ${most[word]}, got ${digits === "" ? "nothing" : textOf(digits)}`,
      );
    }
    read[word] = number;
  }
  return read;
}

function isWord<W extends string>(word: string, most: Readonly<Record<W, number>>): word is W {
  return Object.hasOwn(most, word);
}
