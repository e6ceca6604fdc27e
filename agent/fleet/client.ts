import { AgentError } from "../contract/errors.ts";
import { createDeviceVerbs, type DeviceVerbs } from "./client/devices.ts";
import { createEventVerbs, type EventVerbs } from "./client/events.ts";
import { createFileVerbs, type FileVerbs } from "./client/files.ts";
import { createHub, type Asked } from "./client/hub.ts";
import { createMemoryVerbs, type MemoryVerbs } from "./client/memory.ts";
import { createQueueVerbs, type QueueVerbs } from "./client/queue.ts";
import { createVariableVerbs, type VariableVerbs } from "./client/variables.ts";
import { wordOf, type Argument } from "./client/words.ts";
import { parseTarget } from "./target.ts";
import type { BackOffOptions } from "../contract/back-off.ts";
import type { TlsMaterial } from "./connection.ts";
import type { Clock } from "../contract/clock.ts";
import type { Value } from "../contract/value.ts";

export interface ClientOptions {
  /** `host:port` of a node's gateway (a host alone: port 6390), or a path. */
  readonly address?: string;
  /** Several nodes: the first that answers is where the client is at home, and when it goes away, the next. */
  readonly addresses?: readonly string[];
  /** Of a user of the agent's `auth.users`; not needed on the agent's own machine. */
  readonly user?: string;
  readonly token?: string | (() => Promise<string>);
  /** What is shown and trusted; a function is asked before every connection. */
  readonly tls?: TlsMaterial | (() => Promise<TlsMaterial>);
  readonly clock: Clock;
  /** Time for one answer where a call names none, milliseconds. */
  readonly deadlineMs?: number;
  /** How soon to connect again; false: what is asked while there is no connection is refused at once, and subscriptions end. */
  readonly reconnect?: Partial<BackOffOptions> | false;
  /**
   * `prg` draws one of the addresses for every `clone` without a node, every `malloc` and every `open`, as the original's clients did: an address that stands there
   * twice is drawn twice as often. What was made on a node is asked for there in any case.
   */
  readonly balancer?: "first" | "prg";
  /** 32 bits; the same seed makes the same draws. */
  readonly seed?: number;
  /** From 0 to below 1, for the back-off. */
  readonly random?: () => number;
}

/**
 * One agent or several, with every verb. Connects when something is asked. Every promise rejects with AgentError: what the agent answered; IO when the connection
 * could not be made within the deadline or broke before the answer; TIMEOUT when the answer did not come in time; ARGUMENT for options that make no sense.
 *
 * What was in flight when a connection broke is rejected, and never sent again by itself: it may have happened. `mayRepeat` says what can be asked again without
 * thinking; a command that moves something cannot.
 */
export interface Client extends DeviceVerbs {
  readonly vars: VariableVerbs;
  readonly memory: MemoryVerbs;
  readonly files: FileVerbs;
  readonly queue: QueueVerbs;
  readonly events: EventVerbs;
  /** Any verb. */
  call(verb: string, args?: readonly Argument[], options?: Pick<Asked, "node" | "deadlineMs" | "waitMs">): Promise<Value>;
  /** Ends all connections and subscriptions; what waits is rejected IO. */
  close(): void;
}

const DEADLINE_MS = 5000;
const RECONNECT: BackOffOptions = { minMs: 100, maxMs: 5000 };

export function createClient(options: ClientOptions): Client {
  const { clock, deadlineMs = DEADLINE_MS, reconnect = {}, token, tls, random = Math.random } = options;
  const addresses = options.addresses ?? (options.address === undefined ? [] : [options.address]);
  if (addresses.length === 0) throw new AgentError("ARGUMENT", "a client needs an address, for example 127.0.0.1:6390");
  const seed = options.seed ?? Math.floor(random() * 0x1_0000_0000);
  const hub = createHub({
    link: {
      targets: addresses.map((address) => parseTarget(address)),
      clock,
      tls: tls === undefined ? undefined : () => Promise.resolve(typeof tls === "function" ? tls() : tls),
      user: options.user,
      token: token === undefined ? undefined : () => Promise.resolve(typeof token === "string" ? token : token()),
      connectMs: deadlineMs,
      retry: reconnect === false ? undefined : { ...RECONNECT, ...reconnect },
      random,
    },
    deadlineMs,
    seed: options.balancer === "prg" ? seed : undefined,
  });
  return {
    ...createDeviceVerbs(hub),
    vars: createVariableVerbs(hub),
    memory: createMemoryVerbs(hub),
    files: createFileVerbs(hub),
    queue: createQueueVerbs(hub),
    events: createEventVerbs(hub),
    async call(verb, args = [], asked = {}) {
      return (await hub.ask(verb.toUpperCase(), args.map(wordOf), asked)).value;
    },
    close: () => hub.close(),
  };
}

/** Verbs that change nothing, or that do the same when they are done twice. */
const REPEATABLE: ReadonlySet<string> = new Set([
  ...["PING", "HELLO", "HELP", "INFO", "COMMAND", "CLIENT", "NODES", "DEVICES", "DESCRIBE"],
  ...["VAR.GET", "VAR.LIST", "VAR.SLOTS", "VAR.WATCH", "VAR.UNWATCH"],
  ...["GETM", "GET", "GETREV", "MGET", "EXISTS", "TYPE", "STRLEN", "TTL", "PTTL", "KEYS", "DBSIZE"],
  ...["FSTAT", "FLIST", "AWAIT", "QSTAT"],
  ...["EVENT.GRAPH", "EVENT.WHY", "EVENT.ORDER", "EVENT.STAT", "EVENT.TAIL"],
]);

/** Whether a request whose answer was lost may be sent again without a thought. The emergency stop may, its reset may not; a read may where it says from where. */
export function mayRepeat(verb: string, args: readonly Argument[] = []): boolean {
  const upper = verb.toUpperCase();
  if (upper === "ESTOP") return args.length === 0;
  if (upper === "FREAD") return args.length === 3;
  return REPEATABLE.has(upper);
}
