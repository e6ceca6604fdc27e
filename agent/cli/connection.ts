import { createConnection } from "node:net";

import { AgentError, messageOf } from "../contract/errors.ts";
import { createReplyParser } from "../wire/resp-reply.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/** An agent's gateway, or another listener of the modern dialect. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

export interface ConnectOptions {
  readonly target: Target;
  readonly clock: Clock;
  /** Of a user of the agent's `auth.users`; not needed on the agent's own machine. */
  readonly token?: string | undefined;
  readonly user?: string | undefined;
  /** Time to connect and greet, milliseconds. */
  readonly connectMs?: number;
}

/** One connection to an agent. */
export interface AgentConnection {
  /**
   * Asks, and answers what the agent answered: its errors are replies, not rejections. Answers come in the order of the questions.
   * Rejects IO when the connection ends before the answer, TIMEOUT after `timeoutMs`; the connection is closed then, for a late answer
   * would be taken for that to the next question.
   */
  call(verb: string, args: readonly string[], timeoutMs?: number): Promise<Reply>;
  /** What was subscribed to. */
  onPush(listener: (message: readonly Value[]) => void): Cancel;
  /** Called once, when the connection has ended: with the reason, or without when `close` was called. */
  onEnd(listener: (reason?: AgentError) => void): Cancel;
  close(): void;
}

const CONNECT_MS = 5000;
const ANSWER_MS = 10_000;

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: AgentError): void;
  readonly cancelTimeout: Cancel;
}

/** Connects, speaks RESP3 and authenticates where there is a token. Rejects IO or TIMEOUT when nobody answers, DENIED for a wrong token. */
export async function connectAgent(options: ConnectOptions): Promise<AgentConnection> {
  const { target, clock, token, user = "default", connectMs = CONNECT_MS } = options;
  const where = targetText(target);
  const connection = openConnection(target, where, clock);
  const greeting = await connection.call("HELLO", token === undefined ? ["3"] : ["3", "AUTH", user, token], connectMs);
  if (greeting.kind !== "error") return connection;
  connection.close();
  throw greeting.error;
}

/** `127.0.0.1:6390`, `[::1]:6390`, or a path. */
export function targetText(target: Target): string {
  if ("path" in target) return target.path;
  return target.host.includes(":") ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

function openConnection(target: Target, where: string, clock: Clock): AgentConnection {
  const socket = createConnection("path" in target ? { path: target.path } : { host: target.host, port: target.port, noDelay: true });
  const parser = createReplyParser();
  const waiting: Waiting[] = [];
  const pushListeners = new Set<(message: readonly Value[]) => void>();
  const endListeners = new Set<(reason?: AgentError) => void>();
  let ended: { readonly reason: AgentError | undefined } | undefined;

  function end(reason?: AgentError): void {
    if (ended !== undefined) return;
    ended = { reason };
    socket.destroy();
    for (const asked of waiting.splice(0)) {
      asked.cancelTimeout();
      asked.reject(reason ?? new AgentError("IO", `the connection to ${where} was closed before the answer`));
    }
    for (const listener of endListeners) listener(reason);
  }

  function answer(reply: Reply): void {
    const asked = waiting.shift();
    if (asked === undefined) {
      end(new AgentError("SYNTAX", `${where} answered what was not asked; is it an agent's gateway?`));
      return;
    }
    asked.cancelTimeout();
    asked.resolve(reply);
  }

  socket.on("data", (chunk: Uint8Array) => {
    for (const message of parser.push(chunk)) {
      if (message.kind === "reply") answer(message.reply);
      else for (const listener of pushListeners) listener(message.message);
    }
    if (parser.failure !== undefined) end(new AgentError(parser.failure.code, `${where} is no agent: ${parser.failure.message}`));
  });
  socket.on("error", (error) => end(new AgentError("IO", unreachable(where, error), { cause: error })));
  socket.on("close", () => end(new AgentError("IO", `${where} closed the connection`)));

  return {
    call(verb, args, timeoutMs = ANSWER_MS) {
      if (ended !== undefined) return Promise.reject(ended.reason ?? new AgentError("IO", `the connection to ${where} is closed`));
      return new Promise((resolve, reject) => {
        const cancelTimeout = clock.after(timeoutMs, () =>
          end(new AgentError("TIMEOUT", `${where} has not answered within ${timeoutMs} ms`)),
        );
        waiting.push({ resolve, reject, cancelTimeout });
        socket.write(encodeRequest([verb, ...args]));
      });
    },
    onPush(listener) {
      pushListeners.add(listener);
      return () => pushListeners.delete(listener);
    },
    onEnd(listener) {
      endListeners.add(listener);
      return () => endListeners.delete(listener);
    },
    close: () => end(),
  };
}

/** A RESP array of bulk strings. */
function encodeRequest(words: readonly string[]): string {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
  return text;
}

function unreachable(where: string, error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ECONNREFUSED" || code === "ENOENT") return `nothing listens on ${where}; is the agent running?`;
  // Several addresses of one name failed: the message is empty.
  return `cannot reach ${where}: ${messageOf(error) || String(code)}`;
}
