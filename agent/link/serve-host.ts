import type { Duplex } from "node:stream";

import { AgentError, toAgentError } from "../contract/errors.ts";
import {
  errorReply,
  textOf,
  type ByteString,
  type Figures,
  type Permits,
  type Reply,
  type Request,
  type Service,
} from "../contract/request.ts";
import { isPending } from "../contract/value.ts";
import { createCallerTable, type HostCaller } from "./callers.ts";
import { createEventFeed } from "./events.ts";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";
import { blobMessage, bulk, createMessageParser, createReplyWriter, messageOf } from "./messages.ts";
import { createHostMirror } from "./mirror.ts";
import { isOrder, orderText } from "./orders.ts";
import { createOutbox } from "./outbox.ts";
import { takeInput } from "./stream-input.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { EventKind, Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { MirroredVariables, Variables } from "../contract/variable.ts";

export interface ServeHostOptions {
  /** From the front, and from nobody else. */
  readonly stream: Duplex;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly variables: MirroredVariables;
  /** Asked when a call comes. */
  readonly limits?: () => LinkLimits;
  /** Makes permits of the list of a user. */
  readonly permitsFor: (allow: readonly string[]) => Permits;
  /** Opens what the front asks for, and answers with what answers its calls. What it rejects with is the reason the front is told. */
  readonly onStart: (start: string) => Promise<Service>;
  /** What INFO shows of this process, as JSON has it. Asked from the moment it is ready. */
  readonly status: () => object;
  /** Whether a function only reads: `lamp.state`. Reads are answered however old the question. */
  readonly reads: (callName: string) => boolean;
  /** The front is gone: called once, with the reason, and nothing is called after it. */
  readonly onFrontLost: (reason: AgentError) => void;
  /** From one sign of life to the next, milliseconds, 10 to 5000; asked from the moment it is ready. */
  readonly beatMs: () => number;
  /** What each sign of life says of the control loops. */
  readonly loops?: () => Readonly<Record<string, number>>;
}

/** The device host's end. */
export interface HostLink {
  /** For devices and rules: what they set is told to the front. */
  readonly variables: Variables;
  /** Says at once what is about to be loaded or opened, in case that ends this process; undefined when it is done. */
  doing(text: string | undefined): void;
  /**
   * Asks the front for the ports of the devices, which it may hold to keep them safe. Resolves when they are free, with what it says of those devices;
   * never when the front is lost meanwhile.
   */
  takePorts(): Promise<string>;
  /** `status` may have changed; it is looked at every second without it. */
  statusChanged(): void;
  figures(): Figures;
  close(): void;
}

/** Calls handled at a stretch: then timers, leases above all, have their turn. */
const CALLS_PER_TURN = 256;

/** Bytes the front may leave unread before nothing more is read of it. */
const MAX_UNREAD_BYTES = 1024 * 1024;

const STATUS_MS = 1000;

/** Events after which the status is not what it was. */
const TELLING: ReadonlySet<EventKind> = new Set(["fault", "reset", "estop", "open", "close"]);

const NO_REQUESTS: readonly Request[] = [];

