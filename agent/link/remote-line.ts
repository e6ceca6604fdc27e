import type { Duplex } from "node:stream";

import { AgentError, ERROR_CODES, toAgentError, type ErrorCode } from "../contract/errors.ts";
import { errorReply, textOf, type ByteString, type Caller, type Reply, type Request, type VerbDoc } from "../contract/request.ts";
import { bulk, blobMessage, createMessageParser, createReplyReader, messageOf } from "./messages.ts";
import { createOpenCalls } from "./open-calls.ts";
import { createOutbox } from "./outbox.ts";
import { takeInput } from "./stream-input.ts";
import type { Arrivals } from "./arrivals.ts";
import type { CallerNumbers, Registered } from "./callers.ts";
import type { EventIntake } from "./events.ts";
import type { LinkLimits } from "./limits.ts";
import type { Mirror } from "./mirror.ts";

/** Signs of life of the device host. */
export interface Beat {
  /** Rises by one with each, from 1. */
  readonly count: number;
  /** How late the device host's event loop was with it, milliseconds. */
  readonly lateMs: number;
  /** What the device host says of its control loops. */
  readonly loops: Readonly<Record<string, number>>;
}

/** What the device host says on its own. */
export interface LineEvents {
  ready(status: string, verbs: readonly VerbDoc[]): void;
  /** It could not start. */
  failed(error: AgentError): void;
  status(text: string): void;
  doing(text: string): void;
  /** It wants the ports of its devices now. */
  ports(): void;
  beat(beat: Beat): void;
  /** Called once: nothing comes any more. */
  ended(error: AgentError): void;
}

export interface LineOptions {
  readonly stream: Duplex;
  readonly limits: LinkLimits;
  readonly arrivals: Arrivals;
  readonly callers: CallerNumbers;
  readonly mirror: Mirror;
  readonly intake: EventIntake;
  readonly events: LineEvents;
}

/** The front's end of one stream to one device host. */
export interface Line {
  readonly openCalls: number;
  call(request: Request, caller: Caller): Reply | Promise<Reply>;
  /** The emergency stop: before every call that has not been written, and whatever the limits. */
  stopAll(request: Request, caller: Caller): Reply | Promise<Reply>;
  /** Sends a message of the link itself. */
  tell(message: ByteString): void;
  flushLater(): void;
  end(error: AgentError): void;
}

/** AT is said again when it has changed by more than this part of the age that is allowed. */
const AT_PARTS = 32;

const OUTCOME_UNKNOWN = "the device host ended; whether it was carried out is not known";

