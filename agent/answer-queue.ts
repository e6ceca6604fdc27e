import type { Reply, Request } from "./contract/request.ts";
import { isPending } from "./contract/value.ts";
import type { Eventually } from "./contract/value.ts";

/** Requests of one connection that were handled and are not answered: answers leave in the order of the requests. */
export interface AnswerQueue {
  /** How many there are. */
  readonly length: number;
  /** Puts a request, or a failure that belongs to none, behind the others. */
  add(request: Request | undefined, reply: Eventually<Reply>): void;
  /** Forgets them all, also those whose answers are still to come. */
  clear(): void;
}

export interface AnswerQueueEvents {
  /** It is this request's turn. */
  answer(reply: Reply, request: Request | undefined): void;
  /** What to answer when the handler rejected, which it must not. */
  rejected(thrown: unknown, request: Request | undefined): Reply;
  /** At least one was answered, not in the turn it was added. */
  answered(): void;
}

interface Slot {
  readonly request: Request | undefined;
  reply: Reply | undefined;
}

/** Answered slots at the head before the array is made shorter. */
const MAX_ANSWERED_SLOTS = 1000;

export function createAnswerQueue(events: AnswerQueueEvents): AnswerQueue {
  let slots: Slot[] = [];
  /** Those before it are answered. */
  let first = 0;

  function fill(slot: Slot, reply: Reply): void {
    slot.reply = reply;
    if (slot === slots[first]) settle();
  }

  /** Answers from the oldest on, up to the first that has no answer yet. */
  function settle(): void {
    for (let slot = slots[first]; slot?.reply !== undefined; slot = slots[first]) {
      first += 1;
      events.answer(slot.reply, slot.request);
    }
    if (first === slots.length || first > MAX_ANSWERED_SLOTS) {
      slots = slots.slice(first);
      first = 0;
    }
    events.answered();
  }

  return {
    get length() {
      return slots.length - first;
    },
    add(request, reply) {
      if (!isPending(reply)) {
        slots.push({ request, reply });
        return;
      }
      const slot: Slot = { request, reply: undefined };
      slots.push(slot);
      reply.then(
        (value) => {
          fill(slot, value);
        },
        (thrown: unknown) => {
          fill(slot, events.rejected(thrown, request));
        },
      );
    },
    clear() {
      slots = [];
      first = 0;
    },
  };
}
