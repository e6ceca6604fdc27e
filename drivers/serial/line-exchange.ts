import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { LineOptions } from "./line-options.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";

export interface LineCounters {
  readonly lines: number;
  /** Bytes of lines that were too long or no text of the encoding. */
  readonly garbageBytes: number;
  readonly timeouts: number;
}

/** Lines out, lines in, one question at a time. */
export interface LineExchange {
  /** The line that answered, as `reply` took it apart; undefined where none is waited for. Rejects NOT_READY, TIMEOUT, FULL, IO when the port is lost. */
  ask(line: string, reply: RegExp | undefined): Promise<RegExpExecArray | undefined>;
  /** Sends at once; what waits, or waits for its answer, is refused. */
  urgent(lines: readonly string[]): void;
  counters(): LineCounters;
  close(): void;
}

const MAX_WAITING = 32;

const CR = 0x0d;
const LF = 0x0a;

interface Question {
  readonly line: string;
  readonly reply: RegExp | undefined;
  readonly resolve: (answer: RegExpExecArray | undefined) => void;
  readonly reject: (error: AgentError) => void;
}

type Setup = Pick<LineOptions, "endOfLine" | "encoding" | "maxLineBytes" | "timeoutMs" | "lines">;

/** `heard` gets every line that answers no question. */
export function createLineExchange(
  name: string,
  clock: Clock,
  stream: SerialStream,
  setup: Setup,
  heard: (line: string) => void,
): LineExchange {
  const { endOfLine, encoding, maxLineBytes, timeoutMs } = setup;
  /** What comes first from an instrument that sends by itself may be the rest of a line that began before the port was opened. */
  const startsInMidLine = setup.lines.length > 0;
  const buffer = Buffer.alloc(maxLineBytes);
  const decoder = new TextDecoder(encoding === "latin1" ? "latin1" : "utf-8", { fatal: true });
  const waiting: Question[] = [];
  const counts = { lines: 0, garbageBytes: 0, timeouts: 0 };
  let length = 0;
  let overlong = startsInMidLine;
  let current: Question | undefined;
  let resting = false;
  let cancelTimer: Cancel | undefined;

  function send(line: string): void {
    stream.write(Buffer.from(line + endOfLine, "latin1"));
  }

  function next(): void {
    while (current === undefined && !resting) {
      const one = waiting.shift();
      if (one === undefined) return;
      start(one);
    }
  }

  function start(one: Question): void {
    try {
      send(one.line);
    } catch (thrown) {
      one.reject(toAgentError(thrown));
      return;
    }
    if (one.reply === undefined) {
      one.resolve(undefined);
      return;
    }
    current = one;
    cancelTimer = clock.after(timeoutMs, timedOut);
  }

  function timedOut(): void {
    const one = current;
    current = undefined;
    counts.timeouts += 1;
    // Its reply may still come, and must not pass for that of the next question.
    resting = true;
    cancelTimer = clock.after(timeoutMs, () => {
      resting = false;
      next();
    });
    one?.reject(new AgentError("TIMEOUT", `${name}: no reply to ${one.line} within ${timeoutMs} ms`));
  }

  function dropAll(code: "IO" | "NOT_READY", why: string): void {
    cancelTimer?.();
    resting = false;
    const dropped = [...(current === undefined ? [] : [current]), ...waiting.splice(0)];
    current = undefined;
    for (const one of dropped) one.reject(new AgentError(code, `${name}: ${why}`));
  }

  function textIn(bytes: Uint8Array): string | undefined {
    if (encoding === "ascii" && bytes.some((byte) => byte > 0x7e || byte < 0x09)) return undefined;
    try {
      return decoder.decode(bytes);
    } catch (thrown) {
      if (thrown instanceof TypeError) return undefined;
      throw thrown;
    }
  }

  function endLine(): void {
    const bytes = buffer.subarray(0, length);
    const text = overlong ? undefined : textIn(bytes);
    if (text === undefined) counts.garbageBytes += length;
    length = 0;
    overlong = false;
    if (text === undefined || text === "") return;
    counts.lines += 1;
    const answer = current?.reply?.exec(text) ?? null;
    if (current === undefined || answer === null) {
      if (!resting) heard(text);
      return;
    }
    const one = current;
    current = undefined;
    cancelTimer?.();
    one.resolve(answer);
    next();
  }

  function take(byte: number): void {
    if (byte === CR || byte === LF) {
      endLine();
    } else if (length === maxLineBytes) {
      overlong = true;
      counts.garbageBytes += 1;
    } else {
      buffer[length] = byte;
      length += 1;
    }
  }

  const cancelData = stream.onData((bytes) => {
    for (const byte of bytes) take(byte);
  });
  const cancelState = stream.onState((state, reason) => {
    // Half a line is none.
    counts.garbageBytes += length;
    length = 0;
    overlong = startsInMidLine;
    if (state === "waiting") dropAll("IO", reason);
  });
  return {
    ask(line, reply) {
      if (stream.state() !== "open") return Promise.reject(new AgentError("NOT_READY", `${name}: ${stream.reason()}`));
      if (waiting.length >= MAX_WAITING) return Promise.reject(new AgentError("FULL", `${name}: ${MAX_WAITING} questions wait already`));
      return new Promise((resolve, reject) => {
        waiting.push({ line, reply, resolve, reject });
        next();
      });
    },
    urgent(lines) {
      dropAll("NOT_READY", "made safe before its turn");
      for (const line of lines) send(line);
    },
    counters: () => ({ ...counts }),
    close() {
      cancelData();
      cancelState();
      dropAll("NOT_READY", "closed");
    },
  };
}
