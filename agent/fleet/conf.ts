import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";

import { AgentError, messageOf } from "../contract/errors.ts";
import { parseTarget } from "./target.ts";

/** One entry of a virgo_client.conf. The same address may stand there several times: that is how the original weighs nodes. */
export interface NodeEntry {
  /** As it stands in the file: `192.168.2.80`, or with our extension `garage.local:6390`. */
  readonly text: string;
  readonly host: string;
  /** Undefined for an address alone: every service has its own well-known port then. */
  readonly port: number | undefined;
}

export interface NodeList {
  readonly entries: readonly NodeEntry[];
  /** What an original node would read differently, one sentence each. */
  readonly notes: readonly string[];
}

/** The original reads this much of the file and no more. */
const ORIGINAL_BYTES = 256;

/**
 * Reads the text of a virgo_client.conf or virgo_cloud.conf: addresses with commas or line breaks between them, blanks around are ignored, and so is what is empty.
 * Throws ARGUMENT for what is no address, naming it.
 */
export function parseNodeList(text: string): NodeList {
  const entries = text
    .split(/[,\r\n]/)
    .map((token) => token.trim())
    .filter((token) => token !== "")
    .map(entryOf);
  const notes: string[] = [];
  const extended = entries.filter(({ host, port }) => port !== undefined || !isIPv4(host));
  if (extended.length > 0) {
    notes.push(`the original reads IPv4 addresses without ports only; ${extended.map((entry) => entry.text).join(", ")} it would not find`);
  }
  if (Buffer.byteLength(text) > ORIGINAL_BYTES) {
    notes.push(`the original reads ${ORIGINAL_BYTES} bytes of the file only; it has ${Buffer.byteLength(text)}`);
  }
  return { entries, notes };
}

/** The same from a file. Throws IO when it cannot be read, ARGUMENT naming the file and the entry that is no address. */
export function readNodeList(file: string): NodeList {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (thrown) {
    throw new AgentError("IO", `cannot read the list of nodes: ${messageOf(thrown)}`, { cause: thrown });
  }
  try {
    return parseNodeList(text);
  } catch (thrown) {
    throw new AgentError("ARGUMENT", `${file}: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** How often each entry stands there, in the order of first appearance. */
export function weightsOf(entries: readonly NodeEntry[]): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const { text } of entries) weights.set(text, (weights.get(text) ?? 0) + 1);
  return weights;
}

function entryOf(text: string): NodeEntry {
  const target = parseTarget(text);
  if ("path" in target) throw new AgentError("ARGUMENT", `${JSON.stringify(text)} is a path; a node is an IPv4 address, or host:port`);
  return { text, host: target.host, port: /:\d+$/.test(text) ? target.port : undefined };
}
