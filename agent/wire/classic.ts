import { AgentError } from "../contract/errors.ts";
import type { Limits } from "../contract/limits.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";
import type { Codec } from "./codec.ts";

/** Every reply of the original's listeners has this size, whatever is in it. */
export const CLASSIC_REPLY_BYTES = 500;

const NUL = 0x00;
const CR = 0x0d;
const LF = 0x0a;

const NO_REQUESTS: readonly Request[] = [];

/** What one of the original's services makes of its bytes. */
export interface ClassicGrammar {
  /** Made once per request; told every byte in order; says whether that byte is the delimiter which ends the request. NUL, CR and LF always do. */
  createDelimiter(): (byte: number) => boolean;
  /** Throws SYNTAX for text that means nothing. */
  request(text: ByteString): Request;
  /** The payload of the reply; `request` is absent for a failure. */
  payload(reply: Reply, request: Request | undefined): ByteString;
}

/**
 * The original VIRGO's dialect: one request per connection, ended by NUL, CR, LF, the service's delimiter or silence; one reply of exactly 500 bytes.
 * What follows the request is read and dropped.
 */
export function createClassicCodec(limits: Pick<Limits, "classicMaxBytes">, grammar: ClassicGrammar): Codec {
  const isDelimiter = grammar.createDelimiter();
  let text = "";
  let state: "reading" | "asked" = "reading";
  let spoken = false;
  let failure: AgentError | undefined;

  /** Takes the request's bytes; returns the position of its end, -1 when it goes on. */
  function readRequest(bytes: Buffer): number {
    const most = Math.min(bytes.length, limits.classicMaxBytes - text.length);
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === NUL || byte === CR || byte === LF || isDelimiter(byte)) {
        text += bytes.toString("latin1", 0, at);
        return at;
      }
      if (at >= most) {
        failure = new AgentError("LIMIT", `a request of more than ${limits.classicMaxBytes} bytes is refused (limits.classicMaxBytes)`);
        return -1;
      }
    }
    text += bytes.toString("latin1");
    return -1;
  }

  function ask(): readonly Request[] {
    state = "asked";
    try {
      return [grammar.request(text)];
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      failure = thrown;
      return NO_REQUESTS;
    }
  }

  return {
    push(chunk) {
      if (failure !== undefined) return NO_REQUESTS;
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      if (state === "asked") {
        spoken ||= bytes.includes(LF);
        return NO_REQUESTS;
      }
      const end = readRequest(bytes);
      if (end < 0) return NO_REQUESTS;
      spoken = bytes.includes(LF, end);
      return ask();
    },
    quiet() {
      return state === "reading" && text !== "" && failure === undefined ? ask() : NO_REQUESTS;
    },
    get awaitsSilence() {
      return state === "reading" && text !== "" && failure === undefined;
    },
    get pendingBytes() {
      return state === "reading" ? text.length : 0;
    },
    get failure() {
      return failure;
    },
    oneShot: true,
    get spoken() {
      return spoken;
    },
    format(reply, request, sink) {
      sink.latin1(padded(grammar.payload(reply, request)));
    },
    formatPush() {
      // There is no place for it between one request and its one reply.
    },
  };
}

/** The payload, cut to leave room for one NUL, and NULs up to the size of every reply: never what else is in memory. */
function padded(payload: ByteString): ByteString {
  return payload.slice(0, CLASSIC_REPLY_BYTES - 1).padEnd(CLASSIC_REPLY_BYTES, "\0");
}
