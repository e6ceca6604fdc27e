import { AgentError, toAgentError } from "../contract/errors.ts";
import { createBackOff, type BackOffOptions } from "../contract/back-off.ts";
import { connectAgent, type AgentConnection, type TlsMaterial, type Word } from "./connection.ts";
import { targetText, type Target } from "./target.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Reply } from "../contract/request.ts";

export interface LinkOptions {
  /** At least one; tried in this order, beginning with the one that answered last. */
  readonly targets: readonly Target[];
  readonly clock: Clock;
  /** Asked before every attempt, so that a certificate may be renewed. */
  readonly tls?: (() => Promise<TlsMaterial>) | undefined;
  readonly user?: string | undefined;
  /** Asked before every attempt, so that a token may change. */
  readonly token?: (() => Promise<string | undefined>) | undefined;
  /** The name the node must call itself; any when absent. */
  readonly expectNode?: string | undefined;
  readonly connectMs?: number | undefined;
  /** Without it, what waits is refused when no target answers, and the next question tries again. */
  readonly retry?: BackOffOptions | undefined;
  /** From 0 to below 1, for the back-off. */
  readonly random: () => number;
  /** Questions that wait for a connection. */
  readonly maxWaiting?: number | undefined;
  /** Connects again by itself, also when nobody asks. */
  readonly persistent?: boolean | undefined;
  /** Told every connection before anything that waits is sent on it. */
  readonly onConnected?: ((connection: AgentConnection) => void) | undefined;
  /** Told when a connection has ended, or none could be made. */
  readonly onDown?: ((reason: AgentError) => void) | undefined;
}

export interface Answered {
  readonly reply: Reply;
  readonly node: string;
}

/** A connection that is made when it is needed, and again after it has ended. */
export interface Link {
  /** What the connected node calls itself; undefined while there is no connection. */
  readonly node: string | undefined;
  readonly connected: boolean;
  /**
   * As `AgentConnection.call`. A question waits for a connection; what was sent and not answered when the connection ended is rejected IO and never
   * sent again. `deadlineMs` counts from now: IO when it was not sent until then, TIMEOUT when it was. FULL when `maxWaiting` others wait.
   */
  call(verb: string, args: readonly Word[], deadlineMs: number): Promise<Reply>;
  /** The same, with the name of the node that answered. */
  ask(verb: string, args: readonly Word[], deadlineMs: number): Promise<Answered>;
  /** Resolves when there is a connection; rejects as `call` does, and with `once` as soon as one attempt has failed. */
  ready(deadlineMs: number, once?: "once"): Promise<void>;
  /** Ends the connection; the next question makes another. */
  rest(): void;
  /** Ends the connection for good; rejects what waits. */
  close(): void;
}

const MAX_WAITING = 10_000;

interface Waiting {
  /** Waits for one attempt only. */
  readonly once: boolean;
  readonly dueMs: number;
  readonly send: (connection: AgentConnection, leftMs: number) => void;
  readonly reject: (error: AgentError) => void;
  readonly cancelDue: Cancel;
}

