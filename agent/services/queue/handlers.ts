import { AgentError, messageOf, toAgentError } from "../../contract/errors.ts";
import { bytesOf, PRIORITY, textOf, type ByteString, type Caller, type Figures, type Reply, type Service } from "../../contract/request.ts";
import { plainOf } from "../../contract/value.ts";
import type { Cancel } from "../../contract/clock.ts";
import type { Journal } from "../../contract/journal.ts";
import type { Log } from "../../contract/log.ts";
import type { Ledger } from "./ledger.ts";
import type { Message } from "./message.ts";
import type { QueueHandlerOptions, QueueOptions } from "./options.ts";
import { fieldOf } from "./records.ts";

/** Runs executables of the allow-list to their end. */
export interface WorkRunner {
  /** What it wrote to its standard output. Rejects UNKNOWN, FULL when too many run, TIMEOUT, FAULTED when it ended otherwise than with 0, IO. */
  run(path: string, args: readonly string[], signal: AbortSignal): Promise<Buffer>;
}

export interface HandlersOptions {
  readonly options: Pick<QueueOptions, "handlers" | "retryMs" | "maxVisibilityMs" | "maxMessageBytes">;
  readonly ledger: Ledger;
  readonly devices: Service;
  readonly executables: WorkRunner;
  readonly journal: Journal;
  readonly log: Log;
}

/** What works on messages by itself. */
export interface Handlers {
  figures(): Figures;
  /** Takes no more and aborts what can be aborted. What fails from now on was not tried. */
  stop(): void;
  /** The same, and waits for what runs. */
  close(): Promise<void>;
}

/** Linux takes no longer argument: 32 pages, the NUL that ends it included. */
const MAX_ARGUMENT_BYTES = 128 * 1024 - 1;

/** Characters of a payload that the journal shows. */
const SHOWN_CHARS = 80;

