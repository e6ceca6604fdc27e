import { createConnection, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { AgentError, messageOf } from "../contract/errors.ts";
import { createReplyParser } from "../wire/resp-reply.ts";
import { targetText, type Target } from "./target.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/** What a TLS connection shows and trusts, as PEM. TLS 1.3 is spoken, nothing older. */
export interface TlsMaterial {
  /** The authority that signed the agent's certificate; the system's own are not asked. */
  readonly ca: string | Buffer;
  /** Our own certificate and its key, for an agent that wants one. */
  readonly certificate?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  /** The name the agent's certificate must be for; the host otherwise. */
  readonly servername?: string | undefined;
}

export interface ConnectOptions {
  readonly target: Target;
  readonly clock: Clock;
  readonly tls?: TlsMaterial | undefined;
  /** Of a user of the agent's `auth.users`; not needed on the agent's own machine. */
  readonly token?: string | undefined;
  readonly user?: string | undefined;
  /** Time to connect and greet, milliseconds. */
  readonly connectMs?: number | undefined;
  /** Ends the attempt, not the connection it led to. */
  readonly signal?: AbortSignal | undefined;
  /** After a question has timed out: silence after which the connection is given up, milliseconds. */
  readonly silenceMs?: number | undefined;
}

/** A word of a request: text goes as UTF-8, bytes as they are. */
export type Word = string | Uint8Array;

/** One connection to an agent. */
export interface AgentConnection {
  /** `127.0.0.1:6390` */
  readonly where: string;
  /** What the node calls itself; empty for a server that does not say. */
  readonly node: string;
  /**
   * Asks, and answers what the agent answered: its errors are replies, not rejections. Answers come in the order of the questions, and questions of
   * one turn leave in one write.
   * Rejects IO when the connection ends before the answer, TIMEOUT after `timeoutMs`: the answer that comes late is dropped. When nothing at all comes
   * for `silenceMs` after that, the connection is given up and ends.
   */
  call(verb: string, args: readonly Word[], timeoutMs?: number): Promise<Reply>;
  /** What was subscribed to. */
  onPush(listener: (message: readonly Value[]) => void): Cancel;
  /** Called once, when the connection has ended: with the reason, or without when `close` was called. Also when it has ended before. */
  onEnd(listener: (reason?: AgentError) => void): Cancel;
  readonly close: () => void;
}

const CONNECT_MS = 5000;
const ANSWER_MS = 10_000;
const SILENCE_MS = 2000;

/** A peer whose machine vanished is noticed although nothing is asked. */
const KEEP_ALIVE_MS = 30_000;

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: AgentError): void;
  readonly cancelTimeout: Cancel;
}

type Greeted = Omit<AgentConnection, "node">;

/**
 * Connects, speaks RESP3 and authenticates where there is a token. Rejects IO or TIMEOUT when nobody answers, IO when its certificate is not trusted,
 * DENIED for a wrong token or when ours is not accepted.
 */
export async function connectAgent(options: ConnectOptions): Promise<AgentConnection> {
  const { token, user = "default", connectMs = CONNECT_MS, signal } = options;
  const connection = openConnection(options, targetText(options.target));
  if (signal?.aborted === true) connection.close();
  signal?.addEventListener("abort", connection.close);
  try {
    const greeting = await connection.call("HELLO", token === undefined ? ["3"] : ["3", "AUTH", user, token], connectMs);
    if (greeting.kind === "error") throw greeting.error;
    return { ...connection, node: nodeOf(greeting) };
  } catch (thrown) {
    connection.close();
    throw thrown;
  } finally {
    signal?.removeEventListener("abort", connection.close);
  }
}

function nodeOf(greeting: Reply): string {
  const value = greeting.kind === "value" ? greeting.value : null;
  const node = typeof value === "object" && value !== null && "node" in value ? value["node"] : undefined;
  return typeof node === "string" ? node : "";
}

