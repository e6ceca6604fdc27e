import { AgentError, ERROR_CODES, messageOf, type ErrorCode } from "../contract/errors.ts";
import { isPending, type Eventually, type Value } from "../contract/value.ts";
import { mustBeDevice } from "./module-check.ts";
import type { Device, DeviceFunction, Driver } from "../contract/device.ts";

/** Answers nested deeper than this are not passed on. */
const MAX_DEPTH = 16;

/** A driver somebody else wrote, whose devices cannot do harm by answering what is no answer: what they open and what they return is checked. */
export function guardedDriver(driver: Driver): Driver {
  return {
    ...driver,
    claims: (options) => driver.claims(options),
    async open(context, options) {
      const opened: unknown = await foreign(() => driver.open(context, options));
      mustBeDevice(context.id, driver, opened);
      return guardedDevice(context.id, opened);
    },
  };
}

function guardedDevice(id: string, device: Device): Device {
  return {
    functions: Object.fromEntries(Object.entries(device.functions).map(([name, fn]) => [name, guardedFunction(`${id}.${name}`, fn)])),
    ...(device.failsafe !== undefined && { failsafe: (to) => device.failsafe?.(to) }),
    close: () => device.close(),
  };
}

function guardedFunction(callName: string, fn: DeviceFunction): DeviceFunction {
  const { summary, params, effect } = fn;
  return {
    summary,
    params,
    effect,
    call(args, signal) {
      const answer = foreign(() => fn.call(args, signal));
      return isPending(answer) ? answer.then((value) => checked(callName, value)) : checked(callName, answer);
    },
  };
}

/** What `run` throws is an AgentError of this agent's, also where the module has a copy of that class of its own. */
function foreign<T>(run: () => Eventually<T>): Eventually<T> {
  try {
    const result = run();
    if (!isPending(result)) return result;
    return result.catch((error: unknown) => {
      throw translated(error);
    });
  } catch (error) {
    throw translated(error);
  }
}

function translated(error: unknown): unknown {
  if (error instanceof AgentError || !(error instanceof Error) || error.name !== "AgentError") return error;
  const code = (error as { readonly code?: unknown }).code;
  return isErrorCode(code) ? new AgentError(code, messageOf(error), { cause: error }) : error;
}

function isErrorCode(code: unknown): code is ErrorCode {
  return ERROR_CODES.some((known) => known === code);
}

/** A value as every wire can carry it; nothing is null. Throws FAULTED for anything else. */
function checked(callName: string, value: unknown): Value {
  if (value === undefined) return null;
  if (isValue(value, 0)) return value;
  throw new AgentError("FAULTED", `${callName} answered something that is no value`);
}

function isValue(value: unknown, depth: number): value is Value {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
      return true;
    case "object":
      return value === null || value instanceof Uint8Array || (depth < MAX_DEPTH && isMapOrList(value, depth));
    default:
      return false;
  }
}

function isMapOrList(value: object, depth: number): boolean {
  if (Array.isArray(value)) return value.every((part) => isValue(part, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.values(value).every((part) => isValue(part, depth + 1));
}
