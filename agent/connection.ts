import type { Socket } from "node:net";

import { createAnswerQueue } from "./answer-queue.ts";
import { AgentError, messageOf } from "./contract/errors.ts";
import { errorReply } from "./contract/request.ts";
import { isPending } from "./contract/value.ts";
import type { Cancel, Clock } from "./contract/clock.ts";
import type { Limits } from "./contract/limits.ts";
import type { Log } from "./contract/log.ts";
import type { Reply, Request } from "./contract/request.ts";
import type { Eventually } from "./contract/value.ts";
import type { Conversation, Link, Peer } from "./conversation.ts";
import type { ListenerStats } from "./listener-stats.ts";
import { takeInput } from "./socket-input.ts";
import type { TakingSink } from "./taking-sink.ts";
import type { Codec } from "./wire/codec.ts";

/** What the connections of one listener share. */
export interface Surroundings {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly stats: ListenerStats;
  readonly sink: TakingSink;
  /** What is read goes through this, one read at a time. */
  readonly input: Buffer;
  readonly openConversation: (link: Link) => Conversation;
  /** The peer may not speak the dialect it spoke. */
  readonly onRefused: (peer: Peer) => void;
  /** Called once, when the connection is gone. */
  readonly onGone: (connection: Connection) => void;
}

export interface Connection {
  /** Bytes that came before it was served. */
  take(first: Buffer): void;
  /** Called `SWEEPS_PER_IDLE` times per idle limit. */
  sweep(): void;
  /** Answers what was asked so far, then closes. */
  finish(): void;
  /** Closes at once. */
  destroy(): void;
}

/** Sweeps in the time of the idle limit: a connection expires not before that time and at most a quarter later. */
export const SWEEPS_PER_IDLE = 4;

/** Replies waiting in the process beyond this: nothing more is read or asked until the client has taken them. */
const HIGH_WATER_BYTES = 64 * 1024;

/** Requests of one connection handled at a stretch: then timers, leases above all, and the other connections have their turn. */
const REQUESTS_PER_TURN = 256;

const NO_REQUESTS: readonly Request[] = [];

/**
 * Serves one accepted socket until it is gone. Replies leave in the order of the requests, those of one turn in one write. Nothing is read while
 * `limits.maxPipeline` requests wait for their answers or while the client does not read.
 */
