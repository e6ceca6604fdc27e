import type { Clock } from "../contract/clock.ts";
import type { EventKind, Journal, JournalEvent } from "../contract/journal.ts";

const KEPT_EVENTS = 65_536;

/** The newest events, in columns that grow until `kept` and are written over from then on: recording copies references and numbers, nothing else. */
export function createJournal(clock: Clock, kept: number = KEPT_EVENTS): Journal {
  const wallMs = new Float64Array(kept);
  const causes = new Float64Array(kept);
  const kinds: EventKind[] = [];
  const subjects: string[] = [];
  const callers: string[] = [];
  const details: string[] = [];
  let listeners: readonly ((event: JournalEvent) => void)[] = [];
  let recorded = 0;

  const isKept = (id: number): boolean => id > 0 && id <= recorded && id > recorded - kept;

  function at(id: number): JournalEvent {
    const slot = (id - 1) % kept;
    return {
      id,
      wallMs: wallMs[slot] ?? 0,
      kind: kinds[slot] ?? "open",
      subject: subjects[slot] ?? "",
      caller: callers[slot] ?? "",
      detail: details[slot] ?? "",
      cause: causes[slot] ?? 0,
    };
  }

  /** In the path of every actuation: no iterator, and nothing read back from the arrays. */
  function announce(event: JournalEvent): void {
    const told = listeners;
    for (let i = 0; i < told.length; i++) told[i]?.(event);
  }

  return {
    get recorded() {
      return recorded;
    },
    record(kind, subject, caller, detail, cause = 0) {
      const id = ++recorded;
      const slot = (id - 1) % kept;
      const nowMs = clock.wallMs();
      wallMs[slot] = nowMs;
      causes[slot] = cause;
      kinds[slot] = kind;
      subjects[slot] = subject;
      callers[slot] = caller;
      details[slot] = detail;
      if (listeners.length > 0) announce({ id, wallMs: nowMs, kind, subject, caller, detail, cause });
      return id;
    },
    chain(id) {
      const events: JournalEvent[] = [];
      for (let next = id; isKept(next);) {
        const event = at(next);
        events.push(event);
        if (event.cause >= next) break;
        next = event.cause;
      }
      return events;
    },
    watch(listener) {
      // A new list for each change: whoever is being told may make one.
      listeners = [...listeners, listener];
      let watching = true;
      return () => {
        if (watching) listeners = listeners.toSpliced(listeners.indexOf(listener), 1);
        watching = false;
      };
    },
    latest(count) {
      const first = Math.max(1, recorded - Math.min(count, kept) + 1);
      const events: JournalEvent[] = [];
      for (let id = first; id <= recorded; id++) events.push(at(id));
      return events;
    },
  };
}