export function openLine({ stream: given, limits, arrivals, callers, mirror, intake, events }: LineOptions): Line {
  const parser = createMessageParser();
  const stream = takeInput(given, onData);
  const replyOf = createReplyReader();
  const open = createOpenCalls();
  const atStepMs = limits.maxOrderAgeMs / AT_PARTS;
  let saidAtMs = -Infinity;
  /** A reset of the emergency stop may be among the calls that were not written. */
  let resetWaits = false;
  let ended = false;

  const outbox = createOutbox(stream, {
    before: () => "",
    after() {
      let messages = "";
      // The rest follows when the peer has read this.
      if (mirror.waiting) messages = blobMessage("VARS", mirror.take());
      if (mirror.waiting) outbox.flushLater();
      return messages;
    },
    drained: () => undefined,
  });

  function end(error: AgentError): void {
    if (ended) return;
    ended = true;
    outbox.close();
    stream.destroy();
    open.fail(new AgentError("IO", OUTCOME_UNKNOWN, { cause: error }));
    events.ended(error);
  }

  function ask(entry: Registered, { verb, args }: Request): ByteString {
    let message = `*${2 + args.length}\r\n${entry.head}${bulk(verb)}`;
    for (const arg of args) message += bulk(arg);
    return message;
  }

  function unsendable(caller: Caller): Reply {
    return errorReply(new AgentError("DENIED", `the permits of ${caller.name} have no list that the device host could check`));
  }

  /** What must be known of a call before it. */
  function preface(caller: Caller): ByteString {
    let messages = "";
    const atMs = arrivals.nowMs();
    if (Math.abs(atMs - saidAtMs) > atStepMs) {
      saidAtMs = Math.floor(atMs);
      messages = messageOf("AT", [String(saidAtMs)]);
    }
    if (caller.cause !== undefined && caller.cause !== 0) messages += messageOf("CAUSE", [String(caller.cause)]);
    return messages;
  }

  function fullText(): string | undefined {
    if (open.count >= limits.maxOpenCalls) return `${open.count} calls are open in the device host; ask again when some are answered`;
    if (outbox.heldBytes <= limits.maxHeldBytes) return undefined;
    return `the device host does not read: ${outbox.heldBytes} bytes wait for it; ask again later`;
  }

  function take({ verb, args }: Request): void {
    const first = args[0] ?? "";
    switch (verb) {
      case "R":
        open.answer(replyOf(first));
        return;
      case "EVENTS":
        intake.store(first);
        return;
      case "VARS":
        mirror.store(first);
        return;
      case "L":
        open.postpone(Number(first));
        return;
      case "D":
        open.answerPostponed(Number(first), replyOf(args[1] ?? ""));
        return;
      default:
        hear(verb, args.map(textOf));
    }
  }

  /** What is said rarely. */
  function hear(verb: string, words: readonly string[]): void {
    const [first = "", second = ""] = words;
    switch (verb) {
      case "BEAT":
        events.beat(beatOf(words));
        return;
      case "STATUS":
        events.status(first);
        return;
      case "DOING":
        events.doing(first);
        return;
      case "PORTS":
        events.ports();
        return;
      case "READY":
        events.ready(first, JSON.parse(second) as readonly VerbDoc[]);
        return;
      case "FAILED":
        events.failed(new AgentError(codeOf(first), second));
        return;
      default:
        throw new AgentError("SYNTAX", `there is no message ${JSON.stringify(verb.slice(0, 20))}`);
    }
  }

  function onData(chunk: Uint8Array): void {
    if (ended) return;
    try {
      for (const message of parser.push(chunk)) take(message);
      if (parser.failure !== undefined) throw parser.failure;
    } catch (thrown) {
      const { message } = toAgentError(thrown);
      end(new AgentError("IO", `the device host sent what cannot be understood: ${message}`, { cause: thrown }));
    }
  }

  stream.on("error", (error) => end(new AgentError("IO", `the device host is gone: ${error.message}`, { cause: error })));
  stream.on("end", () => end(new AgentError("IO", "the device host has ended")));
  stream.on("close", () => end(new AgentError("IO", "the device host has ended")));

  return {
    get openCalls() {
      return open.count;
    },
    call(request, caller) {
      const full = fullText();
      if (full !== undefined) return errorReply(new AgentError("FULL", full));
      const entry = callers.entryOf(caller);
      if (entry === undefined) return unsendable(caller);
      if (request.verb === "ESTOP") resetWaits = true;
      else if (outbox.unsentCalls === 0) resetWaits = false;
      outbox.addCall(preface(caller) + ask(entry, request));
      return open.add();
    },
    stopAll(request, caller) {
      const entry = callers.entryOf(caller);
      if (entry === undefined) return unsendable(caller);
      const waitsForReset = resetWaits && outbox.unsentCalls > 0;
      // What introduced the caller may still wait among what is overtaken.
      const answer = open.addBefore(outbox.unsentCalls);
      outbox.overtake(callers.introduction(caller, entry) + ask(entry, request));
      if (waitsForReset) {
        // The reset that was asked before would undo it: stopped again in its place.
        outbox.addCall(ask(entry, request));
        void open.add();
      }
      return answer;
    },
    tell: (message) => outbox.add(message),
    flushLater: () => outbox.flushLater(),
    end,
  };
}

/** `count late name value …` */
function beatOf([count, late, ...pairs]: readonly string[]): Beat {
  const loops: Record<string, number> = {};
  for (let i = 0; i + 1 < pairs.length; i += 2) loops[pairs[i] as string] = Number(pairs[i + 1]);
  return { count: Number(count), lateMs: Number(late), loops };
}

function codeOf(word: string): ErrorCode {
  return ERROR_CODES.find((code) => code === word) ?? "IO";
}
