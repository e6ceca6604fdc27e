import type { ByteString, Reply } from "../contract/request.ts";
import { CLONE_ACKNOWLEDGEMENT } from "./classic-clone.ts";
import type { ClassicGrammar } from "./classic.ts";

/** A payload for the queue, or a reply to one of its messages; `args` is the payload. */
export const QUEUE_TOKEN = "QUEUE.TOKEN";

/** How an accepted payload is answered: with the text of virgo_clone, or with nothing but NULs as builds since July 2015 do. */
export type QueueReplyStyle = "ack" | "nul";

const REPLY_START = Buffer.from("REPLY#", "latin1");
const SPACE = 0x20;

/**
 * Port 60000. The first word is the payload, there is no command. A reply (`REPLY#<ip>#<sec>:<nsec> text`) is the whole line: the original sends one in
 * words. What was taken is acknowledged, once it is on disk; what was not (the queue is full, no request waits for that reply) is answered with NULs
 * only, so that the text always means that nothing gets lost.
 */
export function createQueueGrammar({ queueReply }: { readonly queueReply: QueueReplyStyle }): ClassicGrammar {
  return {
    createDelimiter: createSpaceUnlessReply,
    request: (text) => ({ verb: QUEUE_TOKEN, args: [text] }),
    payload: (reply) => (queueReply === "nul" ? "" : payloadOf(reply)),
  };
}

function createSpaceUnlessReply(): (byte: number) => boolean {
  /** Bytes that are as those of a reply; -1 once one was not. */
  let alike = 0;
  return (byte) => {
    if (alike === REPLY_START.length) return false;
    if (alike >= 0) alike = byte === REPLY_START[alike] ? alike + 1 : -1;
    return byte === SPACE;
  };
}

function payloadOf(reply: Reply): ByteString {
  return reply.kind === "error" ? "" : CLONE_ACKNOWLEDGEMENT;
}