function openConnection(options: ConnectOptions, where: string): Greeted {
  const { clock, silenceMs = SILENCE_MS } = options;
  const socket = openSocket(options.target, options.tls);
  const parser = createReplyParser();
  /** Oldest first; undefined for a question that nobody waits for any more. */
  const waiting: (Waiting | undefined)[] = [];
  const pushListeners = new Set<(message: readonly Value[]) => void>();
  const endListeners = new Set<(reason?: AgentError) => void>();
  let ended: { readonly reason: AgentError | undefined } | undefined;
  let corked = false;
  /** How often bytes have come. */
  let heard = 0;
  let cancelSilence: Cancel | undefined;

  function end(reason?: AgentError): void {
    if (ended !== undefined) return;
    ended = { reason };
    cancelSilence?.();
    socket.destroy();
    for (const asked of waiting.splice(0)) {
      asked?.cancelTimeout();
      asked?.reject(reason ?? new AgentError("IO", `the connection to ${where} was closed before the answer`));
    }
    for (const listener of endListeners) listener(reason);
  }

  function answer(reply: Reply): void {
    if (waiting.length === 0) {
      end(new AgentError("SYNTAX", `${where} answered what was not asked; is it an agent's gateway?`));
      return;
    }
    const asked = waiting.shift();
    asked?.cancelTimeout();
    asked?.resolve(reply);
  }

  /** An answer that comes late is still the answer to its question, so the connection can be used on, unless nothing comes any more. */
  function timedOut(asked: Waiting, timeoutMs: number): void {
    const at = waiting.indexOf(asked);
    if (at >= 0) waiting[at] = undefined;
    asked.reject(new AgentError("TIMEOUT", `${where} has not answered within ${timeoutMs} ms`));
    if (cancelSilence !== undefined) return;
    const heardBefore = heard;
    cancelSilence = clock.after(silenceMs, () => {
      cancelSilence = undefined;
      if (heard === heardBefore) end(new AgentError("IO", `${where} has been silent for too long and was given up`));
    });
  }

  /** What is asked within one turn leaves in one write. */
  function cork(): void {
    if (corked) return;
    corked = true;
    socket.cork();
    process.nextTick(() => {
      corked = false;
      socket.uncork();
    });
  }

  socket.on("data", (chunk: Uint8Array) => {
    heard += 1;
    for (const message of parser.push(chunk)) {
      if (message.kind === "reply") answer(message.reply);
      else for (const listener of pushListeners) listener(message.message);
    }
    if (parser.failure !== undefined) end(new AgentError(parser.failure.code, `${where} is no agent: ${parser.failure.message}`));
  });
  socket.on("error", (error) => end(unreachable(where, error)));
  socket.on("close", () => end(new AgentError("IO", `${where} closed the connection`)));

  return {
    where,
    call(verb, args, timeoutMs = ANSWER_MS) {
      if (ended !== undefined) return Promise.reject(ended.reason ?? new AgentError("IO", `the connection to ${where} is closed`));
      return new Promise((resolve, reject) => {
        const asked: Waiting = { resolve, reject, cancelTimeout: clock.after(timeoutMs, () => timedOut(asked, timeoutMs)) };
        waiting.push(asked);
        cork();
        writeRequest(socket, verb, args);
      });
    },
    onPush(listener) {
      pushListeners.add(listener);
      return () => pushListeners.delete(listener);
    },
    onEnd(listener) {
      endListeners.add(listener);
      if (ended !== undefined) queueMicrotask(() => endListeners.has(listener) && listener(ended?.reason));
      return () => endListeners.delete(listener);
    },
    close: () => end(),
  };
}

function openSocket(target: Target, tls: TlsMaterial | undefined): Socket {
  const to = "path" in target ? { path: target.path } : { host: target.host, port: target.port, noDelay: true };
  if (tls === undefined) return createConnection({ ...to, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  const host = "path" in target ? "localhost" : target.host;
  const servername = tls.servername ?? (isIP(host) === 0 ? host : undefined);
  const socket = connectTls({
    ...to,
    minVersion: "TLSv1.3",
    ca: tls.ca,
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(servername === undefined ? {} : { servername }),
  });
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
}

/** A RESP array of bulk strings. */
function writeRequest(socket: Socket, verb: string, args: readonly Word[]): void {
  let text = `*${args.length + 1}\r\n${bulkOf(verb)}`;
  for (const word of args) {
    if (typeof word === "string") {
      text += bulkOf(word);
    } else {
      socket.write(`${text}$${word.length}\r\n`);
      socket.write(word);
      text = "\r\n";
    }
  }
  socket.write(text);
}

function bulkOf(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

function unreachable(where: string, error: Error): AgentError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const cause = { cause: error };
  if (code === "ECONNREFUSED" || code === "ENOENT")
    return new AgentError("IO", `nothing listens on ${where}; is the agent running?`, cause);
  // The agent has looked at our certificate, or missed one.
  if (/ALERT_(.*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(code)) {
    return new AgentError("DENIED", `${where} does not accept our certificate: ${messageOf(error)}`, cause);
  }
  // Several addresses of one name failed: the message is empty.
  return new AgentError("IO", `cannot reach ${where}: ${messageOf(error) || code}`, cause);
}
