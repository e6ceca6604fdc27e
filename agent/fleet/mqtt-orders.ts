import { z } from "zod";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { asJson } from "../contract/value.ts";
import { bytesOf, errorReply, textOf } from "../contract/request.ts";
import { NODE_NAME, objectIn } from "./mqtt-birth.ts";
import type { FleetTopics } from "./mqtt-topics.ts";
import type { BrokerFleetOptions } from "./options.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Caller, Figures, Permits, Reply, Request, Service } from "../contract/request.ts";

const count = z.int().min(0);

/** What one node asks another for over the broker: to be given a device, or, under such a claim, to have a function called; with neither, whether it answers. */
const askSchema = z.strictObject({
  /** `boot.number`: of one start of the controller, rising with everything it asks. */
  id: z.string().regex(/^[A-Za-z0-9]{1,32}\.\d{1,15}$/),
  controller: z.string().regex(NODE_NAME),
  claim: z.string().min(1).optional(),
  call: z.string().min(1).optional(),
  args: z.array(z.string()).optional(),
  leaseMs: count.optional(),
  deadlineMs: count.optional(),
  priority: count.optional(),
  seq: count.optional(),
  token: z.string().min(1).max(128).optional(),
});

export type Ask = z.output<typeof askSchema>;

/** What an order without a token is given: it is none. Functions that only read do not look at it. */
const NO_TOKEN = "none";

const PONG: Reply = { kind: "status", text: "PONG" };

export interface OrdersOptions {
  readonly broker: Broker;
  readonly topics: FleetTopics;
  readonly self: string;
  readonly options: BrokerFleetOptions;
  readonly permits: Permits | undefined;
  /** The devices of this node. */
  readonly devices: Service;
}

export interface OrdersOfOthers {
  figures(): Figures;
  close(): void;
}

/**
 * Carries out what other nodes ask for over the broker, and answers. Orders move nothing without the token of a claim. What the broker had stored, and what a
 * controller asked for before something of it that is here already, is left undone and unanswered: each is done once, in its order, or not at all.
 */
export function serveOrders({ broker, topics, self, options, permits, devices }: OrdersOptions): OrdersOfOthers {
  const counts = { orders: 0, orders_ignored: 0, answers_lost: 0 };
  const controllers = new Map<string, { readonly caller: Caller; boot: string; number: number }>();
  let gone = new AbortController();
  const cancel = broker.subscribe(topics.orders(self), onMessage, 0);

  function onMessage({ payload, retained }: BrokerMessage): void {
    const parsed = askSchema.safeParse(objectIn(payload));
    // Who cannot say who is asking cannot be answered either.
    if (retained || !parsed.success || !isNext(parsed.data)) {
      counts.orders_ignored += 1;
      return;
    }
    counts.orders += 1;
    const { id, controller } = parsed.data;
    void Promise.resolve(carryOut(parsed.data)).then((reply) => answer(controller, id, reply));
  }

  function known(name: string): { readonly caller: Caller; boot: string; number: number } {
    const there = controllers.get(name);
    if (there !== undefined) return there;
    if (controllers.size >= options.maxNodes) {
      controllers.clear();
      gone.abort();
      gone = new AbortController();
    }
    const { priority } = options;
    const caller: Caller = { name: `mqtt ${name}`, priority, signal: gone.signal, ...(permits !== undefined && { permits }) };
    const fresh = { caller, boot: "", number: -1 };
    controllers.set(name, fresh);
    return fresh;
  }

  function isNext({ id, controller }: Ask): boolean {
    const from = known(controller);
    const dot = id.indexOf(".");
    const boot = id.slice(0, dot);
    const number = Number(id.slice(dot + 1));
    if (from.boot === boot && number <= from.number) return false;
    from.boot = boot;
    from.number = number;
    return true;
  }

  function carryOut(ask: Ask): Reply | Promise<Reply> {
    // Nothing is done, and nobody needs a permit to be told so.
    if (ask.claim === undefined && ask.call === undefined) return PONG;
    try {
      return devices.handle(requestOf(ask), known(ask.controller).caller);
    } catch (thrown) {
      return errorReply(toAgentError(thrown));
    }
  }

  function answer(controller: string, id: string, reply: Reply): void {
    const publish = (text: string) => broker.publish(topics.answers(controller), text, { qos: 0 });
    publish(answerText(id, reply))
      .catch((thrown: unknown) => {
        // An answer that is too large is replaced by saying so; without a connection there is nobody to tell.
        const error = toAgentError(thrown);
        if (error.code !== "LIMIT") throw error;
        return publish(answerText(id, errorReply(new AgentError("LIMIT", `it was done; ${messageOf(error)}`))));
      })
      .catch(() => (counts.answers_lost += 1));
  }

  return {
    figures: () => ({ ...counts }),
    close() {
      cancel();
      gone.abort();
    },
  };
}

function requestOf({ claim, call = "", args = [], leaseMs, deadlineMs, priority, seq, token = NO_TOKEN }: Ask): Request {
  const words: string[] = [];
  const option = (name: string, value: number | undefined): void => {
    if (value !== undefined) words.push(name, String(value));
  };
  option("LEASE", leaseMs);
  option("PRIORITY", priority);
  if (claim !== undefined) return { verb: "CLAIM", args: [...words, bytesOf(claim)] };
  option("DEADLINE", deadlineMs);
  option("SEQ", seq);
  return { verb: "CLONE", args: [...words, "TOKEN", bytesOf(token), bytesOf(call), ...args.map(bytesOf)] };
}

function answerText(id: string, reply: Reply): string {
  if (reply.kind === "error") return JSON.stringify({ id, status: "error", code: reply.error.code, error: reply.error.message });
  if (reply.kind === "status") return JSON.stringify({ id, status: "ok", data: reply.text });
  return JSON.stringify({ id, status: "ok", data: reply.raw === true ? textOf(reply.value as string) : reply.value }, asJson);
}