export function createLink(options: LinkOptions): Link {
  const { targets, clock, retry, persistent = false, maxWaiting = MAX_WAITING } = options;
  const where = targets.map(targetText).join(", ");
  const backOff = createBackOff(retry ?? { minMs: 0, maxMs: 0 }, options.random);
  const waiting: Waiting[] = [];
  let live: AgentConnection | undefined;
  let liveSinceMs = 0;
  /** Index of the target that answered last. */
  let first = 0;
  let opening = false;
  const closing = new AbortController();
  let cancelRetry: Cancel | undefined;
  let lastFailure: AgentError | undefined;

  async function open(): Promise<void> {
    opening = true;
    try {
      established(await firstThatAnswers());
    } catch (thrown) {
      opening = false;
      failed(toAgentError(thrown));
    }
  }

  async function firstThatAnswers(): Promise<AgentConnection> {
    let failure = closedError();
    for (let i = 0; i < targets.length && !closing.signal.aborted; i++) {
      const index = (first + i) % targets.length;
      try {
        const connection = await connectTo(targets[index] as Target);
        first = index;
        return connection;
      } catch (thrown) {
        failure = toAgentError(thrown);
      }
    }
    throw failure;
  }

  async function connectTo(target: Target): Promise<AgentConnection> {
    const { user, connectMs, expectNode } = options;
    const [token, tls] = await Promise.all([options.token?.(), options.tls?.()]);
    const connection = await connectAgent({ target, clock, tls, user, token, connectMs, signal: closing.signal });
    if (expectNode === undefined || connection.node === expectNode) return connection;
    connection.close();
    throw new AgentError("IO", `${connection.where} is node ${connection.node || "without a name"}, not ${expectNode}`);
  }

  function established(connection: AgentConnection): void {
    opening = false;
    if (closing.signal.aborted) {
      connection.close();
      return;
    }
    live = connection;
    liveSinceMs = clock.monotonicMs();
    lastFailure = undefined;
    connection.onEnd((reason) => {
      if (live !== connection) return;
      live = undefined;
      // One that ends at once again and again must not be made again at once.
      if (retry !== undefined && clock.monotonicMs() - liveSinceMs > retry.maxMs) backOff.reset();
      if (reason !== undefined) options.onDown?.(reason);
      if (persistent && !closing.signal.aborted) retryLater();
    });
    options.onConnected?.(connection);
    for (const asked of waiting.splice(0)) {
      asked.cancelDue();
      asked.send(connection, Math.max(1, Math.ceil(asked.dueMs - clock.monotonicMs())));
    }
  }

  function failed(failure: AgentError): void {
    if (closing.signal.aborted) return;
    lastFailure = failure;
    options.onDown?.(failure);
    // Who is refused, or speaks to something else than an agent, is not helped by waiting.
    const useless = retry === undefined || failure.code === "DENIED" || failure.code === "SYNTAX";
    reject(failure, ({ once }) => once || useless);
    if (persistent || waiting.length > 0) retryLater();
  }

  function retryLater(): void {
    cancelRetry ??= clock.after(backOff.next(), () => {
      cancelRetry = undefined;
      if (persistent || waiting.length > 0) begin();
    });
  }

  function begin(): void {
    if (!opening && !closing.signal.aborted && live === undefined && cancelRetry === undefined) void open();
  }

  function reject(error: AgentError, which: (asked: Waiting) => boolean): void {
    for (const asked of waiting.splice(0)) {
      if (which(asked)) {
        asked.cancelDue();
        asked.reject(error);
      } else {
        waiting.push(asked);
      }
    }
  }

  function closedError(): AgentError {
    return new AgentError("IO", `the connection to ${where} is closed`);
  }

  function notSent(deadlineMs: number): AgentError {
    const why = lastFailure?.message ?? `cannot reach ${where}`;
    return new AgentError("IO", `${why}; not sent within ${deadlineMs} ms`, { cause: lastFailure });
  }

  function wait<T>(deadlineMs: number, send: (connection: AgentConnection, leftMs: number) => T | Promise<T>, once = false): Promise<T> {
    if (closing.signal.aborted) return Promise.reject(closedError());
    if (once && cancelRetry !== undefined) return Promise.reject(notSent(deadlineMs));
    if (waiting.length >= maxWaiting) {
      return Promise.reject(new AgentError("FULL", `${waiting.length} questions wait for a connection to ${where}; send fewer at once`));
    }
    return new Promise((resolve, refuse) => {
      const asked: Waiting = {
        once,
        dueMs: clock.monotonicMs() + deadlineMs,
        send: (connection, leftMs) => resolve(send(connection, leftMs)),
        reject: refuse,
        cancelDue: clock.after(deadlineMs, () => {
          waiting.splice(waiting.indexOf(asked), 1);
          refuse(notSent(deadlineMs));
        }),
      };
      waiting.push(asked);
      begin();
    });
  }

  if (persistent) begin();

  return {
    get node() {
      return live?.node;
    },
    get connected() {
      return live !== undefined;
    },
    call(verb, args, deadlineMs) {
      if (live !== undefined) return live.call(verb, args, deadlineMs);
      return wait(deadlineMs, (connection, leftMs) => connection.call(verb, args, leftMs));
    },
    ask(verb, args, deadlineMs) {
      const send = async (connection: AgentConnection, leftMs: number): Promise<Answered> => {
        const reply = await connection.call(verb, args, leftMs);
        return { reply, node: connection.node };
      };
      return live === undefined ? wait(deadlineMs, send) : send(live, deadlineMs);
    },
    ready(deadlineMs, once) {
      return live !== undefined ? Promise.resolve() : wait(deadlineMs, () => undefined, once !== undefined);
    },
    rest: () => live?.close(),
    close() {
      closing.abort();
      cancelRetry?.();
      cancelRetry = undefined;
      reject(closedError(), () => true);
      live?.close();
    },
  };
}
