import { AgentError } from "../contract/errors.ts";
import type { ByteString, Request } from "../contract/request.ts";
import type { Codec } from "./codec.ts";
import { upperCase } from "./intern.ts";
import { formatReply } from "./resp-format.ts";

/** A first word that is one of these, in any case, starts a modern request; no classic request may start with them. */
export const RESERVED_VERBS: ReadonlySet<string> = new Set([
  ...["PING", "QUIT", "HELLO", "AUTH", "HELP", "INFO", "COMMAND", "CLIENT"],
  ...["CLONE", "DEVICES", "DESCRIBE", "RESET", "ESTOP", "MODULES", "INSMOD", "RMMOD", "RELOAD", "NODES"],
  ...["EVENT.VERTEX", "EVENT.EDGE", "EVENT.GRAPH", "EVENT.WHY", "EVENT.TAIL", "EVENT.ORDER", "EVENT.STAT"],
  ...["MALLOC", "SETM", "GETM", "FREEM", "TOUCHM", "SET", "GET", "DEL", "EXISTS", "PTTL", "INCR", "MGET", "MSET"],
  ...["SETNX", "SETEX", "PSETEX", "GETREV", "GETDEL", "UNLINK", "TYPE", "STRLEN", "APPEND", "MSETNX", "DECR", "INCRBY", "DECRBY"],
  ...["TTL", "EXPIRE", "PEXPIRE", "PERSIST", "KEYS", "SCAN", "DBSIZE", "FLUSHDB", "SELECT", "CONFIG"],
  ...["FOPEN", "FREAD", "FWRITE", "FCLOSE", "FSTAT", "FLIST", "FRENAME", "FREMOVE"],
  ...["ENQUEUE", "DEQUEUE", "ACK", "NACK", "REPLY", "AWAIT", "QSTAT"],
  ...["VAR.SET", "VAR.GET", "VAR.LIST", "VAR.WATCH", "VAR.UNWATCH", "VAR.SLOTS"],
]);

export interface DialectOptions {
  /** The modern dialect. */
  readonly resp: () => Codec;
  /** The port's classic dialect; absent for a peer that may not speak it: its connection is closed without a word, the failure is DENIED. */
  readonly classic: (() => Codec) | undefined;
}

const ASTERISK = 0x2a;

const NO_REQUESTS: readonly Request[] = [];

type Dialect = "modern" | "classic" | "undecided";

/**
 * A port that speaks both dialects: the first bytes decide which, then everything is left to that codec. A word that may still become a reserved verb
 * is waited for, however slowly it is typed.
 */
export function createDialectCodec(options: DialectOptions): Codec {
  let head = "";
  let chosen: Codec | undefined;
  let failure: AgentError | undefined;

  function choose(dialect: "modern" | "classic"): Codec | undefined {
    chosen = dialect === "modern" ? options.resp() : options.classic?.();
    if (chosen === undefined) failure = new AgentError("DENIED", "the classic dialect is served to loopback and to classic.allow only");
    return chosen;
  }

  /** What came while nothing was decided. */
  function takeHead(): Buffer {
    const bytes = Buffer.from(head, "latin1");
    head = "";
    return bytes;
  }

  return {
    push(chunk) {
      if (chosen !== undefined) return chosen.push(chunk);
      if (failure !== undefined || chunk.length === 0) return NO_REQUESTS;
      const dialect = dialectOf(head, chunk);
      if (dialect === "undecided") {
        head += Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1");
        return NO_REQUESTS;
      }
      return choose(dialect)?.push(head === "" ? chunk : Buffer.concat([takeHead(), chunk])) ?? NO_REQUESTS;
    },
    quiet() {
      if (chosen !== undefined) return chosen.quiet();
      if (head === "") return NO_REQUESTS;
      const codec = choose(RESERVED_VERBS.has(upperCase(head)) ? "modern" : "classic");
      // A head holds no line end: it is the codec's `quiet` that completes it.
      codec?.push(takeHead());
      return codec?.quiet() ?? NO_REQUESTS;
    },
    get awaitsSilence() {
      return chosen?.awaitsSilence ?? false;
    },
    get pendingBytes() {
      return chosen?.pendingBytes ?? head.length;
    },
    get failure() {
      return failure ?? chosen?.failure;
    },
    get oneShot() {
      return chosen?.oneShot ?? false;
    },
    get spoken() {
      return chosen?.spoken ?? false;
    },
    format(reply, request, sink) {
      if (chosen !== undefined) chosen.format(reply, request, sink);
      else if (failure === undefined) formatReply(reply, 2, sink);
    },
    formatPush(message, sink) {
      chosen?.formatPush(message, sink);
    },
  };
}

/** `head` is what came before `chunk` and decided nothing. */
function dialectOf(head: ByteString, chunk: Uint8Array): Dialect {
  if (head === "" && chunk[0] === ASTERISK) return "modern";
  let word = head;
  for (const byte of chunk) {
    if (isWordEnd(byte)) {
      // What ends with NUL is a system call's buffer, not a line.
      return byte !== 0 && RESERVED_VERBS.has(upperCase(word)) ? "modern" : "classic";
    }
    word += String.fromCharCode(byte);
    if (!mayBecomeVerb(word)) return "classic";
  }
  return "undecided";
}

function mayBecomeVerb(start: ByteString): boolean {
  const upper = upperCase(start);
  for (const verb of RESERVED_VERBS) {
    if (verb.startsWith(upper)) return true;
  }
  return false;
}

/** Space, tab, the line ends, NUL. */
function isWordEnd(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0x0a || byte === 0x00;
}
