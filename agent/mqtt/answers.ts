import { errorReply, textOf, type Reply } from "../contract/request.ts";
import { asJson } from "../contract/value.ts";
import { toAgentError, type AgentError } from "../contract/errors.ts";
import { isReplyTopic } from "./topics.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { CommandMeta } from "./commands.ts";

/** Sends answers to whoever asks for them: to the response topic of MQTT 5, else where the field `reply` says, else to `otherwise`. */
export interface Answers {
  send(message: BrokerMessage, meta: CommandMeta, reply: Reply, otherwise?: string): void;
  refuse(message: BrokerMessage, meta: CommandMeta, thrown: unknown, otherwise?: string): AgentError;
  readonly sent: number;
  /** Answers that went nowhere: a topic that is none of theirs, or the broker is gone. */
  readonly lost: number;
}

export function createAnswers(broker: Broker, base: string, discoveryPrefix: string): Answers {
  let sent = 0;
  let lost = 0;

  function send(message: BrokerMessage, meta: CommandMeta, reply: Reply, otherwise?: string): void {
    const topic = message.responseTopic ?? meta.reply ?? message.properties["reply"] ?? otherwise;
    if (topic === undefined) return;
    if (topic !== otherwise && !isReplyTopic(topic, base, discoveryPrefix)) {
      lost++;
      return;
    }
    const { correlation } = message;
    broker
      .publish(topic, answerText(reply, meta), { qos: message.qos > 0 ? 1 : 0, ...(correlation !== undefined && { correlation }) })
      .then(
        () => sent++,
        () => lost++,
      );
  }

  return {
    send,
    refuse(message, meta, thrown, otherwise) {
      const error = toAgentError(thrown);
      send(message, meta, errorReply(error), otherwise);
      return error;
    },
    get sent() {
      return sent;
    },
    get lost() {
      return lost;
    },
  };
}

/** `{"status":"ok","data":…}` or `{"status":"error","code":"IN_USE","error":"…"}`, with `id` and `transaction` of the question. */
export function answerText(reply: Reply, { id, transaction }: CommandMeta): string {
  const echo = { ...(id !== undefined && { id }), ...(transaction !== undefined && { transaction }) };
  if (reply.kind === "error") return JSON.stringify({ status: "error", code: reply.error.code, error: reply.error.message, ...echo });
  if (reply.kind === "status") return JSON.stringify({ status: "ok", data: reply.text, ...echo });
  const data = reply.raw === true ? textOf(reply.value as string) : reply.value;
  return JSON.stringify({ status: "ok", data, ...echo }, asJson);
}
