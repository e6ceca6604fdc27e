import { AgentError } from "../../contract/errors.ts";
import { textOf, type ByteString } from "../../contract/request.ts";

/** Bytes of a topic's name and of a correlation mark. */
const MAX_NAME_BYTES = 128;

const BLANK_OR_CONTROL = /[\s\p{Cc}]/u;

/** Reads what follows a verb's fixed words: names in any case, each with one word. Throws ARGUMENT, showing `usage`. */
export function readOptions<Name extends string>(
  args: readonly ByteString[],
  from: number,
  names: readonly Name[],
  usage: string,
): { readonly [name in Name]?: ByteString } {
  const options: { [name in Name]?: ByteString } = {};
  for (let i = from; i < args.length; i += 2) {
    const word = args[i] as ByteString;
    const upper = word.toUpperCase();
    const name = names.find((known) => known === upper);
    if (name === undefined) throw new AgentError("ARGUMENT", `${shown(word)} is not understood; ${usage}`);
    const value = args[i + 1];
    if (value === undefined) throw new AgentError("ARGUMENT", `${name} needs a word after it; ${usage}`);
    if (options[name] !== undefined) throw new AgentError("ARGUMENT", `${name} is said twice; ${usage}`);
    options[name] = value;
  }
  return options;
}

/** A whole number; `most` is that of a limit when `limit` names it. Throws ARGUMENT, or LIMIT beyond a limit. */
export function readNumber(what: string, word: ByteString, least: number, most: number, limit?: string): number {
  const value = /^\d{1,15}$/.test(word) ? Number(word) : -1;
  if (value > most && limit !== undefined)
    throw new AgentError("LIMIT", `${what} ${value} is refused; at most ${most} may be asked for (${limit})`);
  if (value < least || value > most) {
    throw new AgentError("ARGUMENT", `${what} is a whole number of ${least} to ${most}, not ${shown(word)}`);
  }
  return value;
}

/** Throws ARGUMENT for what is no id. */
export function readId(verb: string, word: ByteString): number {
  const id = /^[1-9]\d{0,15}$/.test(word) ? Number(word) : Number.NaN;
  if (Number.isSafeInteger(id)) return id;
  throw new AgentError("ARGUMENT", `${verb} takes the id of a message, a whole number, not ${shown(word)}`);
}

/** A topic or a mark: UTF-8 without blanks, at most 128 bytes. Throws ARGUMENT. */
export function readName(what: string, word: ByteString): ByteString {
  const text = textOf(word);
  if (word === "" || word.length > MAX_NAME_BYTES || BLANK_OR_CONTROL.test(text) || text.includes("\uFFFD")) {
    throw new AgentError("ARGUMENT", `${what} is 1 to ${MAX_NAME_BYTES} bytes of text without blanks, not ${shown(word)}`);
  }
  return word;
}

/** How an error shows a word. */
function shown(word: ByteString): string {
  const text = textOf(word.slice(0, 40));
  return JSON.stringify(word.length > 40 ? `${text}...` : text);
}
