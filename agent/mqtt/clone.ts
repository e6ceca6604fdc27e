import { AgentError } from "../contract/errors.ts";
import { bytesOf, errorReply, type ByteString, type Caller, type Reply, type Request, type Service } from "../contract/request.ts";
import { isPending } from "../contract/value.ts";
import { metaOf, type CommandMeta } from "./commands.ts";
import { splitInline } from "../wire/inline.ts";
import type { Answers } from "./answers.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Cancel } from "../contract/clock.ts";
import type { MqttCallers } from "./callers.ts";

const NO_META: CommandMeta = {};
const OPENING_BRACE = 0x7b;

/** Numeric options of CLONE, by their fields. */
const OPTIONS = { leaseMs: "LEASE", deadlineMs: "DEADLINE", priority: "PRIORITY", seq: "SEQ", node: "NODE" } as const;

const FIELDS: ReadonlySet<string> = new Set([...Object.keys(OPTIONS), "call", "args", "exp", "id", "transaction", "reply"]);

export interface CloneFaceOptions {
  readonly broker: Broker;
  readonly topic: string;
  readonly service: Service;
  readonly callers: MqttCallers;
  readonly arrivals: Arrivals;
  readonly answers: Answers;
  /** A call was answered. */
  readonly onCalled: (reply: Reply) => void;
}

/**
 * CLONE over MQTT: a line as on the wire, `LEASE 500 lamp.on`, or JSON, `{"call":"lamp.on","leaseMs":500,"id":"7","reply":"me/answers"}`. Nothing that was asked
 * here is repeated: the lease is the caller's to renew.
 */
export function serveClone({ broker, topic, service, callers, arrivals, answers, onCalled }: CloneFaceOptions): Cancel {
  return broker.subscribe(topic, onMessage, 1);

  function onMessage(message: BrokerMessage): void {
    if (arrivals.isStored(message)) return;
    let meta = NO_META;
    try {
      const parsed = parseClone(message.payload);
      meta = parsed.meta;
      if (!arrivals.accepts(message, meta)) return;
      respond(message, meta, parsed.request, callers.of(message));
    } catch (error) {
      onCalled(errorReply(answers.refuse(message, meta, error)));
    }
  }

  function respond(message: BrokerMessage, meta: CommandMeta, request: Request, caller: Caller): void {
    const reply = service.handle(request, caller);
    if (isPending(reply)) void reply.then((later: Reply) => settle(message, meta, later));
    else settle(message, meta, reply);
  }

  function settle(message: BrokerMessage, meta: CommandMeta, reply: Reply): void {
    answers.send(message, meta, reply);
    onCalled(reply);
  }
}

/** Throws SYNTAX for what is neither, ARGUMENT for a field there is none of. */
export function parseClone(payload: Uint8Array): { readonly request: Request; readonly meta: CommandMeta } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  if (bytes[0] !== OPENING_BRACE) return { request: { verb: "CLONE", args: lineArgs(bytes.toString("latin1")) }, meta: NO_META };
  const text = bytes.toString("utf8");
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new AgentError("SYNTAX", `that is no JSON: ${text.slice(0, 80)}`, { cause: error });
  }
  return { request: { verb: "CLONE", args: jsonArgs(fields) }, meta: metaOf(fields) };
}

function lineArgs(line: ByteString): readonly ByteString[] {
  const words = splitInline(line);
  if (words === undefined) throw new AgentError("SYNTAX", "a quote is not closed, or is followed by something else than a blank");
  return words[0]?.toUpperCase() === "CLONE" ? words.slice(1) : words;
}

function jsonArgs(fields: Readonly<Record<string, unknown>>): readonly ByteString[] {
  const { call, args = [] } = fields;
  if (typeof call !== "string" || call === "") throw new AgentError("ARGUMENT", `call is missing, for example {"call":"lamp.on"}`);
  if (!Array.isArray(args)) throw new AgentError("ARGUMENT", "args is a list, in the order of the function's parameters");
  const words: ByteString[] = [];
  for (const name in fields) {
    if (!FIELDS.has(name)) throw new AgentError("ARGUMENT", `there is no field ${name}; there are ${[...FIELDS].join(", ")}`);
    const option = OPTIONS[name as keyof typeof OPTIONS] as string | undefined;
    if (option !== undefined) words.push(option, bytesOf(String(fields[name])));
  }
  words.push(bytesOf(call));
  for (const arg of args as readonly unknown[]) words.push(bytesOf(typeof arg === "string" ? arg : JSON.stringify(arg)));
  return words;
}
