import { AgentError } from "../contract/errors.ts";
import { errorReply, type Reply } from "../contract/request.ts";

/** Calls that were asked and not answered: most are answered in their order, some later by their number. */
export interface OpenCalls {
  readonly count: number;
  /** A call behind the others. */
  add(): Promise<Reply>;
  /** A call that is asked before the last `unsent` of them. */
  addBefore(unsent: number): Promise<Reply>;
  /** The reply to the oldest call. Throws SYNTAX when none is open. */
  answer(reply: Reply): void;
  /** The oldest call is answered later, as the one with this number. Calls are numbered from 1 in the order in which they are asked. */
  postpone(number: number): void;
  /** Throws SYNTAX when no such call was postponed. */
  answerPostponed(number: number, reply: Reply): void;
  /** Answers all of them. */
  fail(error: AgentError): void;
}

/** Answered calls at the head before the array is made shorter. */
const MAX_ANSWERED = 4096;

export function createOpenCalls(): OpenCalls {
  let calls: ((reply: Reply) => void)[] = [];
  /** Those before it are answered. */
  let first = 0;
  /** The number of the call at `first`. */
  let number = 1;
  const postponed = new Map<number, (reply: Reply) => void>();
  let resolve: (reply: Reply) => void = () => undefined;

  /** One for all promises, so that a call makes no closure. */
  function executor(settle: (reply: Reply) => void): void {
    resolve = settle;
  }

  function shift(): (reply: Reply) => void {
    const call = calls[first];
    if (call === undefined) throw new AgentError("SYNTAX", "an answer came that nobody waits for");
    first += 1;
    number += 1;
    if (first === calls.length) {
      calls.length = 0;
      first = 0;
    } else if (first > MAX_ANSWERED) {
      calls = calls.slice(first);
      first = 0;
    }
    return call;
  }

  return {
    get count() {
      return calls.length - first + postponed.size;
    },
    add() {
      const promise = new Promise(executor);
      calls.push(resolve);
      return promise;
    },
    addBefore(unsent) {
      const promise = new Promise(executor);
      calls.splice(calls.length - unsent, 0, resolve);
      return promise;
    },
    answer(reply) {
      shift()(reply);
    },
    postpone(told) {
      if (told !== number) throw new AgentError("SYNTAX", `call ${told} is put off, but call ${number} is the oldest`);
      postponed.set(told, shift());
    },
    answerPostponed(told, reply) {
      const call = postponed.get(told);
      if (call === undefined) throw new AgentError("SYNTAX", `call ${told} is answered, but was not put off`);
      postponed.delete(told);
      call(reply);
    },
    fail(error) {
      const left = [...postponed.values(), ...calls.slice(first)];
      postponed.clear();
      calls = [];
      first = 0;
      for (const call of left) call(errorReply(error));
    },
  };
}
