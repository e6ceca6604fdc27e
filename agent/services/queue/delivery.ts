import { AgentError } from "../../contract/errors.ts";
import { textOf } from "../../contract/request.ts";
import type { Value } from "../../contract/value.ts";
import type { Message } from "./message.ts";

/** A message as DEQUEUE answers it. */
export function deliveryValue(message: Message): Value {
  const { id, topic, payload, deliveries, priority, correlation, from, wallMs, origin, reason } = message;
  return {
    id,
    topic: textOf(topic),
    payload: Buffer.from(payload, "latin1"),
    deliveries,
    priority,
    correlation: correlation === "" ? null : textOf(correlation),
    from: textOf(from),
    wallMs,
    origin: origin === "" ? null : textOf(origin),
    reason: reason === "" ? null : textOf(reason),
  };
}

/** Why no reply will come to a message: it is in its dead-letter topic, or was acknowledged. */
export function noReply({ id, origin, topic, deliveries, reason }: Message): AgentError {
  if (origin === "") return new AgentError("UNKNOWN", `message ${id} was acknowledged without a reply`);
  return new AgentError("FAULTED", `message ${id} is in ${textOf(topic)} after ${deliveries} deliveries: ${textOf(reason)}`);
}
