import type { z } from "zod";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { DevicePolicy, DeviceSpec, Driver } from "../contract/device.ts";

/** One device of the configuration whose driver comes with a module that is loaded at run time: its options cannot be checked before that. */
export interface PendingSpec {
  readonly id: string;
  readonly driverName: string;
  /** Everything the configuration says beside the policy. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly policy: DevicePolicy;
}

/** A mistake in the options is shown as far as it helps. */
const MAX_MISTAKES = 5;

/** The device as it can be opened, now that its driver is there. Throws ARGUMENT with what is wrong with its options or its policy. */
export function specOf(pending: PendingSpec, driver: Driver): DeviceSpec {
  const { id, fields, policy } = pending;
  // A schema that is not strict would drop what it does not know, and who wrote it would wait for an effect.
  const schema = driver.options.def.catchall === undefined ? driver.options.strict() : driver.options;
  const options = schema.safeParse(fields);
  const mistakes = [...(options.error?.issues ?? []).slice(0, MAX_MISTAKES).map(issueText), ...policyMistakes(policy, driver)];
  if (options.data === undefined || mistakes.length > 0) throw new AgentError("ARGUMENT", `${id}: ${mistakes.join("; ")}`);
  return { id, driver, options: options.data, policy };
}

function issueText({ path, message }: z.core.$ZodIssue): string {
  const text = messageOf(message);
  return path.length === 0 ? text : `${path.map(String).join(".")}: ${text}`;
}

/** What the driver allows of the policy. */
function policyMistakes({ leaseMs, onLoss }: DevicePolicy, { name, lease, moves }: Driver): readonly string[] {
  const { floorMs, ceilingMs } = lease;
  const mistakes: string[] = [];
  if (leaseMs !== undefined && (leaseMs < floorMs || leaseMs > ceilingMs)) {
    mistakes.push(`leaseMs is ${leaseMs}; a ${name} takes leases from ${floorMs} to ${ceilingMs} ms`);
  }
  if (moves && onLoss === "hold") {
    mistakes.push(`onLoss is hold, and a ${name} moves: it must not go on without orders; write safe, off or a value`);
  }
  return mistakes;
}

/** Throws IN_USE when the device wants a port that one of the others has, or the same one twice, as far as their texts tell. */
export function mustNotShare(spec: DeviceSpec, others: readonly DeviceSpec[]): void {
  const owners = new Map<string, string>();
  for (const { id, driver, options } of others) for (const port of driver.claims(options)) owners.set(port, id);
  for (const port of spec.driver.claims(spec.options)) {
    const owner = owners.get(port);
    if (owner !== undefined) throw new AgentError("IN_USE", `${port} is used by ${owner} and by ${spec.id}; give one of them another port`);
    owners.set(port, spec.id);
  }
}
