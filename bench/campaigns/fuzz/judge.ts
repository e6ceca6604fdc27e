import type { Reply } from "../../../agent/contract/request.ts";
import { createReplyParser } from "../../../agent/wire/resp-reply.ts";
import type { Exchange } from "./exchange.ts";
import type { Handles } from "./handles.ts";
import type { Case, Piece } from "./piece.ts";

/** Bytes of a classic reply. */
const REPLY_BYTES = 500;

/** The agent's limits.drainBytes: what it reads of a connection it has closed. */
const DRAIN_BYTES = 65_536;

/** What became of the connections. */
export interface Tally {
  connections: number;
  requests: number;
  replies: number;
  errors: number;
  /** Errors of the modern dialect by their codes. */
  readonly codes: Record<string, number>;
  internalErrors: number;
  resets: number;
  hung: number;
  /** Connections with replies that are none, too many or too few. */
  wrong: number;
  /** The first mistakes, described. */
  readonly notes: string[];
}

/** Mistakes described. */
const MAX_NOTES = 5;

export function createTally(): Tally {
  return { connections: 0, requests: 0, replies: 0, errors: 0, codes: {}, internalErrors: 0, resets: 0, hung: 0, wrong: 0, notes: [] };
}

/** A case as it was sent: `sent[i]` are the bytes of `pieces[i]`. */
export interface SentCase extends Case {
  readonly sent: readonly string[];
}

/** The pieces up to the one that ends the connection, or that nobody knows the answers of. */
interface Known {
  /** Pieces that get exactly one reply each. */
  readonly count: number;
  /** Whether nothing else is answered. */
  readonly all: boolean;
}

function knownOf(pieces: readonly Piece[]): Known {
  for (const [i, piece] of pieces.entries()) {
    if (isUnknown(piece)) return { count: i, all: false };
    if (piece.kind === "bytes" || piece.ends) return { count: i + 1, all: true };
  }
  return { count: pieces.length, all: true };
}

function isUnknown(piece: Piece): boolean {
  return piece.kind === "bytes" ? piece.answers === "any" : isSubscription(piece);
}

function isSubscription(piece: Piece): boolean {
  return piece.kind === "request" && piece.words[0] === "EVENT.TAIL";
}

function isPushed(reply: Reply): boolean {
  return reply.kind === "value" && Array.isArray(reply.value) && reply.value[0] === "event";
}

/** Counts what came back, learns from it, and describes what should not have come. */
export function judge(sentCase: SentCase, { received, end }: Exchange, tally: Tally, handles: Handles): void {
  tally.connections += 1;
  if (end === "hung") {
    tally.hung += 1;
    note(sentCase, received, "left hanging", tally);
  }
  if (end === "reset") tally.resets += 1;
  if (received.includes("internal error")) {
    tally.internalErrors += 1;
    note(sentCase, received, "an internal error", tally);
  }
  if (sentCase.dialect === "classic") judgeClassic(sentCase, received, end === "closed", tally, handles);
  else if (sentCase.dialect === "modern") judgeModern(sentCase, received, end === "closed", tally, handles);
  else tally.requests += 1;
}

function judgeClassic(sentCase: SentCase, received: Buffer, closed: boolean, tally: Tally, handles: Handles): void {
  tally.requests += 1;
  if (!closed) return;
  if (received.length !== REPLY_BYTES) {
    wrong(sentCase, received, `a classic reply of ${received.length} bytes`, tally);
    return;
  }
  tally.replies += 1;
  const text = received.toString("latin1");
  if (text.startsWith("ERR ") || text.startsWith("\0")) tally.errors += 1;
  if (!isData(sentCase) && !/^[^\0]*\0+$/.test(text)) wrong(sentCase, received, "padding that is not zero", tally);
  handles.learnAddress(text.slice(0, text.indexOf("\0")));
}

/** Whether the reply is what a file or a block holds, which may be any bytes. */
function isData({ sent }: SentCase): boolean {
  return sent.some((bytes) => /^virgo_cloud_(read|get)/.test(bytes));
}

function judgeModern(sentCase: SentCase, received: Buffer, closed: boolean, tally: Tally, handles: Handles): void {
  const { pieces, sent } = sentCase;
  const known = knownOf(pieces);
  tally.requests += Math.max(1, known.count);
  const parser = createReplyParser();
  const messages = parser.push(received).flatMap((message) => (message.kind === "reply" ? [message.reply] : []));
  // In RESP2 what was subscribed to looks like a reply, and may come before the replies to what was asked earlier.
  const replies = pieces.some(isSubscription) ? messages.filter((reply) => !isPushed(reply)) : messages;
  tally.replies += replies.length;
  for (const reply of replies) countError(reply, tally);
  if (parser.failure !== undefined) {
    wrong(sentCase, received, parser.failure.message, tally);
    return;
  }
  judgeReplies(sentCase, replies.slice(0, known.count), received, tally, handles);
  // Whoever sends on and on to an agent that has closed may lose its answers.
  const after = sent.slice(Math.max(0, known.count - 1)).reduce((length, bytes) => length + bytes.length, 0);
  if (!closed || after > DRAIN_BYTES) return;
  const amiss = known.all ? replies.length !== known.count : replies.length < known.count;
  if (amiss) wrong(sentCase, received, `${replies.length} replies to ${known.count} requests`, tally);
}

function countError(reply: Reply, tally: Tally): void {
  if (reply.kind !== "error") return;
  tally.errors += 1;
  tally.codes[reply.error.code] = (tally.codes[reply.error.code] ?? 0) + 1;
}

function judgeReplies(sentCase: SentCase, replies: readonly Reply[], received: Buffer, tally: Tally, handles: Handles): void {
  for (const [i, reply] of replies.entries()) {
    const piece = sentCase.pieces[i];
    if (piece?.kind !== "request") continue;
    handles.learn(piece.words, reply);
    if (piece.expected === undefined || (reply.kind === "value" && reply.value === piece.expected)) continue;
    wrong(sentCase, received, `PING ${piece.expected} has the answer of something else: ${JSON.stringify(reply)}`, tally);
    return;
  }
}

function wrong(sentCase: SentCase, received: Buffer, what: string, tally: Tally): void {
  tally.wrong += 1;
  note(sentCase, received, what, tally);
}

function note(sentCase: SentCase, received: Buffer, what: string, tally: Tally): void {
  if (tally.notes.length >= MAX_NOTES) return;
  const sent = JSON.stringify(sentCase.sent.map((bytes) => bytes.slice(0, 200))).slice(0, 4000);
  const tail = JSON.stringify(received.toString("latin1", Math.max(0, received.length - 600)));
  tally.notes.push(`${what}: sent ${sent}, received ${received.length} bytes, at the end ${tail}`);
}
