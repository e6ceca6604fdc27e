import { AgentError, toAgentError } from "../contract/errors.ts";
import { bytesOf, errorReply, type ByteString, type Reply, type Request } from "../contract/request.ts";
import { createRespFactory } from "../wire/resp.ts";
import { formatReply } from "../wire/resp-format.ts";
import { createReplyParser } from "../wire/resp-reply.ts";
import type { ByteSink } from "../wire/codec.ts";

/*
 * Both directions carry arrays of bulk strings; the first word says what the message is.
 *
 * From the front:  START text · PORTS text · CALLER n name priority highest address ALL|ONLY permit … · GONE n · AT ms · CAUSE event · VARS records
 *                  n verb argument …     a call by caller n; AT says since when what follows was on its way, CAUSE what the next call follows from
 * From the host:   READY status verbs · FAILED code text · STATUS text · DOING text · PORTS · BEAT count late name value … · EVENTS records · VARS records
 *                  R reply     to the oldest call that has neither a reply nor a number
 *                  L number    that call is answered later
 *                  D number reply
 * A reply is what RESP3 writes for it, as one bulk string. PORTS asks for the ports of the devices, which whoever made them safe may hold until then; its
 * answer comes when they are free, with what there is to know of those devices.
 */

/** What a peer may send in one message: the largest request that limits allow and what is put around it. Both ends are one program. */
const MESSAGE_LIMITS = { maxRequestBytes: 1024 * 1024 * 1024, maxRequestArgs: 1_048_576 + 64 };

/** `$3\r\n` for the lengths most words have. */
const HEADS: readonly string[] = Array.from({ length: 256 }, (_, length) => `$${length}\r\n`);

/** A word that is made of bytes. */
export function bulk(bytes: ByteString): ByteString {
  const { length } = bytes;
  return `${length < HEADS.length ? (HEADS[length] as string) : `$${length}\r\n`}${bytes}\r\n`;
}

/** A message of words that are text. For what is said rarely. */
export function messageOf(kind: string, words: readonly string[] = []): ByteString {
  return `*${words.length + 1}\r\n${bulk(kind)}${words.map((word) => bulk(bytesOf(word))).join("")}`;
}

/** A message of one word that is made of bytes. */
export function blobMessage(kind: string, bytes: ByteString): ByteString {
  return `*2\r\n${bulk(kind)}${bulk(bytes)}`;
}

/** Bytes to messages, for one stream. */
export interface MessageParser {
  push(chunk: Uint8Array): readonly Request[];
  /** What came last is no message: nothing after it can be trusted. */
  readonly failure: AgentError | undefined;
}

export function createMessageParser(): MessageParser {
  return createRespFactory(MESSAGE_LIMITS)();
}

/** Longer replies are rarely the same twice. */
const KEPT_REPLY_BYTES = 32;
const KEPT_REPLIES = 1024;

/** RESP3 to replies. Throws SYNTAX for what is none. */
export function createReplyReader(): (bytes: ByteString) => Reply {
  const kept = new Map<ByteString, Reply>();

  function read(bytes: ByteString): Reply {
    const parser = createReplyParser();
    const [message, ...more] = parser.push(Buffer.from(bytes, "latin1"));
    if (parser.failure !== undefined) throw parser.failure;
    if (message?.kind !== "reply" || more.length > 0) throw new AgentError("SYNTAX", "a message holds no reply, or more than one");
    return message.reply;
  }

  return (bytes) => {
    if (bytes.length > KEPT_REPLY_BYTES) return read(bytes);
    const known = kept.get(bytes);
    if (known !== undefined) return known;
    const reply = read(bytes);
    if (reply.kind === "error") return reply;
    if (kept.size === KEPT_REPLIES) kept.clear();
    kept.set(bytes, reply);
    return reply;
  };
}

/** Replies to RESP3. One that cannot be written (a service's mistake) becomes an error. */
export function createReplyWriter(): (reply: Reply) => ByteString {
  let text = "";
  const sink: ByteSink = {
    latin1(bytes) {
      text += bytes;
    },
    bytes(bytes) {
      text += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    },
  };
  return (reply) => {
    text = "";
    try {
      formatReply(reply, 3, sink);
    } catch (thrown) {
      text = "";
      formatReply(errorReply(toAgentError(thrown)), 3, sink);
    }
    return text;
  };
}
