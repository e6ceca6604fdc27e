import { createConflator } from "./conflation.ts";
import { openAuditWriter } from "./audit-writer.ts";
import type { Audit } from "../contract/audit.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { EventKind, Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { Figures } from "../contract/request.ts";
import type { EntryKind } from "./audit-entry.ts";
import type { AuditWriterOptions } from "./audit-writer.ts";
import type { AuditOptions } from "./options.ts";

export interface OpenAuditOptions extends Omit<AuditOptions, "enabled" | "file"> {
  readonly file: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What moved, and who was refused by whom. */
  readonly journal: Journal;
  /** The node's name. */
  readonly node: string;
  /** See there. */
  readonly openFile?: NonNullable<AuditWriterOptions["openFile"]>;
}

/** The audit log of a running agent. Nothing it does keeps a request waiting, and nothing that happens to it stops the agent. */
export interface OpenAudit extends Audit {
  /** What INFO shows. `hash` is that of the latest entry: noted elsewhere, it shows later that nothing before it was changed or cut off. */
  figures(): Figures;
  /** Resolves when what happened until now is on disk, or cannot be put there now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Events of the journal that are entries of the audit log. */
const RECORDED: Readonly<Partial<Record<EventKind, EntryKind>>> = {
  actuate: "actuate",
  refuse: "refuse",
  safe: "safe",
  estop: "estop",
  reset: "reset",
  fault: "fault",
  "lease-end": "lease-end",
};

/** Goes on with the log where it ended. Rejects IO when it can be neither read nor made. */
export async function openAudit(options: OpenAuditOptions): Promise<OpenAudit> {
  const { clock, journal, node, conflateMs } = options;
  const writer = await openAuditWriter(options);
  let cancelSweep: Cancel | undefined;

  function awaitSweep(): void {
    cancelSweep ??= clock.after(conflateMs, () => {
      cancelSweep = undefined;
      if (conflator.sweep()) awaitSweep();
    });
  }

  const conflator = createConflator({
    emit(entry) {
      writer.append({ ...entry, detail: withoutTexts(entry.detail) });
    },
    awaitSweep,
  });

  function add(kind: EntryKind, caller: string, subject: string, detail: string): void {
    conflator.add(kind, caller, subject, detail, clock.wallMs());
  }

  for (const repair of writer.repairs) add("repair", "", "audit", repair);
  const ended = writer.resumed === undefined || writer.resumed.kind === "stop";
  add("start", "", node, ended ? "" : "the run before did not end in order: what it did last may be missing");

  const unwatch = journal.watch(({ kind, subject, caller, detail, wallMs }) => {
    // Nearly all of them.
    const recorded = kind === "actuate" ? kind : RECORDED[kind];
    if (recorded !== undefined) conflator.add(recorded, caller, subject, detail, wallMs);
  });

  async function flush(): Promise<void> {
    conflator.sweep();
    await writer.flush();
  }

  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    unwatch();
    cancelSweep?.();
    conflator.sweep();
    add("stop", "", node, "");
    await writer.close();
  }

  return {
    record: add,
    figures: () => ({ ...writer.figures(), conflated: conflator.conflated }),
    flush,
    close: () => (closed ??= close()),
  };
}

/** `beam(low)`, `say(…): IN_USE`: numbers and plain words of a call stay, any other text may be a secret. */
export function withoutTexts(detail: string): string {
  const open = detail.search(/\w\(/) + 1;
  const close = detail.lastIndexOf(")");
  if (open === 0 || close < open) return detail;
  const args = detail.slice(open + 1, close).split(",");
  if (args.every(isPlain)) return detail;
  return `${detail.slice(0, open)}(${args.map((arg) => (isPlain(arg) ? arg : "…")).join(",")}${detail.slice(close)}`;
}

function isPlain(arg: string): boolean {
  return /^(?:|-?\d{1,20}(?:\.\d{1,20})?|[A-Za-z][A-Za-z_-]{0,15})$/.test(arg);
}
