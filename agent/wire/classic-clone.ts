import { AgentError } from "../contract/errors.ts";
import { bytesOf, textOf } from "../contract/request.ts";
import { plainOf, type Value } from "../contract/value.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";
import type { ClassicGrammar } from "./classic.ts";

/** What virgo_clone has always answered, whatever came of the request: 125 bytes, the line feed included. */
export const CLONE_ACKNOWLEDGEMENT =
  "virgo_cloudexec_sendto(): cloudclonethread executed for clone_func(), sending message to virgo_clone() remote syscall client\n";

/** A bare token: `args` are the mode asked for (`0`, `1`, `2`, or empty) and the token. Always acknowledged, unless it names nothing. */
export const CLONE_TOKEN = "CLONE.TOKEN";

/** The call form `name(a, b)`: `args` are the name and the arguments. Answered with what came of it. */
export const CLONE_CALL = "CLONE.CALL";

const SPACE = 0x20;
const BACKSLASH = 0x5c;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const OPEN = 0x28;
const CLOSE = 0x29;

/**
 * Port 10000. `lamp.on` and, with its mode said, `1:/usr/bin/true` are tokens and end at a space; `lamp.beam("low")` and
 * `lamp.brightness( 50 )` are calls, in whose parentheses spaces are kept. Arguments of a call: numbers, true, false and null stand for their text,
 * text may be in quotes (`"…"` as in JSON, `'…'` as it is) and needs them when it holds a comma.
 */
export const cloneGrammar: ClassicGrammar = {
  createDelimiter: createSpaceOutsideParentheses,
  request: cloneRequest,
  payload: clonePayload,
};

function createSpaceOutsideParentheses(): (byte: number) => boolean {
  let depth = 0;
  let quote = 0;
  let escaped = false;

  function insideQuotes(byte: number): void {
    if (escaped) escaped = false;
    else if (byte === BACKSLASH && quote === DOUBLE_QUOTE) escaped = true;
    else if (byte === quote) quote = 0;
  }

  return (byte) => {
    if (quote !== 0) insideQuotes(byte);
    else if (depth > 0 && (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE)) quote = byte;
    else if (byte === OPEN) depth += 1;
    else if (byte === CLOSE) depth = Math.max(0, depth - 1);
    else return byte === SPACE && depth === 0;
    return false;
  };
}

function cloneRequest(text: ByteString): Request {
  const mode = /^([012]):/.exec(text)?.[1];
  if (mode !== undefined) return { verb: CLONE_TOKEN, args: [mode, text.slice(2)] };
  const open = text.indexOf("(");
  // A path or a mangled name may hold a parenthesis; only what looks like a call is one.
  if (open < 0 || text.startsWith("/")) return { verb: CLONE_TOKEN, args: ["", text] };
  const name = text.slice(0, open);
  if (name === "") throw new AgentError("SYNTAX", `a call starts with the name of a function, not with ( as in ${quoted(text)}`);
  if (!text.endsWith(")")) throw new AgentError("SYNTAX", `the call ${quoted(text)} must end with )`);
  return { verb: CLONE_CALL, args: [name, ...splitArguments(name, text.slice(open + 1, -1))] };
}

/** The arguments between the parentheses. */
function splitArguments(name: string, text: ByteString): ByteString[] {
  const args: ByteString[] = [];
  if (text.trim() === "") return args;
  for (let at = 0; at <= text.length;) {
    const { raw, end } = readArgument(name, text, at);
    if (raw === "") throw new AgentError("SYNTAX", `argument ${args.length + 1} of ${quoted(name)} is empty; empty text is written ""`);
    args.push(unquoted(name, raw));
    at = end + 1;
  }
  return args;
}

/** From `start` to the next comma outside quotes. */
function readArgument(name: string, text: ByteString, start: number): { readonly raw: ByteString; readonly end: number } {
  let quote = 0;
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (quote !== 0) {
      if (code === BACKSLASH && quote === DOUBLE_QUOTE) at++;
      else if (code === quote) quote = 0;
    } else if (code === DOUBLE_QUOTE || code === SINGLE_QUOTE) {
      quote = code;
    } else if (text.charAt(at) === ",") {
      break;
    }
  }
  if (quote !== 0) throw new AgentError("SYNTAX", `a quote in the arguments of ${quoted(name)} is not closed`);
  return { raw: text.slice(start, at).trim(), end: at };
}

function unquoted(name: string, raw: ByteString): ByteString {
  if (raw.startsWith("'") && raw.endsWith("'")) return raw.slice(1, -1);
  if (!raw.startsWith('"')) return raw;
  try {
    return bytesOf(String(JSON.parse(textOf(raw))));
  } catch (thrown) {
    throw new AgentError("SYNTAX", `${quoted(raw)} in the arguments of ${quoted(name)} is not text in quotes as JSON has it`, {
      cause: thrown,
    });
  }
}

/** How an error shows what came. */
function quoted(text: ByteString): string {
  return JSON.stringify(textOf(text.length > 40 ? `${text.slice(0, 40)}...` : text));
}

function clonePayload(reply: Reply, request: Request | undefined): ByteString {
  if (request?.verb === CLONE_TOKEN) {
    const namesNothing = reply.kind === "error" && reply.error.code === "UNKNOWN" && request.args[1] !== "";
    if (!namesNothing) return CLONE_ACKNOWLEDGEMENT;
  }
  if (reply.kind === "error") return bytesOf(`ERR ${reply.error.code} ${oneLine(reply.error.message)}`);
  return bytesOf(`OK ${reply.kind === "status" ? JSON.stringify(reply.text) : jsonOf(reply.value)}`);
}

/** Line breaks would make two lines of it, a NUL would end it. */
function oneLine(text: string): string {
  return text.replaceAll(/[\s\0]+/g, " ");
}

function jsonOf(value: Value): string {
  return JSON.stringify(plainOf(value));
}
