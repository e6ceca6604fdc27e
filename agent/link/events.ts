import { createRecordReader, createRecordWriter } from "./records.ts";
import type { Cancel } from "../contract/clock.ts";
import type { EventKind, Journal } from "../contract/journal.ts";
import type { ByteString, EventId } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/*
 * The device host's events, recorded again in the front's journal under the numbers of that. A record: number, cause, kind, subject, caller, detail. Causes
 * below 0 are numbers of the front's journal.
 */

/** Events waiting for a front that does not read; those after them are lost. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** What is told to the front. */
export interface EventFeed {
  readonly waiting: boolean;
  take(): ByteString;
  /** Events that could not be told because the front did not read. */
  readonly lost: number;
  readonly close: Cancel;
}

export function createEventFeed(journal: Journal, onWaiting: () => void): EventFeed {
  const writer = createRecordWriter();
  let lost = 0;
  const close = journal.watch(({ id, cause, kind, subject, caller, detail }) => {
    if (writer.length > MAX_WAITING_BYTES) {
      lost += 1;
      return;
    }
    writer.number(id);
    writer.number(cause);
    writer.word(kind);
    writer.word(subject);
    writer.word(caller);
    writer.word(detail);
    onWaiting();
  });
  return {
    get waiting() {
      return writer.length > 0;
    },
    take: () => writer.take(),
    get lost() {
      return lost;
    },
    close,
  };
}

/** How many numbers of the device host's journal are known here; a journal keeps as many events. */
const KNOWN_EVENTS = 65_536;

/** As many as a description has at most. */
const SHOWN_EVENTS = 8;

/** The front's side of the feed of one device host. */
export interface EventIntake {
  /** Records what the device host told. Throws SYNTAX. */
  store(records: ByteString): void;
  /** A description with the device's latest events as they are in the front's journal. */
  translate(description: Value): Value;
}

export function createEventIntake(journal: Journal): EventIntake {
  const reader = createRecordReader();
  /** By the remainder of the device host's number: that number, and ours. */
  const theirs = new Float64Array(KNOWN_EVENTS);
  const ours = new Float64Array(KNOWN_EVENTS);

  /** Our number for theirs; 0 for what is not known any more. */
  function idOf(id: EventId): EventId {
    if (id <= 0) return -id;
    const slot = id % KNOWN_EVENTS;
    return theirs[slot] === id ? (ours[slot] as number) : 0;
  }

  return {
    store(records) {
      reader.open(records);
      while (!reader.done) {
        const id = reader.number();
        const cause = reader.number();
        const kind = reader.word() as EventKind;
        const slot = id % KNOWN_EVENTS;
        const own = journal.record(kind, reader.word(), reader.word(), reader.word(), idOf(cause));
        theirs[slot] = id;
        ours[slot] = own;
      }
    },
    translate(description) {
      if (typeof description !== "object" || description === null || !("events" in description)) return description;
      const events = description["events"] as readonly { readonly id: EventId }[];
      const latest = events.at(0);
      if (latest === undefined) return description;
      const chain = journal.chain(idOf(latest.id)).slice(0, SHOWN_EVENTS);
      return { ...description, events: chain.map((event) => ({ ...event })) };
    },
  };
}
