import type { Findings } from "./findings.ts";
import type { Found } from "./record.ts";

/** A number of the version that a cell holds; null when there is nothing. */
export type Version = number | null;

interface Write {
  readonly ticket: number;
  readonly version: Version;
}

/** One place that is written over and over by one writer, in order: a key, a block, a part of a file. */
export interface Cell {
  readonly name: string;
  /** A new version is about to be written (or the place to be emptied): which it is, and the ticket its answer belongs to. */
  write(): { readonly version: number; readonly ticket: number };
  empty(): number;
  /** Acknowledged: so is everything before it. */
  done(ticket: number): void;
  /** The answer was an error: nothing has changed. */
  refused(ticket: number): void;
  /** What was acknowledged last. */
  readonly acknowledged: Version;
  /** Compares with what is found. What was open is settled by it. */
  check(found: Found | null, findings: Findings): void;
}

export function createCell(name: string): Cell {
  /** What may be found: the last acknowledged state first, then what was sent after it. */
  let writes: Write[] = [{ ticket: 0, version: null }];
  let lastTicket = 0;
  let lastVersion = 0;

  function send(version: Version): number {
    lastTicket += 1;
    writes.push({ ticket: lastTicket, version });
    return lastTicket;
  }

  function blame(version: Version, findings: Findings): void {
    const known = writes[0]?.version ?? null;
    if (version === null) findings.add("lost", `${name} is empty, and was acknowledged to hold ${known}`);
    else if (known === null) findings.add("came back", `${name} holds ${version}, and was acknowledged to be empty`);
    else if (version < known) findings.add("lost", `${name} holds ${version}, and ${known} was acknowledged`);
    else findings.add("came back", `${name} holds ${version}, which was refused or never sent`);
  }

  return {
    name,
    write() {
      lastVersion += 1;
      return { version: lastVersion, ticket: send(lastVersion) };
    },
    empty: () => send(null),
    done(ticket) {
      writes = writes.filter((write) => write.ticket >= ticket);
    },
    refused(ticket) {
      writes = writes.filter((write) => write.ticket !== ticket);
    },
    get acknowledged() {
      return writes[0]?.version ?? null;
    },
    check(found, findings) {
      if (found === "torn" || (found !== null && found.name !== name)) {
        findings.add("half-written", `${name} holds what is no record of it`);
        return;
      }
      const version = found === null ? null : found.number;
      if (!writes.some((write) => write.version === version)) blame(version, findings);
      writes = [{ ticket: lastTicket, version }];
    },
  };
}

/** A number that is only ever raised by one. */
export interface Counter {
  raise(): void;
  /** The answer to a raise was this. */
  raised(value: number, findings: Findings): void;
  /** The answer was an error: nothing has changed. */
  refused(): void;
  check(found: number, findings: Findings): void;
}

export function createCounter(name: string): Counter {
  let known = 0;
  let open = 0;
  return {
    raise: () => void (open += 1),
    raised(value, findings) {
      open -= 1;
      if (value !== known + 1) findings.add(value <= known ? "lost" : "doubled", `${name} became ${value} after ${known}`);
      known = value;
    },
    refused: () => void (open -= 1),
    check(found, findings) {
      if (found < known) findings.add("lost", `${name} is ${found}, and ${known} was acknowledged`);
      if (found > known + open) findings.add("doubled", `${name} is ${found}, and was raised to ${known + open} at most`);
      known = found;
      open = 0;
    },
  };
}