export function serveConnection(accepted: Socket, peer: Peer, id: number, around: Surroundings): Connection {
  const { limits, clock, stats, sink } = around;
  const socket = takeInput(accepted, around.input, onData);
  let conversation: Conversation | undefined;
  let gone: AbortController | undefined;
  /** Requests that came, from `next` on not handled yet. */
  let backlog = NO_REQUESTS;
  let next = 0;
  let out = "";
  let asked = false;
  let inputEnded = false;
  let choked = false;
  let paused = false;
  let subscribed = false;
  let turnEnds = false;
  let goesOn = false;
  /** Bytes counted in `stats.bytesPending`. */
  let weight = 0;
  /** reading; closing: nothing more is handled; draining: everything is answered, input is dropped; ended: so is our side; gone. */
  let state: "reading" | "closing" | "draining" | "ended" | "gone" = "reading";
  let timer: Cancel | undefined;
  let heardMs = 0;
  let drained = 0;
  let quietSweeps = 0;
  let unreadAtSweep = 0;

  const waiting = createAnswerQueue({ answer, rejected: internalError, answered: endTurnLater });

  const link: Link = {
    id,
    peer,
    get signal() {
      gone ??= new AbortController();
      if (state === "gone") gone.abort();
      return gone.signal;
    },
    push(message) {
      if (conversation === undefined || state !== "reading") return;
      subscribed = true;
      conversation.codec.formatPush(message, sink);
      out += sink.take();
      if (out.length + socket.writableLength > limits.maxOutputBytes) overflow();
      else endTurnLater();
    },
    end: startClosing,
  };

  const connection: Connection = {
    take: onData,
    sweep,
    finish() {
      startClosing();
      endTurn();
    },
    destroy: () => socket.destroy(),
  };

  function onData(chunk: Buffer): void {
    stats.bytesIn += chunk.length;
    quietSweeps = 0;
    if (state !== "reading") {
      drop(chunk);
      return;
    }
    try {
      conversation ??= around.openConversation(link);
      take(conversation.codec.push(chunk));
      weigh(conversation.codec);
      awaitSilence(conversation.codec);
    } catch (thrown) {
      around.log.error({ err: thrown, peer: peer.address }, "internal error while reading requests; the connection is closed");
      socket.destroy();
    }
  }

  /** Half requests are kept in memory: together they must not take more of it than is allowed. */
  function weigh(codec: Codec): void {
    const bytes = codec.pendingBytes;
    if (bytes === weight) return;
    stats.bytesPending += bytes - weight;
    weight = bytes;
    if (bytes === 0 || state !== "reading" || stats.bytesPending <= limits.maxPendingBytes) return;
    fail(
      new AgentError("LIMIT", `too many requests are half here; limits.maxPendingBytes is ${limits.maxPendingBytes} for all connections`),
    );
    endTurn();
  }

  function onEnd(): void {
    inputEnded = true;
    if (state === "draining") endOutput();
    else take(state === "reading" && conversation !== undefined ? conversation.codec.quiet() : NO_REQUESTS);
  }

  function take(requests: readonly Request[]): void {
    backlog = next < backlog.length ? [...backlog.slice(next), ...requests] : requests;
    next = 0;
    endTurn();
  }

  /** Handles what may be handled, sends what there is to send, and goes on to whatever follows. */
  function endTurn(): void {
    const pauseAt = next + REQUESTS_PER_TURN;
    while (next < backlog.length && next < pauseAt && state === "reading" && !isBlocked()) {
      run(backlog[next] as Request);
      next += 1;
      if (out.length > HIGH_WATER_BYTES) flush();
    }
    if (next === pauseAt && next < backlog.length) goOnLater();
    if (next >= backlog.length) {
      backlog = NO_REQUESTS;
      next = 0;
      conclude();
    }
    flush();
    if (state === "closing" && waiting.length === 0) drain();
    else if (state === "reading") regulate();
  }

  function goOnLater(): void {
    if (goesOn) return;
    goesOn = true;
    setImmediate(() => {
      goesOn = false;
      if (state !== "gone") endTurn();
    });
  }

  function isBlocked(): boolean {
    return choked || waiting.length >= limits.maxPipeline;
  }

  /** Everything that came is handled: is this the end? */
  function conclude(): void {
    if (state !== "reading") return;
    const codec = conversation?.codec;
    if (codec?.failure !== undefined) fail(codec.failure);
    else if (inputEnded || (asked && codec?.oneShot === true)) state = "closing";
  }

  function run(request: Request): void {
    stats.requests += 1;
    asked = true;
    let reply: Eventually<Reply>;
    try {
      reply = (conversation as Conversation).handle(request);
    } catch (thrown) {
      reply = internalError(thrown, request);
    }
    if (isPending(reply) || waiting.length > 0) waiting.add(request, reply);
    else answer(reply, request);
  }

  function answer(reply: Reply, request: Request | undefined): void {
    const { codec, failed } = conversation as Conversation;
    if (reply.kind === "error") {
      stats.errors[reply.error.code] += 1;
      failed?.(reply.error, request);
    }
    try {
      codec.format(reply, request, sink);
      out += sink.take();
    } catch (thrown) {
      sink.take();
      codec.format(internalError(thrown, request), request, sink);
      out += sink.take();
    }
  }

  function internalError(thrown: unknown, request: Request | undefined): Reply {
    const verb = request?.verb ?? "nothing";
    around.log.error({ err: thrown, verb, peer: peer.address }, "internal error while answering a request");
    return errorReply(new AgentError("IO", `internal error while answering ${verb}: ${messageOf(thrown)}`, { cause: thrown }));
  }

  /** Answers `failure` after everything else, and closes. */
  function fail(failure: AgentError): void {
    state = "closing";
    if (failure.code === "DENIED") around.onRefused(peer);
    if (waiting.length > 0) waiting.add(undefined, errorReply(failure));
    else answer(errorReply(failure), undefined);
  }

  function endTurnLater(): void {
    if (turnEnds) return;
    turnEnds = true;
    process.nextTick(() => {
      turnEnds = false;
      if (state !== "gone") endTurn();
    });
  }

  function flush(): void {
    if (out === "") return;
    const bytes = out;
    out = "";
    stats.bytesOut += bytes.length;
    socket.write(bytes, "latin1");
    const unread = socket.writableLength;
    if (unread > limits.maxOutputBytes) overflow();
    else if (unread > HIGH_WATER_BYTES) choked = true;
  }

  function overflow(): void {
    stats.errors.LIMIT += 1;
    around.log.warn(
      { peer: peer.address, maxOutputBytes: limits.maxOutputBytes },
      "a client that does not read its replies is disconnected",
    );
    out = "";
    socket.destroy();
  }

  function onDrain(): void {
    choked = false;
    quietSweeps = 0;
    endTurnLater();
  }

  /** Reads on or stops reading. */
  function regulate(): void {
    const stop = isBlocked() || next < backlog.length;
    if (stop === paused) return;
    paused = stop;
    if (stop) socket.pause();
    else socket.resume();
  }

  function startClosing(): void {
    if (state === "reading") state = "closing";
  }

  function awaitSilence(codec: Codec): void {
    if (!codec.awaitsSilence) return;
    heardMs = clock.monotonicMs();
    timer ??= clock.after(limits.classicSilenceMs, () => onSilence(codec));
  }

  function onSilence(codec: Codec): void {
    timer = undefined;
    if (state !== "reading" || !codec.awaitsSilence) return;
    const leftMs = heardMs + limits.classicSilenceMs - clock.monotonicMs();
    if (leftMs > 0) timer = clock.after(leftMs, () => onSilence(codec));
    else take(codec.quiet());
  }

  /** Everything is answered. A close with input unread would be a reset, and could cost the client its reply: the rest of it is read and dropped. */
  function drain(): void {
    state = "draining";
    timer?.();
    timer = undefined;
    if (paused && drained <= limits.drainBytes) socket.resume();
    const codec = conversation?.codec;
    if (codec === undefined || !codec.oneShot || codec.spoken || inputEnded) endOutput();
    else awaitRest(clock.monotonicMs() + limits.drainMs);
  }

  /** Until the classic client has been silent or has sent for long enough. */
  function awaitRest(untilMs: number): void {
    const nowMs = clock.monotonicMs();
    heardMs = nowMs;
    timer = clock.after(Math.max(0, Math.min(limits.classicSilenceMs, untilMs - nowMs)), function look() {
      const laterMs = clock.monotonicMs();
      const leftMs = Math.min(heardMs + limits.classicSilenceMs, untilMs) - laterMs;
      if (leftMs > 0) timer = clock.after(leftMs, look);
      else endOutput();
    });
  }

  function drop(chunk: Buffer): void {
    drained += chunk.length;
    heardMs = clock.monotonicMs();
    const codec = conversation?.codec;
    if (codec?.oneShot === true) codec.push(chunk);
    if (drained > limits.drainBytes) dropNoMore();
    else if (codec?.spoken === true) endOutput();
  }

  /** The client may still read what it was sent: closing now, with input unread, could cost it that. */
  function dropNoMore(): void {
    paused = true;
    socket.pause();
    endOutput();
  }

  function endOutput(): void {
    if (state !== "draining") return;
    state = "ended";
    timer?.();
    timer = undefined;
    socket.end(() => {
      if (state === "ended") timer = clock.after(limits.drainMs, () => socket.destroy());
    });
  }

  function sweep(): void {
    const unread = socket.writableLength;
    const answering = (waiting.length > 0 || subscribed) && !choked;
    if (unread !== unreadAtSweep || answering) quietSweeps = 0;
    else quietSweeps += 1;
    unreadAtSweep = unread;
    if (quietSweeps > SWEEPS_PER_IDLE) expire();
  }

  function expire(): void {
    stats.expired += 1;
    if (choked || state !== "reading") {
      socket.destroy();
      return;
    }
    // A client between two requests would take an error for the answer to its next one.
    if (conversation !== undefined && conversation.codec.pendingBytes > 0) {
      fail(
        new AgentError("TIMEOUT", `the rest of a request did not come within limits.idleMs, ${limits.idleMs} ms; the connection is closed`),
      );
    }
    startClosing();
    endTurn();
  }

  function onClose(): void {
    state = "gone";
    timer?.();
    timer = undefined;
    backlog = NO_REQUESTS;
    waiting.clear();
    out = "";
    stats.bytesPending -= weight;
    weight = 0;
    gone?.abort();
    around.onGone(connection);
  }

  socket.on("end", onEnd);
  socket.on("drain", onDrain);
  socket.on("close", onClose);
  socket.on("error", () => {
    stats.socketErrors += 1;
  });
  return connection;
}
