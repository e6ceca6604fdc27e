import { AgentError } from "../contract/errors.ts";
import { bytesOf, textOf } from "../contract/request.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";
import type { ClassicGrammar } from "./classic.ts";

/** What the grammar makes of each command of the original; the arguments are those between the parentheses. */
const VERBS: ReadonlyMap<string, string> = new Map([
  ["virgo_cloud_malloc", "MEMORY.MALLOC"],
  ["virgo_cloud_set", "MEMORY.SET"],
  ["virgo_cloud_get", "MEMORY.GET"],
  ["virgo_cloud_free", "MEMORY.FREE"],
]);

export const MEMORY_CLASSIC_VERBS: readonly string[] = [...VERBS.values()];

const SPACE = 0x20;
const CLOSE = 0x29;

/** How much of a request an error shows. */
const SHOWN = 40;

/**
 * Port 30000: `virgo_cloud_malloc(100)`, `virgo_cloud_set(ffff88009d1efc28,data)`, `virgo_cloud_get(address)` and `virgo_cloud_free(address)`. A request ends
 * at the closing parenthesis or a space, so data holds neither. Quotes are skipped in numbers and addresses and kept in data. What cannot be done is
 * answered with an empty payload.
 */
export const memoryGrammar: ClassicGrammar = {
  createDelimiter: () => (byte) => byte === CLOSE || byte === SPACE,
  request: memoryRequest,
  payload: memoryPayload,
};

function memoryRequest(text: ByteString): Request {
  const open = text.indexOf("(");
  const verb = VERBS.get(open < 0 ? text : text.slice(0, open));
  if (verb === undefined || open < 0) {
    const shown = textOf(text.slice(0, SHOWN));
    throw new AgentError("SYNTAX", `${JSON.stringify(shown)} is none of ${[...VERBS.keys()].join(", ")}`);
  }
  const inside = text.slice(open + 1);
  if (verb !== "MEMORY.SET") return { verb, args: [inside.replaceAll('"', "")] };
  const comma = inside.indexOf(",");
  if (comma < 0) throw new AgentError("SYNTAX", "virgo_cloud_set takes an address, a comma and the data");
  return { verb, args: [inside.slice(0, comma).replaceAll('"', ""), inside.slice(comma + 1)] };
}

function memoryPayload(reply: Reply): ByteString {
  if (reply.kind !== "value") return "";
  const { value } = reply;
  if (typeof value === "string") return reply.raw === true ? value : bytesOf(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : "";
}
