import { messageOf } from "../contract/errors.ts";
import { createRecordReader, createRecordWriter } from "./records.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { ByteString } from "../contract/request.ts";
import type { MirroredVariables, Variables } from "../contract/variable.ts";

/*
 * A record: name, source, when it arrived, how long it may be relied on (NaN where its declaration says that), value.
 */

/** Variables to the other process and back: of each only the latest value, whatever its rate. */
export interface Mirror {
  /** There is something to send. */
  readonly waiting: boolean;
  /** The latest values of what changed; as many as make one message of moderate size. */
  readonly take: () => ByteString;
  /** Stores what the other process sent. Throws SYNTAX. */
  store(records: ByteString): void;
}

/** A message holds no more values than fit in this, except for one that is larger itself. */
const MESSAGE_BYTES = 256 * 1024;

/** Stale however young. */
const NOT_FRESH_MS = -1;

export interface MirrorOptions {
  readonly variables: MirroredVariables;
  readonly clock: Clock;
  readonly log: Log;
  /** There is something to send. */
  readonly onWaiting: () => void;
}

interface Exchange {
  readonly dirty: Set<string>;
  readonly take: () => ByteString;
  read(records: ByteString, seen: (name: string, arrivedMs: number, freshMs: number | undefined) => void): void;
  restart(): void;
}

/** What both ends share. `freshMsOf` is asked for what is sent; NaN for none. `earliestMs` is when what is stored now can have arrived. */
function createExchange(options: MirrorOptions, freshMsOf: (name: string) => number, latestMs: () => number): Exchange {
  const { variables, clock } = options;
  const writer = createRecordWriter();
  const reader = createRecordReader();
  const dirty = new Set<string>();
  const refused = new Set<string>();

  function write(name: string, nowMs: number, boundMs: number): void {
    const variable = variables.get(name);
    if (variable === undefined) return;
    writer.word(name);
    writer.word(variable.source);
    writer.number(Math.min(nowMs - variable.ageMs, boundMs));
    writer.number(freshMsOf(name));
    writer.value(variable.value);
  }

  return {
    dirty,
    take() {
      const boundMs = latestMs();
      const nowMs = clock.monotonicMs();
      for (const name of dirty) {
        dirty.delete(name);
        write(name, nowMs, boundMs);
        if (writer.length > MESSAGE_BYTES) break;
      }
      return writer.take();
    },
    read(records, seen) {
      reader.open(records);
      while (!reader.done) {
        const name = reader.word();
        const source = reader.word();
        const arrivedMs = reader.number();
        const known = reader.number();
        const freshMs = Number.isNaN(known) ? undefined : known;
        const value = reader.value();
        try {
          variables.setAt(name, value, source, arrivedMs, freshMs);
          seen(name, arrivedMs, freshMs);
        } catch (error) {
          // Once a name: it may come a hundred times a second.
          if (!refused.has(name)) options.log.warn({ variable: name }, `${name} cannot be taken over: ${messageOf(error)}`);
          refused.add(name);
        }
      }
    },
    restart() {
      writer.restart();
      dirty.clear();
      refused.clear();
    },
  };
}

/** What the front knows of a variable that came from the device host. */
interface Hosted {
  arrivedMs: number;
  updates: number;
  owned: boolean;
}

export interface FrontMirror extends Mirror {
  /** Another device host, which knows nothing: everything is sent. */
  restart(): void;
  /** What devices said of themselves is stale: whoever said it is gone. */
  expire(): void;
  readonly close: Cancel;
}

/**
 * The front's end: everything that changes is sent, with the time it arrived and no younger than `arrivedMs` says; what came from the device host is not sent
 * back.
 */
export function createFrontMirror(options: MirrorOptions, arrivedMs: () => number): FrontMirror {
  const { variables, onWaiting } = options;
  const hosted = new Map<string, Hosted>();
  const exchange = createExchange(options, (name) => variables.freshMsOf(name) ?? NaN, arrivedMs);
  const { dirty } = exchange;

  /** It came from the device host, and nobody has set it since. */
  function isEcho(name: string): boolean {
    const known = hosted.get(name);
    return known !== undefined && (known.owned || variables.get(name)?.updates === known.updates);
  }

  function onChange(names: ReadonlySet<string>): void {
    for (const name of names) if (hosted.size === 0 || !isEcho(name)) dirty.add(name);
    if (dirty.size > 0) onWaiting();
  }

  function seen(name: string, atMs: number, freshMs: number | undefined): void {
    const updates = variables.get(name)?.updates ?? 0;
    const known = hosted.get(name);
    if (known === undefined) {
      hosted.set(name, { arrivedMs: atMs, updates, owned: freshMs !== undefined });
    } else {
      known.arrivedMs = atMs;
      known.updates = updates;
      known.owned = freshMs !== undefined;
    }
    dirty.delete(name);
  }

  return {
    get waiting() {
      return dirty.size > 0;
    },
    take: exchange.take,
    store(records) {
      exchange.read(records, seen);
    },
    restart() {
      exchange.restart();
      for (const name of variables.names()) if (!isEcho(name)) dirty.add(name);
    },
    expire() {
      for (const [name, { arrivedMs: atMs, owned }] of hosted) {
        const variable = owned ? variables.get(name) : undefined;
        if (variable !== undefined) variables.setAt(name, variable.value, variable.source, atMs, NOT_FRESH_MS);
      }
    },
    close: variables.onChange(onChange),
  };
}

/**
 * The device host's end: what is set through `variables` is sent; what came from the front is not. A name that a device publishes is that device's from then
 * on, in the front too.
 */
export function createHostMirror(options: MirrorOptions): Mirror & { readonly variables: Variables } {
  const { variables, clock, onWaiting } = options;
  const freshMs = new Map<string, number>();
  const exchange = createExchange(
    options,
    (name) => freshMs.get(name) ?? NaN,
    () => clock.monotonicMs(),
  );
  const { dirty } = exchange;

  return {
    variables: {
      get: (name) => variables.get(name),
      names: () => variables.names(),
      onChange: (listener) => variables.onChange(listener),
      set(name, value, source, forMs) {
        variables.set(name, value, source, forMs);
        freshMs.set(name, forMs ?? NaN);
        dirty.add(name);
        onWaiting();
      },
    },
    get waiting() {
      return dirty.size > 0;
    },
    take: exchange.take,
    store(records) {
      exchange.read(records, (name) => dirty.delete(name));
    },
  };
}