/** Starts every handler's workers: as many messages at once as it may have in flight. */
export function startHandlers(handlersOptions: HandlersOptions): Handlers {
  const { options, ledger, devices, executables, journal, log } = handlersOptions;
  const ending = new AbortController();
  const running = new Set<Promise<void>>();
  const idle = new Set<Cancel>();
  const counts = { handled: 0, failed: 0 };
  const callers = options.handlers.map((handler) => ({ handler, caller: callerOf(handler) }));

  function callerOf(handler: QueueHandlerOptions): Caller {
    return { name: `queue ${handler.topic}`, priority: PRIORITY.rule, signal: ending.signal };
  }

  /** Takes the next message when there is one, works on it, and begins again. */
  function next(handler: QueueHandlerOptions, caller: Caller): void {
    if (ending.signal.aborted) return;
    const topic = bytesOf(handler.topic);
    const message = ledger.topics.receive(topic, Infinity);
    if (message !== undefined) {
      begin(message, handler, caller);
      return;
    }
    const cancel = ledger.topics.wait(topic, Infinity, (come) => {
      idle.delete(cancel);
      begin(come, handler, caller);
    });
    idle.add(cancel);
  }

  function begin(message: Message, handler: QueueHandlerOptions, caller: Caller): void {
    const work = handle(message, handler, caller).finally(() => {
      running.delete(work);
      next(handler, caller);
    });
    running.add(work);
  }

  async function handle(message: Message, handler: QueueHandlerOptions, caller: Caller): Promise<void> {
    // A message that kills the agent must be found delivered by the next one.
    await new Promise<void>((resolve) => {
      ledger.onDelivered(message, resolve);
    });
    try {
      const result = handler.call === undefined ? await runOn(message, handler.run ?? "") : await callWith(message, handler.call, caller);
      await done(message, result);
      counts.handled += 1;
    } catch (thrown) {
      undone(message, handler, thrown);
    }
  }

  async function callWith(message: Message, name: string, caller: Caller): Promise<ByteString> {
    const text = textOf(message.payload);
    const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}...` : text;
    const cause = journal.record("message", textOf(message.topic), textOf(message.from), `message ${message.id}: ${shown}`);
    const words = message.payload.split(/[ \t\r\n]+/).filter((word) => word !== "");
    const reply = await devices.handle({ verb: "CLONE", args: [bytesOf(name), ...words] }, { ...caller, cause });
    return valueOf(reply);
  }

  async function runOn(message: Message, path: string): Promise<ByteString> {
    const output = await executables.run(path, [argumentOf(message.payload)], ending.signal);
    return output.toString("latin1", 0, options.maxMessageBytes);
  }

  /** What was done must not be done again because its result cannot be kept. */
  async function done(message: Message, result: ByteString): Promise<void> {
    if (message.gone) return;
    const outcome = await new Promise<AgentError | undefined>((resolve) => {
      answer(message, result, resolve);
    });
    if (outcome === undefined) return;
    log.warn({ id: message.id, err: outcome }, `the result of message ${message.id} cannot be kept: ${outcome.message}`);
    await new Promise<void>((resolve, reject) => {
      ledger.acknowledge(message, (failure) => {
        if (failure === undefined) resolve();
        else reject(failure);
      });
    });
  }

  function answer(message: Message, result: ByteString, told: (outcome: AgentError | undefined) => void): void {
    try {
      ledger.answer(message, result, (outcome) => {
        told(outcome ?? undefined);
      });
    } catch (thrown) {
      told(toAgentError(thrown));
    }
  }

  function undone(message: Message, handler: QueueHandlerOptions, thrown: unknown): void {
    if (message.gone) return;
    const reason = thrown instanceof AgentError ? `${thrown.code} ${thrown.message}` : messageOf(thrown);
    // It is nobody's fault when the agent ends, or when other work takes every place: the delivery does not count.
    const noPlace = handler.run !== undefined && thrown instanceof AgentError && thrown.code === "FULL";
    if (ending.signal.aborted || noPlace) {
      ledger.unsettle(message, options.retryMs);
      return;
    }
    counts.failed += 1;
    log.warn({ id: message.id, topic: textOf(message.topic), deliveries: message.deliveries }, `message ${message.id} failed: ${reason}`);
    const delayMs = Math.min(options.maxVisibilityMs, options.retryMs * 2 ** (message.deliveries - 1));
    ledger.giveBack(message, delayMs, fieldOf(reason));
  }

  function stop(): void {
    ending.abort();
    for (const cancel of idle) cancel();
  }

  for (const { handler, caller } of callers) {
    for (let worker = 0; worker < handler.inFlight; worker++) next(handler, caller);
  }

  return {
    figures: () => ({ handlers: callers.length, handlers_running: running.size, handled: counts.handled, handlers_failed: counts.failed }),
    stop,
    async close() {
      stop();
      await Promise.all(running);
    },
  };
}

/** What a handler's result is to who awaits it: bytes and text as they are, anything else as JSON. */
function valueOf(reply: Reply): ByteString {
  if (reply.kind === "error") throw reply.error;
  if (reply.kind === "status") return bytesOf(reply.text);
  const { value } = reply;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  return bytesOf(typeof value === "string" ? value : JSON.stringify(plainOf(value)));
}

/** The payload as one argument of a program. Throws ARGUMENT when it cannot be one, or when a program would take it for an option. */
function argumentOf(payload: ByteString): string {
  const text = textOf(payload);
  const problem = argumentProblem(payload, text);
  if (problem === undefined) return text;
  throw new AgentError("ARGUMENT", `the payload cannot be an argument of a program: ${problem}`);
}

function argumentProblem(payload: ByteString, text: string): string | undefined {
  if (payload.length > MAX_ARGUMENT_BYTES) return `it has ${payload.length} bytes, at most ${MAX_ARGUMENT_BYTES} are possible`;
  if (payload.includes("\0")) return "it holds a NUL";
  if (bytesOf(text) !== payload) return "it is not UTF-8";
  return payload.startsWith("-") ? "it begins with - and would be taken for an option" : undefined;
}
