import { AgentError, toAgentError } from "../contract/errors.ts";
import { errorReply, textOf } from "../contract/request.ts";
import { argumentText, type Asker, type Question } from "./mqtt-asker.ts";
import type { FoundNode, FoundNodes } from "./mqtt-registry.ts";
import type { BrokerFleetOptions } from "./options.ts";
import type { Clock } from "../contract/clock.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";

/** A claim as its holder knows it: it may have ended where it counts, and never lasts longer there than here. */
interface Held {
  readonly token: string;
  readonly leaseMs: number;
  /** Undefined: the device's own. */
  readonly askedMs: number | undefined;
  untilMs: number;
  confirmedMs: number;
}

/** Orders for nodes that are reached over the broker. */
export interface Controller {
  /** Never rejects. */
  ask(node: string, request: Request, deadlineMs: number): Promise<Reply>;
  /** How long the node takes to answer a question that does nothing, milliseconds; null when it does not within `deadlineMs`, or cannot be asked. Never rejects. */
  answersIn(target: FoundNode, deadlineMs: number): Promise<number | null>;
  /** Whether it is certain that nothing was done for that answer. */
  refused(reply: Reply): boolean;
}

export interface ControllerOptions {
  readonly asker: Asker;
  readonly found: FoundNodes;
  readonly options: BrokerFleetOptions;
  readonly clock: Clock;
}

/** Claims that are remembered; beyond it the one made longest ago is claimed anew. */
const MAX_HELD = 10_000;

/** By these a node says that it did nothing. Others may have come from a device that had begun. */
const UNDONE: ReadonlySet<ErrorCode> = new Set(["UNKNOWN", "NOT_READY", "DENIED"]);

const NUMBERS: ReadonlyMap<string, "leaseMs" | "deadlineMs" | "priority" | "seq"> = new Map([
  ["LEASE", "leaseMs"],
  ["DEADLINE", "deadlineMs"],
  ["PRIORITY", "priority"],
  ["SEQ", "seq"],
]);

/**
 * First a claim, then the order under it. Whoever leaves a claim unanswered has moved nothing, so that another node may be asked; an order is sent once, and what is
 * not answered may have happened.
 */
