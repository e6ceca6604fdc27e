import { AgentError } from "./errors.ts";
import type { Eventually, Value } from "./value.ts";

/**
 * An argument as it came over the wire: one character per byte (0–255), so that nothing is lost and nothing is copied twice.
 * Names and numbers are ASCII and can be used as they are; free text goes through `textOf`.
 */
export type ByteString = string;

/** The bytes read as UTF-8. Bytes that are not UTF-8 become U+FFFD. */
export function textOf(bytes: ByteString): string {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) return Buffer.from(bytes, "latin1").toString("utf8");
  }
  return bytes;
}

/** The text as UTF-8, one character per byte: the inverse of `textOf`. */
export function bytesOf(text: string): ByteString {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}

/** What is asked, whatever the transport. */
export interface Request {
  /** Upper case. */
  readonly verb: string;
  readonly args: readonly ByteString[];
}

/** What is answered, whatever the transport. */
export type Reply =
  /** With `raw` the value is a ByteString, whose bytes are written as they are: data that came over the wire goes back without a copy. */
  | { readonly kind: "value"; readonly value: Value; readonly raw?: true }
  /** A word that is not data: OK, PONG. */
  | { readonly kind: "status"; readonly text: string }
  | { readonly kind: "error"; readonly error: AgentError };

export const OK: Reply = { kind: "status", text: "OK" };

export function valueReply(value: Value): Reply {
  return { kind: "value", value };
}

/** Data as it came over the wire. */
export function bytesReply(bytes: ByteString): Reply {
  return { kind: "value", value: bytes, raw: true };
}

export function errorReply(error: AgentError): Reply {
  return { kind: "error", error };
}

/** What a permit is about; the names under each: `lamp.on`, `battery_v`, `logs/today.txt`, `orders`, `settings:volume`, `7`. */
export type PermitKind = "function" | "vars" | "files" | "queue" | "memory" | "events";

/** What an authenticated caller may touch. */
export interface Permits {
  /** The list it was made from, so that another process can make the same; absent where there is none. */
  readonly allow?: readonly string[];
  allows(kind: PermitKind, name: string): boolean;
}

/** Why `caller` may not touch that: DENIED, or undefined when it may. */
export function refusal(caller: Caller, kind: PermitKind, name: string): AgentError | undefined {
  if (caller.permits === undefined || caller.permits.allows(kind, name)) return undefined;
  const permit = kind === "function" ? name : `${kind}:${name}`;
  return new AgentError("DENIED", `${caller.name} may not use ${permit}; its user's allow list does not cover it`);
}

/** Identifies an event of this node's journal; rises by one per event; 0 is "nothing". */
export type EventId = number;

/** Who asks. One per connection or rule, not one per request. */
export interface Caller {
  /** The authenticated name, else where from: `operator`, `127.0.0.1`, `rule low-beam`. Shown to whoever is refused because of it. */
  readonly name: string;
  /** 0–255: what it gets when it asks for none. */
  readonly priority: number;
  /** The highest priority it may ask for; `priority` when absent. */
  readonly maxPriority?: number;
  /** Where it is connected from, without a port; absent for a rule. */
  readonly address?: string;
  /** What it may touch; everything when absent. Ask `refusal`. */
  readonly permits?: Permits;
  /** The event that what it asks now follows from; 0 or absent for none. Differs from request to request where the caller is a rule. */
  readonly cause?: EventId;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
  /** Sends something the caller subscribed to, outside request and reply. Absent where the transport cannot. */
  readonly push?: (message: readonly Value[]) => void;
}

/** One line of HELP and of the CLI. */
export interface VerbDoc {
  readonly verb: string;
  /** `[LEASE ms] function [arg …]` */
  readonly usage: string;
  readonly summary: string;
}

/** Meaning behind a listener: answers requests of its verbs. Never throws, never rejects. */
export interface Service {
  readonly verbs: readonly VerbDoc[];
  handle(request: Request, caller: Caller): Eventually<Reply>;
}

/** Numbers and words about something, as INFO shows them. */
export type Figures = Readonly<Record<string, string | number>>;

/** A service that holds something open: files, timers, connections. */
export interface OpenService extends Service {
  /** What INFO shows under the service's name. */
  figures(): Figures;
  /** Makes durable what was acknowledged and lets go of everything. */
  close(): Promise<void>;
}

/** Priorities of the arbiter (twist_mux: 0–255, the highest live one wins). */
export const PRIORITY = { eStop: 255, operator: 100, rule: 10 } as const;
