import { AgentError } from "../contract/errors.ts";
import { textOf, type ByteString, type Caller, type EventId, type Permits } from "../contract/request.ts";
import { bulk, messageOf } from "./messages.ts";

/** One caller as the device host knows it. */
export interface Registered {
  /** `$1\r\n7\r\n`: with what each of its calls begins. */
  readonly head: ByteString;
  readonly number: string;
  priority: number;
  highest: number;
  permits: Permits | undefined;
  /** The stream on which the device host was told of it as it is. */
  told: number;
}

/** Callers of the front, by the numbers they have in the device host. */
export interface CallerNumbers {
  /** The caller's entry; `tell` is called first when the device host does not know it as it is. Undefined when its permits have no list that could be sent. */
  entryOf(caller: Caller): Registered | undefined;
  /** What tells the device host of the caller. */
  introduction(caller: Caller, entry: Registered): ByteString;
  /** Another stream: nobody is known there. */
  restart(): void;
  readonly count: number;
}

export interface CallerNumbersOptions {
  /** Sends a message ahead of the calls that follow. */
  readonly tell: (message: ByteString) => void;
}

/**
 * Callers are told from each other by their signal and name, since some ask with an object of their own each time. They are forgotten here and there when
 * their signal aborts.
 */
export function createCallerNumbers({ tell }: CallerNumbersOptions): CallerNumbers {
  const byCaller = new WeakMap<Caller, Registered>();
  const bySignal = new Map<AbortSignal, Map<string, Registered>>();
  let stream = 0;
  let numbers = 0;
  let lastCaller: Caller | undefined;
  let lastEntry: Registered | undefined;

  function create(): Registered {
    const number = String(++numbers);
    return { head: bulk(number), number, priority: NaN, highest: NaN, permits: undefined, told: -1 };
  }

  function forget(signal: AbortSignal): void {
    for (const { number, told } of bySignal.get(signal)?.values() ?? []) if (told === stream) tell(messageOf("GONE", [number]));
    bySignal.delete(signal);
  }

  function namesOf(signal: AbortSignal): Map<string, Registered> {
    const known = bySignal.get(signal);
    if (known !== undefined) return known;
    const names = new Map<string, Registered>();
    bySignal.set(signal, names);
    if (signal.aborted) queueMicrotask(() => forget(signal));
    else signal.addEventListener("abort", () => forget(signal), { once: true });
    return names;
  }

  function find(caller: Caller): Registered {
    const known = byCaller.get(caller);
    if (known !== undefined) return known;
    const names = namesOf(caller.signal);
    const entry = names.get(caller.name) ?? create();
    names.set(caller.name, entry);
    byCaller.set(caller, entry);
    return entry;
  }

  function isKnown(entry: Registered, caller: Caller): boolean {
    return (
      entry.told === stream &&
      entry.priority === caller.priority &&
      entry.highest === (caller.maxPriority ?? caller.priority) &&
      entry.permits === caller.permits
    );
  }

  function introduction({ name, priority, maxPriority, address, permits }: Caller, { number }: Registered): ByteString {
    const words = [number, name, String(priority), String(maxPriority ?? priority), address ?? ""];
    return messageOf("CALLER", permits === undefined ? [...words, "ALL"] : [...words, "ONLY", ...(permits.allow ?? [])]);
  }

  return {
    entryOf(caller) {
      const entry = caller === lastCaller ? (lastEntry as Registered) : find(caller);
      lastCaller = caller;
      lastEntry = entry;
      if (isKnown(entry, caller)) return entry;
      if (caller.permits !== undefined && caller.permits.allow === undefined) return undefined;
      entry.priority = caller.priority;
      entry.highest = caller.maxPriority ?? caller.priority;
      entry.permits = caller.permits;
      entry.told = stream;
      tell(introduction(caller, entry));
      return entry;
    },
    introduction,
    restart() {
      stream += 1;
    },
    get count() {
      let count = 0;
      for (const names of bySignal.values()) count += names.size;
      return count;
    },
  };
}

/** A caller in the device host. Its cause differs from call to call. */
export type HostCaller = { -readonly [key in keyof Caller]: Caller[key] } & { cause: EventId };

/** Callers that the front has told of, by their numbers. */
export interface CallerTable {
  get(number: string): HostCaller | undefined;
  /** Takes the words of CALLER. Throws SYNTAX. */
  tell(words: readonly ByteString[]): void;
  gone(number: string): void;
  /** All of them are. */
  clear(): void;
  readonly count: number;
}

export function createCallerTable(permitsFor: (allow: readonly string[]) => Permits): CallerTable {
  const callers = new Map<string, { readonly caller: HostCaller; readonly abort: () => void }>();

  function open(name: string): { readonly caller: HostCaller; readonly abort: () => void } {
    let controller: AbortController | undefined;
    return {
      caller: {
        name,
        priority: 0,
        cause: 0,
        // Few callers are ever asked for it.
        get signal() {
          controller ??= new AbortController();
          return controller.signal;
        },
      },
      abort: () => controller?.abort(),
    };
  }

  return {
    get: (number) => callers.get(number)?.caller,
    tell(words) {
      const [number, name, priority, highest, address, kind, ...allow] = words.map(textOf);
      if (number === undefined || name === undefined || (kind !== "ALL" && kind !== "ONLY")) {
        throw new AgentError("SYNTAX", `a caller cannot be understood from ${words.length} words`);
      }
      const entry = callers.get(number) ?? open(name);
      callers.set(number, entry);
      const { caller } = entry;
      caller.priority = Number(priority);
      caller.maxPriority = Number(highest);
      if (address !== undefined && address !== "") caller.address = address;
      if (kind === "ONLY") caller.permits = permitsFor(allow);
      else delete caller.permits;
    },
    gone(number) {
      callers.get(number)?.abort();
      callers.delete(number);
    },
    clear() {
      for (const { abort } of callers.values()) abort();
      callers.clear();
    },
    get count() {
      return callers.size;
    },
  };
}
