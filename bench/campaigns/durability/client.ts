import { connect } from "node:net";

import type { AgentError } from "../../../agent/contract/errors.ts";
import type { Reply } from "../../../agent/contract/request.ts";
import type { Value } from "../../../agent/contract/value.ts";
import { createReplyParser } from "../../../agent/wire/resp-reply.ts";

/** What became of a request: answered with a value (a status is its text), answered with an error, or nobody knows since the connection ended. */
export type Outcome =
  { readonly kind: "value"; readonly value: Value } | { readonly kind: "error"; readonly error: AgentError } | { readonly kind: "gone" };

const GONE: Outcome = { kind: "gone" };

/** One connection that many requests are under way on. */
export interface Client {
  /** Sends at once, in the order of the calls. Words have one character per byte. Never rejects. */
  ask(...words: readonly string[]): Promise<Outcome>;
  readonly isGone: boolean;
  close(): void;
}

/** Connects to a port of this machine, for as long as `use` takes. Where nobody listens any more, everything asked is gone. */
export async function withClient<T>(port: number, use: (client: Client) => Promise<T>): Promise<T> {
  const client = connectClient(port);
  try {
    // Maps are maps from now on.
    await client.ask("HELLO", "3");
    return await use(client);
  } finally {
    client.close();
  }
}

function connectClient(port: number): Client {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const parser = createReplyParser();
  let waiting: ((outcome: Outcome) => void)[] = [];
  let out = "";
  let gone = false;

  function end(): void {
    gone = true;
    socket.destroy();
    const left = waiting;
    waiting = [];
    for (const resolve of left) resolve(GONE);
  }

  function flush(): void {
    if (!gone && out !== "") socket.write(out, "latin1");
    out = "";
  }

  socket.on("data", (chunk: Buffer) => {
    for (const message of parser.push(chunk)) {
      if (message.kind === "reply") waiting.shift()?.(outcomeOf(message.reply));
    }
    if (parser.failure !== undefined) end();
  });
  socket.on("error", end);
  socket.on("close", end);

  return {
    ask(...words) {
      if (gone) return Promise.resolve(GONE);
      if (out === "") process.nextTick(flush);
      out += `*${words.length}\r\n`;
      for (const word of words) out += `$${word.length}\r\n${word}\r\n`;
      return new Promise((resolve) => waiting.push(resolve));
    },
    get isGone() {
      return gone;
    },
    close: end,
  };
}

function outcomeOf(reply: Reply): Outcome {
  if (reply.kind === "error") return { kind: "error", error: reply.error };
  return { kind: "value", value: reply.kind === "status" ? reply.text : reply.value };
}

/** A value's bytes, one character each; undefined when it is none that bytes came as. */
export function bytesOfValue(value: Value): string | undefined {
  if (typeof value === "string") return Buffer.from(value).toString("latin1");
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : undefined;
}

/** The answer's value. Throws when there is none: for questions that must be answered. */
export function valueOf(outcome: Outcome, question: string): Value {
  if (outcome.kind === "value") return outcome.value;
  throw new Error(
    `${question} was answered ${outcome.kind === "error" ? `${outcome.error.code} ${outcome.error.message}` : "by the end of the connection"}`,
  );
}
