import { join } from "node:path";

import { AgentError, toAgentError } from "../contract/errors.ts";
import { errorReply, OK, refusal, textOf, valueReply } from "../contract/request.ts";
import type { ByteString, Caller, OpenService, Reply, Request, Service, VerbDoc } from "../contract/request.ts";
import type { Clock } from "../contract/clock.ts";
import type { Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { Eventually } from "../contract/value.ts";
import { createAwaiting } from "./queue/awaiting.ts";
import { deliveryValue, noReply } from "./queue/delivery.ts";
import { findRequest } from "./queue/find-request.ts";
import { startHandlers, type WorkRunner } from "./queue/handlers.ts";
import { addressHex, isReplyToken, readReplyToken } from "./queue/header.ts";
import { openLedger, type Ledger } from "./queue/ledger.ts";
import { DEFAULT_PRIORITY, PRIORITIES, type Message } from "./queue/message.ts";
import { fieldOf } from "./queue/records.ts";
import { startRequestReplyFile } from "./queue/request-reply-file.ts";
import { createWaitingRoom } from "./queue/waiting-room.ts";
import { readId, readName, readNumber, readOptions } from "./queue/words.ts";
import type { QueueOptions } from "./queue/options.ts";
import type { TopicCounts } from "./queue/topics.ts";

/** Where messages go whose sender names no topic, and so all that comes in the classic dialect: the original had this one queue. */
const DEFAULT_TOPIC = "kingcobra";

/** What a classic grammar makes of a payload; its argument is the payload. */
const TOKEN = "QUEUE.TOKEN";

const VERBS: readonly VerbDoc[] = [
  {
    verb: "ENQUEUE",
    usage: "payload [TOPIC t] [PRIORITY 0-9] [CORRELATION mark]",
    summary: "put a message on the queue; its id, once it is on disk",
  },
  {
    verb: "DEQUEUE",
    usage: "[TOPIC t] [WAIT ms] [VISIBILITY ms]",
    summary: "take the first message, or null when none comes in time; it comes again unless it is acknowledged within VISIBILITY",
  },
  { verb: "ACK", usage: "id", summary: "the message is done with" },
  {
    verb: "NACK",
    usage: "id [DELAY ms] [REASON text]",
    summary: "the message was not done: deliver it again, or bury it after too many times",
  },
  { verb: "REPLY", usage: "id payload", summary: "acknowledge the message and keep an answer for who sent it" },
  { verb: "AWAIT", usage: "id | CORRELATION mark [WAIT ms]", summary: "the answer to a message, or null when none comes in time" },
  { verb: "QSTAT", usage: "[topic]", summary: "topics with what is ready, in flight, delayed, and how old the oldest is" },
];

const USAGE = new Map(VERBS.map(({ verb, usage }) => [verb, `${verb} ${usage}`]));

export interface QueueServiceOptions {
  /** Where the log and, unless the options say where, REQUEST_REPLY.queue are; made when it is not there. */
  readonly folder: string;
  readonly options: QueueOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  /** Answers CLONE for handlers. */
  readonly devices: Service;
  readonly executables: WorkRunner;
}

export interface QueueService extends OpenService {
  /**
   * Takes a payload of the classic dialect: a message, answered with its id once it is on disk, or an answer to one (`REPLY#…`), which is never queued.
   * An empty one is answered null and nothing is kept. Never throws, never rejects.
   */
  accept(payload: ByteString, caller: Caller): Eventually<Reply>;
  /** The handlers take no more: before the devices go, so that no message counts as failed because of that. */
  stopHandlers(): void;
}

/** What a message says of who sent it. */
interface Sender {
  readonly ip: string;
  readonly from: ByteString;
}

/**
 * KingCobra: messages by topic, kept on disk before they are acknowledged, delivered at least once, first in first out within a priority. Rejects IO
 * when the folder cannot be used.
 */
export async function openQueueService(serviceOptions: QueueServiceOptions): Promise<QueueService> {
  const { folder, options, clock, log, journal, devices, executables } = serviceOptions;
  const { maxWaitMs, maxVisibilityMs, visibilityMs, maxWaiting } = options;
  const senders = new WeakMap<Caller, Sender>();
  const awaiting = createAwaiting();
  const room = createWaitingRoom(clock, maxWaiting);
  const path = options.file ?? join(folder, "REQUEST_REPLY.queue");
  let unmatched = 0;

  const ledger: Ledger = await openLedger({
    folder: join(folder, "log"),
    options,
    clock,
    log,
    taken: (message) => file?.add(message),
    answered(reply) {
      awaiting.settle(reply.id, () => valueReply(Buffer.from(reply.payload, "latin1")));
    },
    ended(message) {
      awaiting.settle(message.id, () => errorReply(noReply(message)));
    },
  });
  const file = options.fileBytes === 0 ? undefined : startRequestReplyFile({ path, maxBytes: options.fileBytes, clock, log });
  const handlers = startHandlers({ options, ledger, devices, executables, journal, log });

  function senderOf(caller: Caller): Sender {
    const known = senders.get(caller);
    if (known !== undefined) return known;
    const sender = { ip: addressHex(caller.address), from: fieldOf(caller.name) };
    senders.set(caller, sender);
    return sender;
  }

  function enqueue(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [payload] = args;
    if (payload === undefined) throw wrong("ENQUEUE", args);
    if (args.length === 1) return take(payload, DEFAULT_TOPIC, DEFAULT_PRIORITY, "", caller);
    const asked = readOptions(args, 1, ["TOPIC", "PRIORITY", "CORRELATION"], usageOf("ENQUEUE"));
    const priority = asked.PRIORITY === undefined ? DEFAULT_PRIORITY : readNumber("PRIORITY", asked.PRIORITY, 0, PRIORITIES - 1);
    const correlation = asked.CORRELATION === undefined ? "" : readName("CORRELATION", asked.CORRELATION);
    return take(payload, topicOf(asked.TOPIC), priority, correlation, caller);
  }

  function take(payload: ByteString, topic: ByteString, priority: number, correlation: ByteString, caller: Caller): Promise<Reply> {
    permit(caller, topic);
    const { ip, from } = senderOf(caller);
    const { promise, resolve } = createLater();
    ledger.take({ topic, priority, correlation, wallMs: Math.round(clock.wallMs()), ip, from, payload }, (outcome) => {
      resolve(outcome instanceof AgentError ? errorReply(outcome) : valueReply(outcome.id));
    });
    return promise;
  }

  function dequeue(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    const asked = readOptions(args, 0, ["TOPIC", "WAIT", "VISIBILITY"], usageOf("DEQUEUE"));
    const topic = topicOf(asked.TOPIC);
    permit(caller, topic);
    const waitMs = readWait(asked.WAIT);
    const visibleMs =
      asked.VISIBILITY === undefined
        ? visibilityMs
        : readNumber("VISIBILITY", asked.VISIBILITY, 10, maxVisibilityMs, "queue.maxVisibilityMs");
    const message = ledger.topics.receive(topic, visibleMs);
    if (message !== undefined) return valueReply(deliveryValue(message));
    if (waitMs === 0) return NOTHING;
    return room.wait(caller, waitMs, NOTHING, (give) =>
      ledger.topics.wait(topic, visibleMs, (come) => {
        give(valueReply(deliveryValue(come)));
      }),
    );
  }

  function ack(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const message = messageOf("ACK", only("ACK", args, 1), caller);
    const { promise, resolve } = createLater();
    ledger.acknowledge(message, (error) => {
      resolve(error === undefined ? OK : errorReply(error));
    });
    return promise;
  }

  function reply(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const message = messageOf("REPLY", only("REPLY", args, 2), caller);
    return answer(message, args[1] as ByteString);
  }

  function answer(message: Message, payload: ByteString): Promise<Reply> {
    const { promise, resolve } = createLater();
    ledger.answer(message, payload, (error) => {
      resolve(error === undefined ? OK : errorReply(error));
    });
    return promise;
  }

  function nack(args: readonly ByteString[], caller: Caller): Reply {
    if (args[0] === undefined) throw wrong("NACK", args);
    const asked = readOptions(args, 1, ["DELAY", "REASON"], usageOf("NACK"));
    const message = messageOf("NACK", args[0], caller);
    const delayMs = asked.DELAY === undefined ? 0 : readNumber("DELAY", asked.DELAY, 0, maxVisibilityMs, "queue.maxVisibilityMs");
    if (message.state !== "held") {
      throw new AgentError("NOT_READY", `message ${message.id} is with nobody; only what was delivered can be given back`);
    }
    ledger.giveBack(message, delayMs, asked.REASON === undefined ? "" : fieldOf(textOf(asked.REASON)));
    return OK;
  }

  function awaitReply(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    const [first] = args;
    if (first === undefined) throw wrong("AWAIT", args);
    const byMark = first.toUpperCase() === "CORRELATION";
    const asked = readOptions(args, byMark ? 0 : 1, ["CORRELATION", "WAIT"], usageOf("AWAIT"));
    const id = asked.CORRELATION === undefined ? readId("AWAIT", first) : idOfMark(asked.CORRELATION);
    const waitMs = readWait(asked.WAIT);
    const kept = ledger.findReply(id);
    if (kept !== undefined) {
      permit(caller, kept.topic);
      return valueReply(Buffer.from(kept.payload, "latin1"));
    }
    const message = ledger.find(id);
    if (message === undefined) throw new AgentError("UNKNOWN", `no message ${id} is queued and no reply to it is kept`);
    permit(caller, message.topic);
    if (message.origin !== "") throw noReply(message);
    if (waitMs === 0) return NOTHING;
    return room.wait(caller, waitMs, NOTHING, (give) => awaiting.add(id, give));
  }

  function idOfMark(mark: ByteString): number {
    const id = ledger.idOf(mark);
    if (id === undefined) throw new AgentError("UNKNOWN", `no message with the mark ${textOf(mark)} is queued and no reply to one is kept`);
    return id;
  }

  function stat(args: readonly ByteString[], caller: Caller): Reply {
    if (args.length === 0) {
      const mine = ledger.topics.list().filter(({ topic }) => refusal(caller, "queue", textOf(topic)) === undefined);
      return valueReply(mine.map(countsValue).sort((a, b) => (a.topic < b.topic ? -1 : 1)));
    }
    const topic = topicOf(only("QSTAT", args, 1));
    permit(caller, topic);
    return valueReply(countsValue(ledger.topics.counts(topic)));
  }

  function countsValue({ topic, ready, held, delayed, waiting, bytes, oldestWallMs }: TopicCounts) {
    const oldestMs = oldestWallMs === undefined ? null : Math.max(0, Math.round(clock.wallMs() - oldestWallMs));
    return { topic: textOf(topic), ready, inFlight: held, delayed, waiting, bytes, oldestMs };
  }

  function readWait(word: ByteString | undefined): number {
    return word === undefined ? 0 : readNumber("WAIT", word, 0, maxWaitMs, "queue.maxWaitMs");
  }

  function messageOf(verb: string, word: ByteString, caller: Caller): Message {
    const id = readId(verb, word);
    const message = ledger.find(id);
    if (message === undefined || message.leaving) {
      throw new AgentError("UNKNOWN", `no message ${id} is queued: it was acknowledged already, or never was`);
    }
    permit(caller, message.topic);
    return message;
  }

  function takeReply(payload: ByteString, caller: Caller): Promise<Reply> {
    const token = readReplyToken(payload);
    if (token === undefined) throw new AgentError("SYNTAX", "a reply begins with REPLY#<address>#<sec>:<nsec>, the header of its request");
    const message = findRequest(ledger, token);
    if (message === undefined) {
      unmatched += 1;
      throw new AgentError("UNKNOWN", `no request ${token.ip}#${token.stamp} waits for a reply`);
    }
    permit(caller, message.topic);
    return answer(message, token.text);
  }

  function accept(payload: ByteString, caller: Caller): Eventually<Reply> {
    if (payload === "") return NOTHING;
    if (isReplyToken(payload)) return takeReply(payload, caller);
    return take(payload, DEFAULT_TOPIC, DEFAULT_PRIORITY, "", caller);
  }

  function dispatch({ verb, args }: Request, caller: Caller): Eventually<Reply> {
    switch (verb) {
      case "ENQUEUE":
        return enqueue(args, caller);
      case "DEQUEUE":
        return dequeue(args, caller);
      case "ACK":
        return ack(args, caller);
      case "NACK":
        return nack(args, caller);
      case "REPLY":
        return reply(args, caller);
      case "AWAIT":
        return awaitReply(args, caller);
      case "QSTAT":
        return stat(args, caller);
      case TOKEN:
        return accept(args[0] ?? "", caller);
      default:
        throw new AgentError("UNKNOWN", `the queue has no verb ${verb}`);
    }
  }

  return {
    verbs: VERBS,
    handle: (request, caller) => answered(() => dispatch(request, caller)),
    accept: (payload, caller) => answered(() => accept(payload, caller)),
    stopHandlers: () => {
      handlers.stop();
    },
    figures() {
      const topics = ledger.topics.list();
      const sum = (count: (counts: TopicCounts) => number) => topics.reduce((total, counts) => total + count(counts), 0);
      return {
        ready: sum(({ ready }) => ready),
        in_flight: sum(({ held }) => held),
        delayed: sum(({ delayed }) => delayed),
        topics: topics.length,
        dead: sum((counts) => (ledger.isDeadTopic(counts.topic) ? counts.ready + counts.held + counts.delayed : 0)),
        waiting: room.size,
        replies_unmatched: unmatched,
        ...ledger.figures(),
        ...handlers.figures(),
        ...file?.figures(),
      };
    },
    async close() {
      await handlers.close();
      room.close();
      await ledger.close();
      await file?.close();
    },
  };
}

const NOTHING: Reply = valueReply(null);

function answered(work: () => Eventually<Reply>): Eventually<Reply> {
  try {
    return work();
  } catch (error) {
    return errorReply(toAgentError(error));
  }
}

interface Later {
  readonly promise: Promise<Reply>;
  readonly resolve: (reply: Reply) => void;
}

/** What is thrown before it is resolved goes to who asked, not into the promise. */
function createLater(): Later {
  let resolve: Later["resolve"] = () => undefined;
  const promise = new Promise<Reply>((give) => {
    resolve = give;
  });
  return { promise, resolve };
}

function permit(caller: Caller, topic: ByteString): void {
  const refused = refusal(caller, "queue", textOf(topic));
  if (refused !== undefined) throw refused;
}

function topicOf(word: ByteString | undefined): ByteString {
  return word === undefined ? DEFAULT_TOPIC : readName("TOPIC", word);
}

function usageOf(verb: string): string {
  return `usage: ${USAGE.get(verb) ?? verb}`;
}

function wrong(verb: string, args: readonly ByteString[]): AgentError {
  return new AgentError("ARGUMENT", `${verb} got ${args.length} words; ${usageOf(verb)}`);
}

/** The first of exactly so many words. */
function only(verb: string, args: readonly ByteString[], count: number): ByteString {
  const [word] = args;
  if (word === undefined || args.length !== count) throw wrong(verb, args);
  return word;
}
