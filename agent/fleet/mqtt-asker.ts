import { AgentError, ERROR_CODES, type ErrorCode } from "../contract/errors.ts";
import { bytesOf, errorReply, valueReply } from "../contract/request.ts";
import { objectIn } from "./mqtt-birth.ts";
import type { Ask } from "./mqtt-orders.ts";
import type { FleetTopics } from "./mqtt-topics.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Figures, Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/** What is asked, without who and in which order. */
export type Question = Omit<Ask, "id" | "controller">;

/** Asks other nodes over the broker. */
export interface Asker {
  /**
   * The node's answer; undefined when there was none within `limitMs`. Throws NOT_READY without a connection and FULL when too much is open or waits for the network:
   * then nothing was asked.
   */
  ask(node: string, question: Question, limitMs: number): Promise<Reply | undefined>;
  figures(): Figures;
  close(): void;
}

export interface AskerOptions {
  readonly broker: Broker;
  readonly topics: FleetTopics;
  readonly self: string;
  /** Told from every other start of this node. */
  readonly boot: string;
  readonly maxOpen: number;
  readonly clock: Clock;
}

/** Delivered at most once and never stored (quality of service 0): an order that waits is a stale order. */
const AT_MOST_ONCE = { qos: 0 } as const;

export function createAsker({ broker, topics, self, boot, maxOpen, clock }: AskerOptions): Asker {
  const open = new Map<string, (reply: Reply | undefined) => void>();
  const counts = { asked: 0, unanswered: 0, answers_unexpected: 0 };
  let number = 0;
  const cancel = broker.subscribe(topics.answers(self), onAnswer, 0);

  function onAnswer({ payload, retained }: BrokerMessage): void {
    const fields = retained ? undefined : objectIn(payload);
    const id = fields?.["id"];
    const settle = typeof id === "string" ? open.get(id) : undefined;
    if (fields === undefined || settle === undefined) counts.answers_unexpected += 1;
    else settle(replyOf(fields));
  }

  function answered(id: string, limitMs: number): Promise<Reply | undefined> {
    return new Promise((resolve) => {
      const settle = (reply: Reply | undefined): void => {
        cancelLimit();
        open.delete(id);
        resolve(reply);
      };
      const cancelLimit: Cancel = clock.after(limitMs, () => {
        counts.unanswered += 1;
        settle(undefined);
      });
      open.set(id, settle);
    });
  }

  return {
    async ask(node, question, limitMs) {
      if (open.size >= maxOpen)
        throw new AgentError("FULL", `${maxOpen} requests to other nodes have no answer, no more may be open; try again later`);
      const id = `${boot}.${++number}`;
      const answer = answered(id, limitMs);
      try {
        const text = JSON.stringify({ id, controller: self, ...question } satisfies Ask);
        // A network that takes nothing is not waited for any longer than the answer.
        await Promise.race([broker.publish(topics.orders(node), text, AT_MOST_ONCE), answer]);
      } catch (thrown) {
        open.get(id)?.(undefined);
        throw thrown;
      }
      counts.asked += 1;
      return answer;
    },
    figures: () => ({ ...counts, open: open.size }),
    close() {
      cancel();
      for (const settle of open.values()) settle(undefined);
    },
  };
}

function replyOf({ status, data, code, error }: Readonly<Record<string, unknown>>): Reply {
  if (status === "ok") return valueReply(valueOf(data));
  const known = ERROR_CODES.find((one): one is ErrorCode => one === code) ?? "IO";
  return errorReply(
    new AgentError(known, typeof error === "string" ? error.replaceAll(/\s+/g, " ") : "the node's answer says neither ok nor why not"),
  );
}

/** What JSON can say is a value; text is written as UTF-8 by whoever passes it on. */
function valueOf(data: unknown): Value {
  return data === undefined ? null : (data as Value);
}

/** The text of an argument. Throws ARGUMENT for bytes that are no text: messages between nodes are JSON. */
export function argumentText(bytes: string, text: string): string {
  if (bytesOf(text) === bytes) return text;
  throw new AgentError("ARGUMENT", "an argument is no UTF-8 text; bytes cannot be sent over the broker");
}
