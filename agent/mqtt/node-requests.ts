import { AgentError } from "../contract/errors.ts";
import { bytesOf, valueReply, type Caller, type Reply, type Request, type Service } from "../contract/request.ts";
import { metaOf, objectIn, type CommandMeta } from "./commands.ts";
import type { Answers } from "./answers.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Cancel } from "../contract/clock.ts";
import type { Eventually, Value } from "../contract/value.ts";
import type { MqttCallers } from "./callers.ts";
import type { Topics } from "./topics.ts";

export interface NodeRequestsOptions {
  readonly broker: Broker;
  readonly topics: Topics;
  readonly service: Service;
  readonly callers: MqttCallers;
  readonly arrivals: Arrivals;
  readonly answers: Answers;
  health(): Value;
  info(): Value;
  /** Publishes everything again. */
  announce(): void;
  onRefused(error: AgentError, what: string): void;
}

type Fields = Readonly<Record<string, unknown>>;

/** `bridge/request/<what>`, answered on `bridge/response/<what>` unless the question says where. */
export function serveNodeRequests(options: NodeRequestsOptions): Cancel {
  const { broker, topics, service, callers, arrivals, answers } = options;
  const prefix = topics.request("");
  return broker.subscribe(`${prefix}+`, onMessage, 1);

  function onMessage(message: BrokerMessage): void {
    if (arrivals.isStored(message)) return;
    const what = message.topic.slice(prefix.length);
    const otherwise = topics.response(what);
    let meta: CommandMeta = {};
    try {
      const text = Buffer.from(message.payload).toString("utf8").trim();
      const fields = objectIn(text) ?? { value: text };
      meta = metaOf(fields);
      // Whatever is late, the emergency stop is not.
      if (!arrivals.accepts(message, what === "estop" ? { ...meta, exp: Infinity } : meta)) return;
      const caller = callers.of(message);
      void Promise.resolve(answer(what, fields, caller)).then((reply) => answers.send(message, meta, reply, otherwise));
    } catch (error) {
      options.onRefused(answers.refuse(message, meta, error, otherwise), what);
    }
  }

  function answer(what: string, fields: Fields, caller: Caller): Eventually<Reply> {
    const ask = (verb: string, ...args: string[]): Eventually<Reply> => service.handle({ verb, args } satisfies Request, caller);
    switch (what) {
      case "estop":
        return ask("ESTOP");
      case "estop_reset":
        // An empty message comes when somebody takes a retained one back.
        if (fields["value"] === "") throw new AgentError("ARGUMENT", "the request is empty; PRESS or a JSON object is expected");
        return ask("ESTOP", "RESET");
      case "reset":
        return ask("RESET", deviceIn(fields));
      case "devices":
        return ask("DEVICES");
      case "describe":
        return ask("DESCRIBE", deviceIn(fields));
      case "health":
        return valueReply(options.health());
      case "info":
        return valueReply(options.info());
      case "announce":
        options.announce();
        return valueReply(null);
      default:
        throw new AgentError(
          "UNKNOWN",
          `there is no request ${what}; there are estop, estop_reset, reset, devices, describe, health, info and announce`,
        );
    }
  }
}

/** The field `device`, or the whole text. */
function deviceIn({ device, value }: Fields): string {
  const named = device ?? value;
  if (typeof named !== "string" || named === "") throw new AgentError("ARGUMENT", `a device is missing, for example {"device":"lamp"}`);
  return bytesOf(named);
}
