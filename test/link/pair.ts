import { setMaxListeners } from "node:events";
import { duplexPair, type Duplex } from "node:stream";

import { compilePermits } from "../../agent/access/permits.ts";
import { createRemoteHost, type RemoteHost, type RemoteHostOptions } from "../../agent/link/remote-host.ts";
import { serveHost, type HostLink, type ServeHostOptions } from "../../agent/link/serve-host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { valueReply, type Caller, type Reply, type Request, type Service } from "../../agent/contract/request.ts";
import type { Journal } from "../../agent/contract/journal.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import { createVariableStore, type VariableStore } from "../../analytics/store.ts";
import { createFakeClock, settled, type FakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../helpers/fake-log.ts";

/** The clock of a process that can stand still: time passes, its timers do not run. */
export function createStoppableClock(): FakeClock & { stand(ms: number): void } {
  const clock = createFakeClock();
  let stoodMs = 0;
  return {
    ...clock,
    monotonicMs: () => clock.monotonicMs() + stoodMs,
    stand(ms) {
      stoodMs += ms;
    },
  };
}

/** What a scripted device host was asked: `CLONE lamp.on by ada 100/100`. */
export interface Asked {
  readonly request: Request;
  readonly caller: Caller;
}

export interface Status {
  readonly devices: number;
}

/** One process of the two. */
export interface Side {
  readonly journal: Journal;
  readonly variables: VariableStore;
  readonly log: FakeLog;
}

export interface Front extends Side {
  readonly host: RemoteHost<Status>;
  /** Asks at once. */
  readonly call: (request: Request, by?: Caller) => Promise<Reply>;
}

export interface Host extends Side {
  readonly link: HostLink;
  readonly asked: Asked[];
  /** Why it was told that the front is lost. */
  readonly lost: string[];
  /** Answers the calls from now on. */
  answer: (request: Request, caller: Caller) => Eventually<Reply>;
  status: Status;
}

/** One connection's, used by many tests at once. */
const { signal } = new AbortController();
setMaxListeners(0, signal);

export const caller: Caller = { name: "ada", priority: 100, maxPriority: 255, address: "10.0.0.1", signal };

export function ask(...words: string[]): Request {
  const [verb = "", ...args] = words;
  return { verb, args };
}

/** A reply as text: `+OK`, `-LIMIT too much`, `12`. */
export function textOfReply(reply: Reply): string {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
}

function createSide(clock: FakeClock): Side {
  const variables = createVariableStore({
    clock,
    limits: { maxVariables: 1000, maxVariableBytes: 65_536 },
    declared: {},
    defaultStaleMs: 2000,
  });
  return { journal: createJournal(clock), variables, log: createFakeLog() };
}

export function createFront(clock: FakeClock, options: Partial<RemoteHostOptions> = {}): Front {
  const side = createSide(clock);
  const host = createRemoteHost<Status>({ ...side, clock, ...options });
  return { ...side, host, call: async (request, by = caller) => host.handle(request, by) };
}

export function createHost(clock: FakeClock, stream: Duplex, options: Partial<ServeHostOptions> = {}): Host {
  const side = createSide(clock);
  const asked: Asked[] = [];
  const lost: string[] = [];
  const service: Service = {
    verbs: [{ verb: "CLONE", usage: "device.function", summary: "call" }],
    handle(request, by) {
      asked.push({ request, caller: by });
      return host.answer(request, by);
    },
  };
  const link = serveHost({
    ...side,
    stream,
    clock,
    permitsFor: compilePermits,
    onStart: () => Promise.resolve(service),
    status: () => host.status,
    reads: (name) => name.endsWith(".state"),
    onFrontLost: ({ message }) => void lost.push(message),
    beatMs: () => 50,
    ...options,
  });
  const host: Host = { ...side, link, asked, lost, answer: () => valueReply(asked.length), status: { devices: 1 } };
  return host;
}

export interface Pair {
  readonly clock: FakeClock;
  readonly front: Front;
  readonly host: Host;
  /** The stream's ends. */
  readonly frontEnd: Duplex;
  readonly hostEnd: Duplex;
  /** Both have handled everything. */
  readonly quiet: () => Promise<void>;
}

/** Two ends of one stream; as with sockets, one that is closed closes the other. */
export function createStreams(): [Duplex, Duplex] {
  const [one, other] = duplexPair();
  one.on("close", () => other.destroy());
  other.on("close", () => one.destroy());
  return [one, other];
}

/** Both ends, ready, in one process. */
export async function createPair(
  options: { readonly front?: Partial<RemoteHostOptions>; readonly host?: Partial<ServeHostOptions>; readonly clock?: FakeClock } = {},
): Promise<Pair> {
  const clock = options.clock ?? createFakeClock();
  const [frontEnd, hostEnd] = createStreams();
  const front = createFront(clock, options.front);
  const host = createHost(clock, hostEnd, options.host);
  await front.host.attach(frontEnd, "begin");
  return { clock, front, host, frontEnd, hostEnd, quiet };
}

/** Streams hand on within a few turns. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await settled();
}
