import { availableParallelism, loadavg } from "node:os";

/** How busy a node is, as its INFO section `load` says. */
export interface NodeLoad {
  /** Processes that run or want to, averaged over the last minute, as /proc/loadavg has it. */
  readonly load1: number;
  readonly cpus: number;
  /** Requests that have begun and not ended. */
  readonly running: number;
  /** What balancers compare: `load1` per processor and `running` together; 0 for a node that does nothing. */
  readonly load: number;
}

/** This machine's load, with `running` requests of this node in progress. */
export function nodeLoad(running: number): NodeLoad {
  const load1 = loadavg()[0] ?? 0;
  const cpus = availableParallelism();
  return { load1: rounded(load1), cpus, running, load: rounded(load1 / cpus + running) };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The figures of one section of an INFO text, by name; empty when the section is not there. */
export function infoSection(text: string, section: string): ReadonlyMap<string, string> {
  const figures = new Map<string, string>();
  let inside = false;
  for (const line of text.split("\r\n")) {
    if (line.startsWith("# ")) inside = line.slice(2).toLowerCase() === section.toLowerCase();
    else if (inside && line.includes(":")) figures.set(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
  }
  return figures;
}
