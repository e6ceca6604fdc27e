import { z } from "zod";

import type { Entity } from "../../agent/contract/entity.ts";
import { AgentError, messageOf, toAgentError } from "../../agent/contract/errors.ts";
import { createModbusBus, type ModbusBus } from "./modbus-bus.ts";
import {
  defineDriver,
  defineFunction,
  type Device,
  type DeviceContext,
  type DeviceFunction,
  type LeaseRange,
  type SafeTarget,
} from "../../agent/contract/device.ts";
import { requireOpen } from "./require-open.ts";
import { readRequestOf, registerSchema, valueOf, writeRequestOf, type ModbusRegister } from "./modbus-values.ts";
import { serialOptionsShape, type SerialStream } from "../../agent/contract/serial.ts";

/** A value may be relied on for this many polls. */
const FRESH_POLLS = 3;

/** A line of 9600 bit/s with several instruments cannot be asked to repeat its commands five times a second. */
const LEASE: LeaseRange = { defaultMs: 2000, floorMs: 30, ceilingMs: 60_000 };

const RESERVED = new Set(["status", "ok"]);

const optionsSchema = z.strictObject({
  ...serialOptionsShape(9600),
  parity: z.enum(["none", "even", "odd"]).default("even").describe("even by the standard; many instruments come with none"),
  timeoutMs: z.int().min(10).max(10_000).default(500).describe("time for a reply, milliseconds"),
  registers: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_]{0,31}$/, { error: "a register is named by up to 32 small letters, digits and _" }),
      registerSchema,
    )
    .check(({ value, issues }) => {
      for (const name of Object.keys(value)) {
        if (!RESERVED.has(name)) continue;
        issues.push({ code: "custom", path: [name], message: "the device has a name like this of its own; take another", input: value });
      }
      const count = Object.keys(value).length;
      if (count === 0 || count > 256)
        issues.push({ code: "custom", path: [], message: `${count} registers; 1 to 256 are possible`, input: value });
    }),
});

type ModbusOptions = z.output<typeof optionsSchema>;

/**
 * Instruments on a Modbus RTU line. Each register of the configuration is a variable and a function of its name; one that may be written has a function
 * `set_NAME` as well. Publishes `ok`: whether every polled register answered when it was asked last. What may be written is written its safe value
 * when the device is made safe and whenever the port opens, because nobody knows what happened meanwhile.
 */
export const modbusRtuDriver = defineDriver({
  name: "modbus-rtu",
  summary: "instruments on a Modbus RTU line: registers as variables and functions",
  options: optionsSchema,
  moves: true,
  lease: LEASE,
  claims: ({ path }) => [`serial ${path}`],
  entities: ({ registers }) => [
    ...Object.entries(registers).map(([name, register]) => registerEntity(name, register)),
    { kind: "binary_sensor", key: "ok", name: "answering", category: "diagnostic", state: { on: "ok" }, deviceClass: "connectivity" },
  ],
  async open(context, options) {
    const stream = await context.board.openSerial(context.id, options.path, options);
    return createModbus(context, stream, options);
  },
});

function registerEntity(name: string, { type, write, range, unit }: ModbusRegister): Entity {
  const fn = `set_${name}`;
  if (type === "bool") {
    if (!write) return { kind: "binary_sensor", key: name, state: { on: name } };
    return { kind: "switch", key: name, state: { on: name }, calls: { on: { fn, args: ["true"] }, off: { fn, args: ["false"] } } };
  }
  const shown = { key: name, state: { value: name }, ...(unit !== "" && { unit }) };
  if (write && range !== undefined) return { kind: "number", ...shown, range, calls: { set: { fn, takesValue: true } } };
  return { kind: "sensor", ...shown, stateClass: "measurement", digits: 3 };
}

type Entry = readonly [name: string, register: ModbusRegister];

/** What is written to a register for `to`; undefined where nothing is. */
function safeValueOf({ safe, range, kind }: ModbusRegister, to: SafeTarget, isOnly: boolean): number | boolean | undefined {
  if (safe === undefined || safe === "keep") return undefined;
  if (to === "off") {
    if (kind === "coil") return false;
    return range !== undefined && range[0] <= 0 && range[1] >= 0 ? 0 : safe;
  }
  if (to === "safe" || !isOnly || typeof to.value !== typeof safe) return safe;
  const isInside = typeof to.value === "boolean" || (range !== undefined && to.value >= range[0] && to.value <= range[1]);
  return isInside ? to.value : safe;
}

