import { z } from "zod";

import { AgentError, toAgentError, type ErrorCode } from "../contract/errors.ts";
import type { DeviceFunction, LossAction } from "../contract/device.ts";
import type { Value } from "../contract/value.ts";
import type { VariableValue } from "../contract/variable.ts";
import type { MotionLimits } from "./motion-limits.ts";

/** What the motion thread is started with. */
export interface MotionSetup {
  readonly memory: SharedArrayBuffer;
  /** Which board to open, as the configuration says; the thread's entry knows what it means. */
  readonly board: unknown;
  /** File URLs of modules beside those that come with the agent; each exports its DeviceModule as default or as `module`. */
  readonly modules: readonly string[];
  readonly limits: MotionLimits;
}

/** An error on its way through a message. */
export interface ErrorText {
  readonly code: ErrorCode;
  readonly message: string;
}

export function errorText(thrown: unknown, code?: ErrorCode): ErrorText {
  const error = toAgentError(thrown, code);
  return { code: error.code, message: error.message };
}

export function errorFrom({ code, message }: ErrorText): AgentError {
  return new AgentError(code, message);
}

/** A device's function without its code: what calls are checked against and described from, outside of the thread. */
export interface FunctionOutline {
  readonly name: string;
  readonly summary: string;
  readonly effect: DeviceFunction["effect"];
  /** JSON Schema of what may be given. */
  readonly params: z.core.JSONSchema.BaseSchema;
}

/** A device as it is known outside of the thread. */
export interface DeviceOutline {
  readonly functions: readonly FunctionOutline[];
  /** Whether it has one. */
  readonly failsafe: boolean;
  readonly restMs: number | undefined;
}

export function outlinesOf(functions: Readonly<Record<string, DeviceFunction>>): readonly FunctionOutline[] {
  return Object.entries(functions).map(([name, { summary, effect, params }]) => ({
    name,
    summary,
    effect,
    // Through text, so that nothing is left that cannot cross to another thread.
    params: JSON.parse(JSON.stringify(z.toJSONSchema(params, { io: "input" }))) as z.core.JSONSchema.BaseSchema,
  }));
}

/** The schema again. Refinements and transforms are not in it: the thread checks with the driver's own once more. */
export function paramsOf({ name, params }: FunctionOutline): z.ZodObject {
  const schema = z.fromJSONSchema(params);
  if (schema instanceof z.ZodObject) return schema;
  throw new AgentError("FAULTED", `parameters of ${name} are no object`);
}

/** A variable, with the moment it arrived instead of its age. */
export interface SentVariable {
  readonly name: string;
  readonly value: VariableValue;
  readonly unit: string | undefined;
  readonly arrivedMs: number;
  readonly staleMs: number;
  readonly source: string;
  readonly updates: number;
}

/** What a device publishes. */
export interface Published {
  readonly device: number;
  readonly name: string;
  readonly value: VariableValue;
  readonly freshMs: number | undefined;
}

/** Opens a device under a number, by which everything else calls it. */
export interface OpenMessage {
  readonly kind: "open";
  readonly device: number;
  readonly id: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly onLoss: LossAction;
  readonly reads: readonly string[];
}

export interface CallMessage {
  readonly kind: "call";
  readonly call: number;
  readonly device: number;
  readonly fn: string;
  readonly args: Record<string, unknown>;
  /** The latest order to go safe that was given before: a call from before an order never comes after it. */
  readonly order: number;
}

export type ToThread =
  | OpenMessage
  | CallMessage
  /** The device's calls in progress are to end. */
  | { readonly kind: "abort"; readonly device: number }
  | { readonly kind: "variables"; readonly variables: readonly SentVariable[] }
  | { readonly kind: "close"; readonly device: number }
  /** There is an order in the shared memory; only wakes the event loop. */
  | { readonly kind: "order" }
  | { readonly kind: "stop" };

/** What a device's proxy is told. */
export type ProxyMessage =
  | { readonly kind: "answer"; readonly device: number; readonly call: number; readonly value: Value }
  | { readonly kind: "failed"; readonly device: number; readonly call: number; readonly error: ErrorText }
  /** An order was carried out; `error` is why it could not be. */
  | { readonly kind: "safe"; readonly device: number; readonly order: number; readonly error: ErrorText | undefined };

/** What comes from devices that are open. */
export type DeviceMessage =
  | ProxyMessage
  | { readonly kind: "published"; readonly values: readonly Published[] }
  | { readonly kind: "fault"; readonly device: number; readonly error: ErrorText }
  /** The thread ended a lease itself. */
  | { readonly kind: "lease-end"; readonly device: number; readonly lateMs: number };

export type FromThread =
  | DeviceMessage
  /** 0: its priority is the usual one. */
  | { readonly kind: "ready"; readonly realtimePriority: number }
  | ({ readonly kind: "opened"; readonly device: number } & DeviceOutline)
  | { readonly kind: "unopened"; readonly device: number; readonly error: ErrorText }
  | { readonly kind: "closed"; readonly device: number; readonly error: ErrorText | undefined }
  | { readonly kind: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly fields: object; readonly message: string }
  /** The thread cannot go on; it has tried to make its devices safe. */
  | { readonly kind: "dying"; readonly error: ErrorText }
  | { readonly kind: "stopped" };
