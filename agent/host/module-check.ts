import { z } from "zod";

import { MODULE_CONTRACT, MOTION_LEASE, type Device, type DeviceModule, type Driver } from "../contract/device.ts";
import { AgentError, messageOf } from "../contract/errors.ts";

/** Mistakes shown of one module or device. */
const MAX_MISTAKES = 5;

const functionSchema = z.custom<() => unknown>((value) => typeof value === "function", { error: "a function is expected" });

const zodObjectSchema = z.custom<z.ZodObject>(isZodObject, { error: "a zod object is expected, for example z.strictObject({})" });

const nameSchema = z.string("a name is expected").regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, {
  error: "a name has up to 64 letters, digits and -, and starts with a letter",
});

const summarySchema = z.string("one line of text is expected").regex(/^[^\r\n]{1,500}$/, { error: "one line of text is expected" });

const millisecondsSchema = z.int("a whole number of milliseconds is expected").min(1, { error: "1 ms or more is expected" });

const leaseSchema = z
  .object({ floorMs: millisecondsSchema, defaultMs: millisecondsSchema, ceilingMs: millisecondsSchema })
  .refine(({ floorMs, defaultMs, ceilingMs }) => floorMs <= defaultMs && defaultMs <= ceilingMs, {
    error: "floorMs, defaultMs and ceilingMs are expected in this order, none below the one before",
  });

const driverSchema = z
  .object({
    name: nameSchema,
    summary: summarySchema,
    options: zodObjectSchema,
    moves: z.boolean("true or false is expected: whether it can move something"),
    actuates: z.literal(false, "false is expected of what only measures; leave it out otherwise").optional(),
    lease: leaseSchema,
    thread: z.undefined("the motion thread is only for drivers that come with the agent; leave it out").optional(),
    reads: functionSchema.optional(),
    entities: functionSchema.optional(),
    claims: functionSchema,
    open: functionSchema,
  })
  .refine(({ moves, lease }) => !moves || lease.ceilingMs <= MOTION_LEASE.ceilingMs, {
    error: `a lease of up to ${MOTION_LEASE.ceilingMs} ms is expected of what moves`,
    path: ["lease", "ceilingMs"],
  })
  .refine(({ moves, actuates }) => !moves || actuates !== false, { error: "what moves actuates; leave actuates out", path: ["actuates"] });

const moduleSchema = z.object({
  name: nameSchema,
  contract: z.literal(MODULE_CONTRACT, {
    error: ({ input }) => `it is written for contract ${String(input)}, this agent has ${MODULE_CONTRACT}`,
  }),
  version: z.string("text is expected").max(64).optional(),
  drivers: z.array(driverSchema, "a list of drivers is expected").min(1, { error: "a module has one driver or more" }),
});

const deviceFunctionSchema = z.object({
  summary: summarySchema,
  params: zodObjectSchema.refine(isDescribable, { error: "parameters that JSON Schema can describe are expected" }),
  effect: z.enum(["read", "actuate"], { error: "read or actuate is expected" }),
  call: functionSchema,
});

const deviceSchema = z.object({
  functions: z.record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: "a function is named by letters, digits and _" }),
    deviceFunctionSchema,
    "a map of functions is expected",
  ),
  failsafe: functionSchema.optional(),
  close: functionSchema,
});

/** What a file exported, if it is a module for this agent. Throws ARGUMENT with everything that is wrong with it. */
export function checkedModule(source: string, exported: unknown): DeviceModule {
  mustFit(`module ${source}`, moduleSchema, exported);
  const module = exported as DeviceModule;
  const names = module.drivers.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) < at);
  if (twice !== undefined) throw new AgentError("ARGUMENT", `module ${source}: it has two drivers called ${twice}`);
  return module;
}

/** What a driver of such a module opened, if it is a device. Throws ARGUMENT with everything that is wrong with it. */
export function mustBeDevice(id: string, driver: Driver, opened: unknown): asserts opened is Device {
  mustFit(`${id}: what driver ${driver.name} opened`, deviceSchema, opened);
  if (driver.moves && (opened as Device).failsafe === undefined) {
    throw new AgentError("ARGUMENT", `${id}: driver ${driver.name} moves something, and its device has no failsafe`);
  }
}

/** Its parts are used as they are, not as the schema would copy them. */
function mustFit(what: string, schema: z.ZodType, value: unknown): void {
  const { error } = schema.safeParse(value);
  if (error === undefined) return;
  const mistakes = error.issues
    .slice(0, MAX_MISTAKES)
    .map(({ path, message }) => `${path.length === 0 ? "" : `${path.map(String).join(".")}: `}${messageOf(message)}`);
  throw new AgentError("ARGUMENT", `${what}: ${mistakes.join("; ")}`);
}

/** One of this agent's zod or of another copy of it. */
function isZodObject(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { def, safeParse, shape } = value as Partial<z.ZodObject>;
  return def?.type === "object" && typeof safeParse === "function" && typeof shape === "object";
}

/** DEVICES describes every parameter: one that it cannot would break it for all devices. */
function isDescribable(params: z.ZodObject): boolean {
  try {
    z.toJSONSchema(params, { io: "input" });
    return true;
  } catch {
    return false;
  }
}
