// ELM Electronics, ELM327 data sheet (v1.4b and later): "Communicating with the ELM327" (prompt), "Error messages and alerts".

/** It waits for a command. */
const PROMPT = 0x3e;
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
/** "Sometimes inserted in error": to be ignored. */
const NUL = 0;
const SPACE = 0x20;

/** The longest answers, those of several control units, have a few lines. */
const MAX_REPLY_BYTES = 1024;

/** What was answered to one command. */
export interface Reply {
  /** `data`: at least one line of hexadecimal digits. `none`: NO DATA. `restarted`: the adapter began anew by itself. `error`: anything else. */
  readonly kind: "data" | "ok" | "none" | "restarted" | "error";
  /** Without blanks within, echo, empty lines and progress. */
  readonly lines: readonly string[];
}

/** Finds replies in bytes that arrive in pieces of any size. */
export interface ReplyReader {
  push(bytes: Uint8Array): void;
  restart(): void;
  /** Replies without end, which were dropped. */
  readonly overlong: number;
}

export function createReplyReader(onReply: (reply: Reply) => void): ReplyReader {
  const text = Buffer.alloc(MAX_REPLY_BYTES);
  let held = 0;
  let dropping = false;
  let overlong = 0;

  function end(): void {
    const reply = dropping ? undefined : replyOf(text.toString("latin1", 0, held));
    held = 0;
    dropping = false;
    if (reply !== undefined) onReply(reply);
  }

  return {
    push(bytes) {
      for (const byte of bytes) {
        if (byte === PROMPT) end();
        else if (byte === NUL || byte === SPACE || dropping) continue;
        else if (held === MAX_REPLY_BYTES) {
          overlong += 1;
          dropping = true;
        } else {
          text[held] = byte === LINE_FEED ? CARRIAGE_RETURN : byte;
          held += 1;
        }
      }
    },
    restart() {
      held = 0;
      dropping = false;
    },
    get overlong() {
      return overlong;
    },
  };
}

/** `text` has no blanks: NO DATA is `NODATA`. */
function replyOf(text: string): Reply {
  const lines: string[] = [];
  for (const raw of text.toUpperCase().split("\r")) {
    const line = raw.replace(/^SEARCHING\.*/, "").replace(/^BUSINIT:?\.*(OK)?$/, "");
    if (line !== "") lines.push(line);
  }
  return { kind: kindOf(lines), lines };
}

function kindOf(lines: readonly string[]): Reply["kind"] {
  if (lines.some((line) => /^(ELM327|LVRESET|ERR\d)/.test(line))) return "restarted";
  if (lines.some((line) => /^[0-9A-F]{4,}$/.test(line))) return "data";
  if (lines.at(-1) === "OK") return "ok";
  return lines.includes("NODATA") ? "none" : "error";
}
