import type { Reply } from "../../../agent/contract/request.ts";
import type { Value } from "../../../agent/contract/value.ts";

/** What the agent gives out and wants back. */
export type HandleKind = "vuid" | "descriptor" | "message";

/** Stands in a generated word for a handle that is only known once the agent has given it out: no byte is this character. */
const MARK = "\u0100";

const MARKED = new RegExp(`${MARK}(vuid|descriptor|message);`, "g");

/** Handles of one kind remembered. */
const REMEMBERED = 64;

/** Which request gives out what. */
const GIVEN_BY: Readonly<Record<string, HandleKind>> = { MALLOC: "vuid", FOPEN: "descriptor", ENQUEUE: "message", DEQUEUE: "message" };

/** Which request takes it back; the handle is its first argument. */
const TAKEN_BY: Readonly<Record<string, HandleKind>> = { FREEM: "vuid", FCLOSE: "descriptor", ACK: "message", REPLY: "message" };

export function handleName(kind: HandleKind): string {
  return `${MARK}${kind};`;
}

/** The handles given out lately, so that requests can be about something that exists. */
export interface Handles {
  /** The text with every handle's name replaced by a handle, or by 0 while there is none. */
  fill(text: string): string;
  /** Learns from the reply to a request, whose words are as they were sent. */
  learn(words: readonly string[], reply: Reply): void;
  /** Learns the address a classic malloc was answered. */
  learnAddress(text: string): void;
}

export function createHandles(): Handles {
  const known: Record<HandleKind, string[]> = { vuid: [], descriptor: [], message: [] };
  let turn = 0;

  function remember(kind: HandleKind, handle: string): void {
    known[kind].push(handle);
    if (known[kind].length > REMEMBERED) known[kind].shift();
  }

  /** A message comes as a map, which RESP2 has as names and values in turns, the id first. */
  function rememberReply(kind: HandleKind, value: Value): void {
    if (typeof value === "string" || typeof value === "number") remember(kind, String(value));
    else if (Array.isArray(value) && typeof value[1] === "number") remember(kind, String(value[1]));
    else if (typeof value === "object" && value !== null && !Array.isArray(value))
      rememberReply(kind, (value as Readonly<Record<string, Value>>)["id"] ?? null);
  }

  function pick(kind: HandleKind): string {
    const handles = known[kind];
    // A stride without a common factor visits all of them.
    turn += 7;
    return handles[turn % handles.length] ?? "0";
  }

  return {
    fill: (text) => (text.includes(MARK) ? text.replaceAll(MARKED, (_, kind: HandleKind) => pick(kind)) : text),
    learn([word = "", handle = ""], reply) {
      if (reply.kind === "error") return;
      const verb = word.toUpperCase();
      const given = GIVEN_BY[verb];
      const taken = TAKEN_BY[verb];
      if (given !== undefined && reply.kind === "value") rememberReply(given, reply.value);
      if (taken !== undefined) known[taken] = known[taken].filter((each) => each !== handle);
    },
    learnAddress: (text) => {
      if (/^[0-9a-f]{8,16}$/.test(text)) remember("vuid", text);
    },
  };
}