export function createController({ asker, found, options, clock }: ControllerOptions): Controller {
  const held = new Map<string, Held>();
  const undone = new WeakSet<Reply>();

  function refuse(error: AgentError): Reply {
    const reply = errorReply(error);
    undone.add(reply);
    return reply;
  }

  async function order(node: string, target: FoundNode, request: Request, deadlineMs: number): Promise<Reply> {
    const dueMs = clock.monotonicMs() + deadlineMs;
    const question = questionOf(request.args);
    const fn = question.call ?? "";
    const key = `${node}/${fn.slice(0, Math.max(0, fn.indexOf(".")))}`;
    let token: string | undefined;
    if (!target.birth.reads.has(fn)) {
      const claimed = await claim(node, key, target, question, Math.min(options.claimMs, deadlineMs / 2));
      if (typeof claimed !== "string") return claimed;
      token = claimed;
    }
    const sentMs = clock.monotonicMs();
    const reply = await sendOnce(node, { ...question, ...(token !== undefined && { token }) }, dueMs - sentMs);
    if (reply === undefined) {
      target.failed += 1;
      held.delete(key);
      target.silent = "it has left an order unanswered";
      return errorReply(new AgentError("TIMEOUT", `node ${node} has not answered within ${Math.ceil(deadlineMs)} ms; it may still happen`));
    }
    note(target, key, reply, sentMs, question.leaseMs);
    return reply;
  }

  function note(target: FoundNode, key: string, reply: Reply, sentMs: number, leaseMs: number | undefined): void {
    target.silent = undefined;
    if (reply.kind === "error") {
      if (reply.error.code === "STALE") held.delete(key);
      if (UNDONE.has(reply.error.code)) undone.add(reply);
      return;
    }
    const mine = held.get(key);
    if (mine === undefined || mine.askedMs !== leaseMs) return;
    mine.confirmedMs = sentMs;
    mine.untilMs = sentMs + mine.leaseMs;
  }

  /** The answer, or that nothing was sent. */
  async function sendOnce(node: string, question: Question, limitMs: number): Promise<Reply | undefined> {
    try {
      return await asker.ask(node, question, Math.max(1, limitMs));
    } catch (thrown) {
      const error = toAgentError(thrown);
      return refuse(new AgentError(error.code, `node ${node}: ${error.message}`, { cause: error }));
    }
  }

  /** The token to order with, or why there is none. */
  async function claim(
    node: string,
    key: string,
    target: FoundNode,
    { leaseMs, priority }: Question,
    limitMs: number,
  ): Promise<string | Reply> {
    const nowMs = clock.monotonicMs();
    const mine = held.get(key);
    if (mine !== undefined && nowMs < mine.untilMs && nowMs - mine.confirmedMs < options.confirmMs) return mine.token;
    held.delete(key);
    const device = key.slice(node.length + 1);
    const asked = { claim: device, ...(leaseMs !== undefined && { leaseMs }), ...(priority !== undefined && { priority }) };
    const reply = await sendOnce(node, asked, limitMs);
    if (reply === undefined) {
      target.failed += 1;
      target.silent = `it has not answered within ${Math.ceil(limitMs)} ms`;
      return refuse(new AgentError("NOT_READY", `node ${node} has not answered within ${Math.ceil(limitMs)} ms; nothing was ordered`));
    }
    target.silent = undefined;
    if (reply.kind === "error") return refuse(reply.error);
    const grant = grantIn(reply);
    if (grant === undefined) return refuse(new AgentError("IO", `node ${node} answered a claim with something else; nothing was ordered`));
    const oldest = held.keys().next();
    if (held.size >= MAX_HELD && oldest.done !== true) held.delete(oldest.value);
    held.set(key, { ...grant, askedMs: leaseMs, untilMs: nowMs + grant.leaseMs, confirmedMs: nowMs });
    return grant.token;
  }

  return {
    async ask(node, request, deadlineMs) {
      const target = found.get(node);
      if (target === undefined) return refuse(new AgentError("UNKNOWN", `no node ${node} is known here; NODES lists them`));
      if (request.verb !== "CLONE") {
        return refuse(
          new AgentError("UNKNOWN", `node ${node} is known through the broker only, which carries CLONE and no ${request.verb}`),
        );
      }
      const { usable, reason } = found.state(target);
      if (!usable) return refuse(new AgentError("NOT_READY", `node ${node} is not reached over the broker: ${reason ?? ""}`));
      target.asked += 1;
      target.inFlight += 1;
      try {
        return await order(node, target, request, deadlineMs);
      } catch (thrown) {
        return refuse(toAgentError(thrown));
      } finally {
        target.inFlight -= 1;
      }
    },
    async answersIn(target, deadlineMs) {
      const sentMs = clock.monotonicMs();
      try {
        const reply = await asker.ask(target.birth.node, {}, deadlineMs);
        target.silent = reply === undefined ? `it has not answered within ${Math.ceil(deadlineMs)} ms` : undefined;
        return reply === undefined ? null : Math.round(clock.monotonicMs() - sentMs);
      } catch {
        // Without a connection nobody can be asked, which is what the node's state says then.
        return null;
      }
    },
    refused: (reply) => undone.has(reply),
  };
}

function grantIn(reply: Reply): { readonly token: string; readonly leaseMs: number } | undefined {
  const { token, leaseMs } = (reply.kind === "value" && typeof reply.value === "object" ? reply.value : {}) as Record<string, unknown>;
  return typeof token === "string" && typeof leaseMs === "number" ? { token, leaseMs } : undefined;
}

/** A CLONE's words as fields. Throws ARGUMENT for an option that is no number, and for bytes that are no text. */
function questionOf(args: readonly ByteString[]): Question {
  const question: { -readonly [key in keyof Question]: Question[key] } = {};
  let at = 0;
  for (let word = args[0]?.toUpperCase() ?? ""; word === "NODE" || NUMBERS.has(word); word = args[at]?.toUpperCase() ?? "") {
    const field = NUMBERS.get(word);
    if (field !== undefined) question[field] = numberOf(word, args[at + 1] ?? "");
    at += 2;
  }
  const word = args[at] ?? "";
  const isWhole = word.includes(".");
  question.call = textOf(isWhole ? word : `${word}.${args[at + 1] ?? ""}`);
  const rest = args.slice(isWhole ? at + 1 : at + 2).map((arg) => argumentText(arg, textOf(arg)));
  if (rest.length > 0) question.args = rest;
  return question;
}

function numberOf(option: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new AgentError("ARGUMENT", `${option} is ${text}; a whole number is expected`);
}
