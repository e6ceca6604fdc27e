import { AgentError } from "../contract/errors.ts";
import { textOf } from "../contract/request.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";
import type { ClassicGrammar } from "./classic.ts";

/** An edge: `args` are where from and where to. */
export const EVENTNET_EDGE = "EVENTNET.EDGE";

/** A vertex: `args` are its id, its partakers, and its conversations, the names of each with commas between them. */
export const EVENTNET_VERTEX = "EVENTNET.VERTEX";

/** What every message is answered that is on disk. */
export const EVENTNET_UPDATED = "EventNet updated";

/**
 * Port 20000. Messages are `eventnet_edgemsg#from#to#`, with the documented id before (`#id#from#to#`) when there are exactly three fields, and
 * `eventnet_vertexmsg#id#partaker#partaker#` or, as the documents have it, `eventnet_vertextmsg#id-partaker,partaker-(a,b)#(c,d)`. The `#` at the end may
 * be missing; spaces are kept. What is no such message, and what cannot be kept, is answered with an empty payload: the original has no errors.
 */
export const eventsGrammar: ClassicGrammar = {
  createDelimiter: () => () => false,
  request: eventRequest,
  payload: (reply: Reply): ByteString => (reply.kind === "error" ? "" : EVENTNET_UPDATED),
};

const MESSAGE = /^ *(eventnet_(?:edge|vertex|vertext)msg)([#-])(.*)$/s;

function eventRequest(text: ByteString): Request {
  const [, keyword, separator = "#", body = ""] = MESSAGE.exec(text) ?? [];
  if (keyword === undefined) throw malformed(text, "it starts neither eventnet_edgemsg# nor eventnet_vertexmsg#");
  if (keyword === "eventnet_edgemsg") return { verb: EVENTNET_EDGE, args: edgeArgs(text, fieldsOf(body, separator)) };
  return { verb: EVENTNET_VERTEX, args: vertexArgs(text, body, separator) };
}

/** The fields up to the last that is not empty; by `-` when that follows the keyword, or when nothing is separated by `#`. */
function fieldsOf(body: ByteString, separator: string): readonly ByteString[] {
  const fields = withoutEmptyEnd(body.split(separator));
  return fields.length < 2 && separator === "#" ? withoutEmptyEnd((fields[0] ?? "").split("-")) : fields;
}

function withoutEmptyEnd(fields: readonly ByteString[]): readonly ByteString[] {
  const last = fields.findLastIndex((field) => !isBlank(field));
  return fields.slice(0, last + 1);
}

function edgeArgs(text: ByteString, fields: readonly ByteString[]): readonly ByteString[] {
  const [from, to] = fields.length === 3 ? fields.slice(1) : fields;
  if (from === undefined || to === undefined || isBlank(from) || isBlank(to)) throw malformed(text, "an edge has two events");
  return [from, to];
}

/** Id, partakers, conversations: the documented form. */
const DOCUMENTED = /^([^-#]*)-([^-]*)(?:-(.*))?$/s;

function vertexArgs(text: ByteString, body: ByteString, separator: string): readonly ByteString[] {
  const fields = withoutEmptyEnd(body.split("#"));
  const documented = DOCUMENTED.exec(body);
  if (documented !== null && (separator === "-" || isDocumented(documented, fields.length))) {
    const [, id = "", partakers = "", conversations = ""] = documented;
    if (conversations.includes("(")) return checkedVertex(text, id, partakers, groupsOf(conversations));
    // Without parentheses these are names too: 7-11-12, or 7-11,12-11,12.
    const names = new Set(`${partakers},${conversations.replaceAll(/[-#]/g, ",")}`.split(","));
    return checkedVertex(text, id, [...names].join(","), []);
  }
  const [id = "", first = "", second = "", ...others] = fields;
  // The documents also have the partakers in one field and the conversations in those that follow.
  if (second.includes("(")) return checkedVertex(text, id, first, groupsOf([second, ...others].join("#")));
  return checkedVertex(text, id, isBlank(second) ? first : `${first},${second}`, []);
}

/** Whether dashes separate and are no part of names: the id is a number, a conversation follows, or there is nothing else that separates. */
function isDocumented([, id = "", , conversations = ""]: RegExpExecArray, fields: number): boolean {
  return /^ *\d+ *$/.test(id) || /^ *\(/.test(conversations) || fields < 2;
}

function checkedVertex(text: ByteString, id: ByteString, names: ByteString, groups: readonly ByteString[]): readonly ByteString[] {
  const partakers = filled(names);
  if (isBlank(id) || partakers === "") throw malformed(text, "a vertex has an id and who takes part");
  return [id, partakers, ...(groups.length === 0 ? [partakers] : groups)];
}

/** The names of every `(…)`. */
function groupsOf(text: ByteString): readonly ByteString[] {
  return [...text.matchAll(/\(([^()]*)\)/g)].map(([, names = ""]) => filled(names)).filter((names) => names !== "");
}

/** The names that are not empty. */
function filled(names: ByteString): ByteString {
  return names
    .split(",")
    .filter((name) => !isBlank(name))
    .join(",");
}

function isBlank(text: ByteString): boolean {
  return /^ *$/.test(text);
}

function malformed(text: ByteString, why: string): AgentError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return new AgentError("SYNTAX", `${JSON.stringify(textOf(shown))} is no message of EventNet: ${why}`);
}