function createModbus(context: DeviceContext, stream: SerialStream, options: ModbusOptions): Device {
  const { id, clock } = context;
  const bus = createModbusBus(id, clock, stream, options);
  const entries: readonly Entry[] = Object.entries(options.registers);
  const writable = entries.filter(([, register]) => register.write);
  const failed = new Map<string, string>();
  /** Since the port opened. */
  const answered = new Set<string>();
  const lastRead = new Map<string, number | boolean>();
  let outOfRange = 0;
  let ok: boolean | undefined;

  function showOk(next: boolean): void {
    if (next === ok) return;
    ok = next;
    context.publish("ok", next);
  }

  function freshMs({ pollMs }: ModbusRegister): number {
    return pollMs * FRESH_POLLS + options.timeoutMs;
  }

  /** Asks the instrument; undefined for a value that cannot be, which is counted. */
  async function read([name, register]: Entry): Promise<number | boolean | undefined> {
    const value = valueOf(register, await bus.request(readRequestOf(register)));
    if (value === undefined) {
      outOfRange += 1;
      lastRead.delete(name);
    } else {
      context.publish(name, value, freshMs(register));
      lastRead.set(name, value);
    }
    return value;
  }

  const polled = entries.filter(([, { pollMs }]) => pollMs > 0);

  async function poll(entry: Entry): Promise<void> {
    const [name] = entry;
    try {
      const value = await read(entry);
      if (value === undefined) failed.set(name, "the value cannot be, or is outside of its range");
      else failed.delete(name);
    } catch (thrown) {
      failed.set(name, messageOf(thrown));
    }
    answered.add(name);
    showOk(failed.size === 0 && answered.size === polled.length);
  }

  /** What is polled is read at once when it was written anew: whoever set it sees what became of it. */
  function wrote(entry: Entry, value: number | boolean): void {
    const [name, { pollMs }] = entry;
    if (pollMs > 0 && lastRead.get(name) !== value) poll(entry).catch((error: unknown) => context.fault(error));
  }

  async function writeAll(to: SafeTarget): Promise<void> {
    const isOnly = writable.length === 1;
    const writes = writable.flatMap(([name, register]) => {
      const value = safeValueOf(register, to, isOnly);
      if (value === undefined) return [];
      return [bus.urgent(writeRequestOf(`${id} ${name}`, register, value)).then(() => wrote([name, register], value))];
    });
    const results = await Promise.allSettled(writes);
    const failure = results.find((result) => result.status === "rejected");
    if (failure !== undefined) throw toAgentError(failure.reason);
  }

  function makeSafeAfterOpening(): void {
    writeAll("safe").catch((error: unknown) => {
      // Lost again: the next opening does it.
      if (stream.state() === "open")
        context.fault(new AgentError("IO", `${id} could not be made safe: ${messageOf(error)}`, { cause: error }));
    });
  }

  showOk(stream.state() === "open" && polled.length === 0);
  const cancelPolls = polled.map((entry) => startPoll(context, entry, poll));
  const cancelState = stream.onState((state) => {
    showOk(state === "open" && polled.length === 0);
    answered.clear();
    if (state === "open") makeSafeAfterOpening();
  });
  if (stream.state() === "open") makeSafeAfterOpening();

  return {
    functions: {
      ...Object.fromEntries(entries.map((entry) => [entry[0], readFunction(id, entry, read)])),
      ...Object.fromEntries(writable.map((entry) => [`set_${entry[0]}`, writeFunction(id, stream, entry, bus, wrote)])),
      status: defineFunction({
        summary:
          "the port's state, requests, replies, exceptions, time-outs, wrong replies, stray bytes, values out of range, and what failed last",
        params: z.strictObject({}),
        effect: "read",
        call: () => ({
          port: stream.state(),
          reason: stream.reason(),
          ...bus.counters(),
          outOfRange,
          failed: Object.fromEntries(failed),
        }),
      }),
    },
    ...(writable.length > 0 && { failsafe: writeAll }),
    close() {
      for (const cancel of [...cancelPolls, cancelState]) cancel();
      bus.close();
      return stream.close();
    },
  };
}

/** One poll of a register at a time: a slow line makes them rarer. */
function startPoll(context: DeviceContext, entry: Entry, poll: (entry: Entry) => Promise<void>): () => void {
  let underWay = false;
  return context.every(entry[1].pollMs, () => {
    if (underWay) return;
    underWay = true;
    poll(entry)
      .catch((error: unknown) => context.fault(error))
      .finally(() => {
        underWay = false;
      });
  });
}

function unitText({ unit }: ModbusRegister): string {
  return unit === "" ? "" : ` (${unit})`;
}

function readFunction(id: string, entry: Entry, read: (entry: Entry) => Promise<number | boolean | undefined>): DeviceFunction {
  const [name, register] = entry;
  return defineFunction({
    summary: `asks unit ${register.unitId} for ${name}${unitText(register)} and returns it`,
    params: z.strictObject({}),
    effect: "read",
    async call() {
      let value: number | boolean | undefined;
      try {
        value = await read(entry);
      } catch (thrown) {
        // An instrument that does not answer a question moves nothing.
        const error = toAgentError(thrown);
        throw new AgentError(error.code === "ARGUMENT" ? "ARGUMENT" : "NOT_READY", error.message, { cause: error });
      }
      if (value === undefined) throw new AgentError("NOT_READY", `${id} ${name}: what came cannot be, or is outside of its range`);
      return value;
    },
  });
}

function writeFunction(
  id: string,
  stream: SerialStream,
  entry: Entry,
  bus: ModbusBus,
  wrote: (entry: Entry, value: number | boolean) => void,
): DeviceFunction {
  const [name, register] = entry;
  const { range, type, unit, unitId } = register;
  const value =
    type === "bool"
      ? z.boolean().describe("on or off")
      : z
          .number()
          .min(range?.[0] ?? 0)
          .max(range?.[1] ?? 0)
          .describe(unit === "" ? "value" : unit);
  return defineFunction({
    summary: `writes ${name}${unitText(register)} of unit ${unitId}, whose reply repeats it; returns the value`,
    params: z.strictObject({ value }),
    effect: "actuate",
    call({ value: asked }) {
      requireOpen(id, stream);
      return bus.request(writeRequestOf(`${id} ${name}`, register, asked)).then(() => {
        wrote(entry, asked);
        return asked;
      });
    },
  });
}
