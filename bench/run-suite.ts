import { parseArgs } from "node:util";

import { messageOf } from "../agent/contract/errors.ts";
import { type Row, type Suite, tableText, writeReport } from "./report.ts";

/** The suites of one kind by name; each is loaded when it is asked for. */
export type Suites = Readonly<Record<string, () => Promise<{ readonly run: Suite }>>>;

interface Arguments {
  readonly name: string;
  readonly quick: boolean;
  readonly seed: number;
}

function readArguments(args: readonly string[]): Arguments | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { quick: { type: "boolean", default: false }, seed: { type: "string", default: "1" } },
    });
    const seed = Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0) return `--seed ${values.seed} is not a whole number from 0`;
    const [name, ...rest] = positionals;
    if (name === undefined || rest.length > 0) return "name one";
    return { name, quick: values.quick, seed };
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * Runs the suite named in `args`, prints its table and writes its report.
 * Returns the rows, or undefined after printing why nothing ran: an unknown name or option.
 */
export async function runSuite(kind: "bench" | "campaign", suites: Suites, args: readonly string[]): Promise<readonly Row[] | undefined> {
  const known = Object.keys(suites).join(", ");
  const usage = `usage: npm run ${kind} -- NAME [--quick] [--seed N]; names: ${known}`;
  const read = readArguments(args);
  if (typeof read === "string") {
    console.error(`${read}\n${usage}`);
    return undefined;
  }
  const load = Object.hasOwn(suites, read.name) ? suites[read.name] : undefined;
  if (load === undefined) {
    console.error(`no ${kind} is named ${read.name}\n${usage}`);
    return undefined;
  }
  delete process.env["NODE_EXTRA_CA_CERTS"];
  const { run } = await load();
  const rows = await run({ quick: read.quick, seed: read.seed, progress: (line) => console.error(line) });
  console.log(tableText(rows));
  console.log(`written to ${writeReport(kind, read.name, rows)}`);
  return rows;
}