/** Begins to answer what comes over `stream`; the first message says with what to start. */
export function serveHost(options: ServeHostOptions): HostLink {
  const { clock, journal, limits = () => LINK_LIMITS } = options;
  const parser = createMessageParser();
  const stream = takeInput(options.stream, onData);
  const textOfReply = createReplyWriter();
  const callers = createCallerTable(options.permitsFor);
  const feed = createEventFeed(journal, () => outbox.flushLater());
  const mirror = createHostMirror({
    variables: options.variables,
    clock,
    // Asked each time: it may be another one when the front has said what to start with.
    get log() {
      return options.log;
    },
    onWaiting: () => outbox.flushLater(),
  });
  /** Messages that came, from `next` on not handled yet. */
  let backlog = NO_REQUESTS;
  let next = 0;
  let paused = false;
  let service: Service | undefined;
  /** Of the latest call. */
  let number = 0;
  let sentMs = Infinity;
  let cause = 0;
  let ended = false;
  let beats = 0;
  let cancelBeat: Cancel | undefined;
  let onPorts: ((text: string) => void) | undefined;
  let statusText = "";
  let statusDueMs = 0;

  const outbox = createOutbox(stream, {
    before: () => (feed.waiting ? blobMessage("EVENTS", feed.take()) : ""),
    after() {
      const messages = statusMessage() + (mirror.waiting ? blobMessage("VARS", mirror.take()) : "");
      if (mirror.waiting) outbox.flushLater();
      return messages;
    },
    drained: () => goOn(),
  });

  const unwatch = journal.watch(({ kind }) => {
    if (TELLING.has(kind)) statusDueMs = 0;
  });

  function lose(reason: AgentError): void {
    if (ended) return;
    close();
    options.onFrontLost(reason);
  }

  function close(): void {
    ended = true;
    cancelBeat?.();
    unwatch();
    feed.close();
    outbox.close();
    callers.clear();
    backlog = NO_REQUESTS;
    stream.destroy();
  }

  /** Empty unless it is time to look and something has changed. */
  function statusMessage(): ByteString {
    const nowMs = clock.monotonicMs();
    if (service === undefined || nowMs < statusDueMs) return "";
    statusDueMs = nowMs + STATUS_MS;
    const text = JSON.stringify(options.status());
    if (text === statusText) return "";
    statusText = text;
    return messageOf("STATUS", [text]);
  }

  function beat(dueMs: number): void {
    const nowMs = clock.monotonicMs();
    beats += 1;
    const loops = Object.entries(options.loops?.() ?? {}).flatMap(([name, value]) => [name, String(value)]);
    // A front that does not read would find a heap of them.
    if (!outbox.congested) outbox.add(messageOf("BEAT", [String(beats), (nowMs - dueMs).toFixed(3), ...loops]));
    beatAt(Math.max(dueMs + options.beatMs(), nowMs));
  }

  function beatAt(dueMs: number): void {
    cancelBeat = clock.after(Math.max(0, dueMs - clock.monotonicMs()), () => beat(dueMs));
  }

  async function start(text: string): Promise<void> {
    try {
      const opened = await options.onStart(text);
      if (ended) return;
      service = opened;
      statusText = JSON.stringify(options.status());
      statusDueMs = clock.monotonicMs() + STATUS_MS;
      outbox.add(messageOf("READY", [statusText, JSON.stringify(opened.verbs)]));
      beatAt(clock.monotonicMs() + options.beatMs());
    } catch (thrown) {
      const { code, message } = toAgentError(thrown);
      outbox.add(messageOf("FAILED", [code, message]));
    }
  }

  /** Orders that were on their way for too long belong to a front that stood still: whoever gave them has given up or given others. */
  function tooLate(request: Request, caller: HostCaller): Reply | undefined {
    const ageMs = clock.monotonicMs() - sentMs;
    if (ageMs <= limits().maxOrderAgeMs || !isOrder(request, options.reads)) return undefined;
    const { subject, text } = orderText(request);
    const age = `${Math.round(ageMs)} ms, more than the ${limits().maxOrderAgeMs} ms an order may be`;
    journal.record("refuse", subject, caller.name, `${text}: STALE`, caller.cause);
    return errorReply(new AgentError("STALE", `${text} was on its way for ${age}; send it again`));
  }

  function call(from: string, words: readonly ByteString[]): void {
    const caller = callers.get(from);
    const verb = words[0];
    if (caller === undefined || verb === undefined || service === undefined) {
      throw new AgentError("SYNTAX", `a call by caller ${from} came before it was introduced, or before READY`);
    }
    number += 1;
    const request = { verb, args: words.slice(1) };
    caller.cause = cause;
    cause = 0;
    const reply = tooLate(request, caller) ?? service.handle(request, caller);
    if (isPending(reply)) answerLater(number, reply);
    else outbox.add(`*2\r\n$1\r\nR\r\n${bulk(textOfReply(reply))}`);
  }

  function answerLater(id: number, reply: Promise<Reply>): void {
    outbox.add(messageOf("L", [String(id)]));
    const answer = (settled: Reply): void => {
      if (!ended) outbox.add(`*3\r\n$1\r\nD\r\n${bulk(String(id))}${bulk(textOfReply(settled))}`);
    };
    reply.then(answer, (thrown: unknown) => answer(errorReply(toAgentError(thrown))));
  }

  function take({ verb, args }: Request): void {
    const first = args[0] ?? "";
    const kind = verb.charCodeAt(0);
    // A digit: the number of a caller.
    if (kind >= 0x30 && kind <= 0x39) {
      call(verb, args);
      return;
    }
    switch (verb) {
      case "VARS":
        mirror.store(first);
        return;
      case "AT":
        sentMs = Number(first);
        return;
      case "CAUSE":
        // Below 0 in this process: an event of the front's journal.
        cause = -Number(first);
        return;
      case "CALLER":
        callers.tell(args);
        return;
      case "GONE":
        callers.gone(first);
        return;
      case "START":
        void start(textOf(first));
        return;
      case "PORTS":
        onPorts?.(textOf(first));
        return;
      default:
        throw new AgentError("SYNTAX", `there is no message ${JSON.stringify(verb.slice(0, 20))}`);
    }
  }

  /** Handles what came, a stretch at a time; reads on when that is done and the front reads too. */
  function goOn(): void {
    if (ended) return;
    try {
      const pauseAt = Math.min(backlog.length, next + CALLS_PER_TURN);
      for (; next < pauseAt && outbox.heldBytes <= MAX_UNREAD_BYTES; next++) take(backlog[next] as Request);
      if (parser.failure !== undefined && next === backlog.length) throw parser.failure;
    } catch (thrown) {
      lose(new AgentError("IO", `the front sent what cannot be understood: ${toAgentError(thrown).message}`, { cause: thrown }));
      return;
    }
    outbox.flush();
    if (next < backlog.length && outbox.heldBytes <= MAX_UNREAD_BYTES) setImmediate(goOn);
    regulate();
  }

  function regulate(): void {
    const stop = next < backlog.length || outbox.heldBytes > MAX_UNREAD_BYTES;
    if (stop === paused) return;
    paused = stop;
    if (stop) stream.pause();
    else stream.resume();
  }

  function onData(chunk: Uint8Array): void {
    if (ended) return;
    const came = parser.push(chunk);
    backlog = next < backlog.length ? [...backlog.slice(next), ...came] : came;
    next = 0;
    goOn();
  }

  stream.on("error", (error) => lose(new AgentError("IO", `the front is gone: ${error.message}`, { cause: error })));
  stream.on("end", () => lose(new AgentError("IO", "the front has ended")));
  stream.on("close", () => lose(new AgentError("IO", "the front has ended")));

  return {
    variables: mirror.variables,
    doing(text) {
      if (!ended) outbox.overtake(messageOf("DOING", [text ?? ""]));
    },
    takePorts: () =>
      new Promise((resolve) => {
        onPorts = resolve;
        if (!ended) outbox.overtake(messageOf("PORTS"));
      }),
    statusChanged() {
      statusDueMs = 0;
      outbox.flushLater();
    },
    figures: () => ({ calls: number, beats, callers: callers.count, events_lost: feed.lost }),
    close,
  };
}
