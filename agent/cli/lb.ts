import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";

import { AgentError } from "../contract/errors.ts";
import { parseNodeList, readNodeList, type NodeList } from "../fleet/conf.ts";
import { drawDistribution, type Distribution } from "../fleet/distribution.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText } from "./print.ts";
import type { CliIo } from "./io.ts";

export interface LbOptions {
  readonly requests?: number;
  readonly seed?: number;
  /** With commas between them; a name that stands there twice is drawn twice as often. */
  readonly nodes?: string;
  /** A virgo_client.conf. */
  readonly conf?: string;
  readonly json?: boolean;
}

const DEFAULT_REQUESTS = 1000;
const MAX_REQUESTS = 100_000_000;
const MAX_SEED = 0xffff_ffff;
const DEFAULT_CONF = "/etc/virgo_client.conf";

/** `virgo lb`: how the balancer `prg` spreads requests over a list of nodes, beside what one should expect. Asks nobody. */
export function lbCommand(options: LbOptions, io: CliIo): number {
  const { requests = DEFAULT_REQUESTS, seed = randomInt(0x1_0000_0000) } = options;
  if (requests < 1 || requests > MAX_REQUESTS)
    throw new AgentError("ARGUMENT", `--requests is ${requests}; 1 to ${MAX_REQUESTS} are drawn`);
  if (seed > MAX_SEED) throw new AgentError("ARGUMENT", `--seed is ${seed}; 0 to ${MAX_SEED} is expected`);
  const { entries, notes } = nodeList(options);
  if (entries.length === 0) throw new AgentError("ARGUMENT", "the list of nodes is empty");
  const drawn = drawDistribution(
    entries.map(({ text }) => text),
    requests,
    seed,
  );
  io.out(options.json === true ? jsonText({ ...drawn, published: drawn.published ?? null, notes }) : distributionText(drawn, notes));
  return EXIT.ok;
}

function nodeList({ nodes, conf }: LbOptions): NodeList {
  if (nodes !== undefined && conf !== undefined) throw new AgentError("ARGUMENT", "either --nodes or --conf, not both");
  // Names of nodes say as much as addresses here.
  if (nodes !== undefined) return { entries: parseNodeList(nodes).entries, notes: [] };
  if (conf === undefined && !existsSync(DEFAULT_CONF)) {
    throw new AgentError("ARGUMENT", `there is no ${DEFAULT_CONF}; name a list with --conf FILE, or nodes with --nodes a,b,c`);
  }
  try {
    return readNodeList(conf ?? DEFAULT_CONF);
  } catch (thrown) {
    // Nothing was sent: the command line names what cannot be used.
    if (thrown instanceof AgentError) throw new AgentError("ARGUMENT", thrown.message, { cause: thrown });
    throw thrown;
  }
}

function distributionText(drawn: Distribution, notes: readonly string[]): string {
  const { entries, requests, seed, nodes, expectedPerEntry, published } = drawn;
  const rows = nodes.map(({ node, weight, drawn: count, expected }) => [
    node,
    String(weight),
    String(count),
    `${((100 * count) / requests).toFixed(1)} %`,
    expected.toFixed(2),
  ]);
  const lines = [
    `${requests} requests, ${entries} ${entries === 1 ? "entry" : "entries"}, seed ${seed}`,
    "",
    tableText(["NODE", "ENTRIES", "DRAWN", "SHARE", "EXPECTED"], rows),
    `A uniform draw sends k/N = ${expectedPerEntry.toFixed(2)} requests to each entry (k=${requests}, N=${entries}).`,
    published === undefined
      ? "The original's published formula divides by zero for one entry."
      : `The original's published formula gives ${published.toFixed(4)}; that is not the expectation of a uniform draw.`,
    ...notes.map((note) => `Note: ${note}.`),
  ];
  return `${lines.join("\n")}\n`;
}
