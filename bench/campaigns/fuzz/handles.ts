import type { Reply } from "../../../agent/contract/request.ts";

/** What the agent gives out and wants back. */
export type HandleKind = "vuid" | "descriptor" | "message";

/** Stands in a generated word for a handle that is only known once the agent has given it out: no byte is this character. */
const MARK = "\u0100";

const MARKED = new RegExp(`${MARK}(vuid|descriptor|message);`, "g");

/** Handles of one kind remembered. */
const REMEMBERED = 64;

/** Which request gives out what. */
const GIVEN_BY: Readonly<Record<string, HandleKind>> = { MALLOC: "vuid", FOPEN: "descriptor", ENQUEUE: "message", DEQUEUE: "message" };

export function handleName(kind: HandleKind): string {
  return `${MARK}${kind};`;
}

/** The handles given out lately, so that requests can be about something that exists. */
export interface Handles {
  /** The text with every handle's name replaced by a handle, or by 0 while there is none. */
  fill(text: string): string;
  /** Learns from the reply to a request. */
  learn(verb: string, reply: Reply): void;
  /** Learns the address a classic malloc was answered. */
  learnAddress(text: string): void;
}

export function createHandles(): Handles {
  const known: Readonly<Record<HandleKind, string[]>> = { vuid: [], descriptor: [], message: [] };
  let turn = 0;

  function remember(kind: HandleKind, handle: string): void {
    known[kind].push(handle);
    if (known[kind].length > REMEMBERED) known[kind].shift();
  }

  function pick(kind: HandleKind): string {
    const handles = known[kind];
    // A stride without a common factor visits all of them.
    turn += 7;
    return handles[turn % handles.length] ?? "0";
  }

  return {
    fill: (text) => (text.includes(MARK) ? text.replaceAll(MARKED, (_, kind: HandleKind) => pick(kind)) : text),
    learn(verb, reply) {
      const kind = GIVEN_BY[verb];
      if (kind === undefined || reply.kind !== "value") return;
      const { value } = reply;
      const given = Array.isArray(value) ? (value[0] as unknown) : value;
      if (typeof given === "string" || typeof given === "number" || typeof given === "bigint") remember(kind, String(given));
      else if (typeof given === "object" && given !== null && "id" in given) remember(kind, String(given.id));
    },
    learnAddress: (text) => {
      if (/^[0-9a-f]{8,16}$/.test(text)) remember("vuid", text);
    },
  };
}
