import { AgentError } from "../../contract/errors.ts";
import { refusal, textOf, type Caller } from "../../contract/request.ts";
import type { Cancel } from "../../contract/clock.ts";
import type { Journal, JournalEvent } from "../../contract/journal.ts";
import type { Value } from "../../contract/value.ts";
import type { Change } from "./ledger.ts";
import { journalValue } from "./why.ts";

/** Who is pushed what happens: `event`, its kind (`vertex`, `edge`, `journal`), and what it is. */
export interface Tail {
  /** Until `stop`, or until the caller is gone. Throws ARGUMENT when it cannot be pushed to, NOT_READY when it is gone already. */
  start(caller: Caller): void;
  stop(caller: Caller): void;
  /** Events that have come on disk. */
  tell(changes: readonly Change[]): void;
  readonly listeners: number;
  close(): void;
}

export function createTail(journal: Journal): Tail {
  /** With what is to be done when they go. */
  const callers = new Map<Caller, () => void>();
  let unwatch: Cancel | undefined;

  function push(kind: string, names: readonly string[], value: Value): void {
    for (const caller of callers.keys()) {
      // Nothing else says what it may not see.
      if (names.every((name) => refusal(caller, "events", name) === undefined)) caller.push?.(["event", kind, value]);
    }
  }

  function tellEntry(entry: JournalEvent): void {
    push("journal", [entry.subject], journalValue(entry));
  }

  function stop(caller: Caller): void {
    const gone = callers.get(caller);
    if (gone === undefined) return;
    caller.signal.removeEventListener("abort", gone);
    callers.delete(caller);
    if (callers.size > 0) return;
    unwatch?.();
    unwatch = undefined;
  }

  return {
    start(caller) {
      if (caller.push === undefined) throw new AgentError("ARGUMENT", "this connection cannot be pushed to; ask with EVENT.GRAPH");
      if (caller.signal.aborted) throw new AgentError("NOT_READY", `${caller.name} is gone`);
      if (callers.has(caller)) return;
      const gone = () => stop(caller);
      callers.set(caller, gone);
      caller.signal.addEventListener("abort", gone);
      unwatch ??= journal.watch(tellEntry);
    },
    stop,
    tell(changes) {
      if (callers.size === 0) return;
      for (const change of changes) {
        const stamp = { lamport: change.lamport, wallMs: change.wallMs };
        if (change.kind === "edge") {
          const [from, to] = [textOf(change.from), textOf(change.to)];
          push("edge", [from, to], { from, to, ...stamp });
        } else {
          const id = textOf(change.id);
          const { partakers, conversations } = change.details;
          push("vertex", [id], {
            id,
            partakers: partakers.map(textOf),
            conversations: conversations.map((names) => names.map(textOf)),
            ...stamp,
          });
        }
      }
    },
    get listeners() {
      return callers.size;
    },
    close() {
      for (const caller of [...callers.keys()]) stop(caller);
    },
  };
}
