import { z } from "zod";

import { AgentError, messageOf, toAgentError } from "../../agent/contract/errors.ts";
import { createLineExchange, type LineExchange } from "./line-exchange.ts";
import {
  defineDriver,
  defineFunction,
  type Device,
  type DeviceContext,
  type DeviceFunction,
  type LeaseRange,
} from "../../agent/contract/device.ts";
import { lineOptionsSchema, type LineCommand, type LineOptions, type LineValue } from "./line-options.ts";
import { linePattern } from "./line-patterns.ts";
import type { Entity } from "../../agent/contract/entity.ts";
import { requireOpen } from "./require-open.ts";
import type { SerialStream } from "../../agent/contract/serial.ts";

/** Instruments that are told things in words are slow. */
const LEASE: LeaseRange = { defaultMs: 2000, floorMs: 30, ceilingMs: 60_000 };

/** The longest text that is published. */
const MAX_TEXT = 200;

/**
 * Any instrument that speaks in lines of text. Patterns take values out of what it sends, which are published; commands are functions, and queries are sent
 * by themselves. It is made safe by lines, which are sent whenever the port opens too, because nobody knows what happened meanwhile.
 */
export const lineDeviceDriver = defineDriver({
  name: "line-device",
  summary: "an instrument that speaks in lines of text, by regular expressions",
  options: lineOptionsSchema,
  moves: true,
  lease: LEASE,
  claims: ({ path }) => [`serial ${path}`],
  entities: ({ values, commands }) =>
    Object.entries(values).map(([name, value]) => settingOf(name, value, commands) ?? sensorOf(name, value)),
  async open(context, options) {
    const stream = await context.board.openSerial(context.id, options.path, options);
    return createLineDevice(context, stream, options);
  },
});

function sensorOf(name: string, { type, unit }: LineValue): Entity {
  const shown = { key: name, state: { value: name }, ...(unit !== "" && { unit }) };
  return { kind: "sensor", ...shown, ...(type === "number" && { stateClass: "measurement", digits: 3 }) };
}

/** Home Assistant's smallest step. */
const MIN_STEP = 0.001;

/** A value with a command whose only parameter is called like it is a number that is set. */
function settingOf(name: string, { type, scale, unit }: LineValue, commands: LineOptions["commands"]): Entity | undefined {
  if (type !== "number" || scale !== 1) return undefined;
  for (const [fn, { effect, params }] of Object.entries(commands)) {
    const param = params[name];
    if (effect !== "actuate" || param === undefined || Object.keys(params).length !== 1) continue;
    if (!("range" in param) || param.range[0] === param.range[1]) continue;
    const step = Math.max(MIN_STEP, 10 ** -param.decimals);
    const shown = { key: name, state: { value: name }, range: param.range, step, ...(unit !== "" && { unit }) };
    return { kind: "number", ...shown, calls: { set: { fn, takesValue: true } } };
  }
  return undefined;
}

/** What a group says; undefined for what is no value as declared. */
function valueIn(text: string, { type, scale, range }: LineValue): number | string | undefined {
  if (type === "text") return text.length <= MAX_TEXT ? text : undefined;
  if (!/^[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})([eE][+-]?\d{1,3})?$/.test(text)) return undefined;
  const value = Number(text) * scale;
  const [lowest, highest] = range ?? [-Number.MAX_VALUE, Number.MAX_VALUE];
  return value >= lowest && value <= highest ? value : undefined;
}

function createLineDevice(context: DeviceContext, stream: SerialStream, options: LineOptions): Device {
  const { id } = context;
  const { safe = [], values } = options;
  const patterns = options.lines.map(linePattern);
  const counts = { matched: 0, ignored: 0, refusedValues: 0 };
  let lastFailure = "";

  /** Publishes what the groups say; answers it. A line with one value that cannot be has none that can be trusted. */
  function take(groups: Readonly<Record<string, string | undefined>>): Record<string, number | string> | undefined {
    const taken: Record<string, number | string> = {};
    for (const [name, text] of Object.entries(groups)) {
      const declared = values[name];
      if (text === undefined || declared === undefined) continue;
      const value = valueIn(text, declared);
      if (value === undefined) {
        counts.refusedValues += 1;
        return undefined;
      }
      taken[name] = value;
    }
    for (const [name, value] of Object.entries(taken)) context.publish(name, value, values[name]?.freshMs);
    return taken;
  }

  function heard(line: string): void {
    for (const pattern of patterns) {
      const found = pattern.exec(line);
      if (found === null) continue;
      counts.matched += 1;
      take(found.groups ?? {});
      return;
    }
    counts.ignored += 1;
  }

  const exchange = createLineExchange(id, context.clock, stream, options, heard);

  async function ask(command: LineCommand, reply: RegExp | undefined, args: Readonly<Record<string, unknown>>) {
    const answer = await exchange.ask(lineOf(command, args), reply);
    if (answer === undefined) return null;
    const taken = take(answer.groups ?? {});
    if (taken === undefined) throw new AgentError("IO", `${id}: the reply ${answer[0]} has a value that cannot be`);
    return taken;
  }

  function makeSafe(): void {
    exchange.urgent(safe);
  }

  const asks = Object.entries(options.commands).map(([name, command]) => {
    const reply = command.reply === undefined ? undefined : linePattern(command.reply);
    return { name, command, run: (args: Readonly<Record<string, unknown>>) => ask(command, reply, args) };
  });

  function poll(run: (args: Readonly<Record<string, unknown>>) => Promise<unknown>, underWay: { yes: boolean }): void {
    if (underWay.yes) return;
    underWay.yes = true;
    run({})
      .catch((thrown: unknown) => {
        lastFailure = messageOf(thrown);
      })
      .finally(() => {
        underWay.yes = false;
      });
  }

  const cancelPolls = asks.flatMap(({ command, run }) => {
    const underWay = { yes: false };
    return command.pollMs === 0 ? [] : [context.every(command.pollMs, () => poll(run, underWay))];
  });
  const cancelState = stream.onState((state) => {
    if (state === "open" && safe.length > 0) makeSafe();
  });
  if (stream.state() === "open" && safe.length > 0) makeSafe();

  return {
    functions: {
      ...Object.fromEntries(asks.map(({ name, command, run }) => [name, commandFunction(id, stream, command, run)])),
      status: statusFunction(stream, exchange, () => ({ ...counts, lastFailure })),
    },
    ...(safe.length > 0 && { failsafe: makeSafe }),
    close() {
      for (const cancel of [...cancelPolls, cancelState]) cancel();
      exchange.close();
      return stream.close();
    },
  };
}

function statusFunction(
  stream: SerialStream,
  exchange: LineExchange,
  more: () => Readonly<Record<string, number | string>>,
): DeviceFunction {
  return defineFunction({
    summary:
      "the port's state, lines, garbage, time-outs, lines that fitted a pattern and that did not, values that cannot be, what failed last",
    params: z.strictObject({}),
    effect: "read",
    call: () => ({ port: stream.state(), reason: stream.reason(), ...exchange.counters(), ...more() }),
  });
}

/** An instrument that does not answer a question moves nothing. */
async function question(answer: Answer): Answer {
  try {
    return await answer;
  } catch (thrown) {
    const error = toAgentError(thrown);
    throw new AgentError("NOT_READY", error.message, { cause: error });
  }
}

/** What is sent for the arguments, which fit their schema. */
function lineOf({ send, params }: LineCommand, args: Readonly<Record<string, unknown>>): string {
  return send.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const param = params[name];
    const value = args[name];
    return param !== undefined && "range" in param ? Number(value).toFixed(param.decimals) : String(value);
  });
}

function paramsOf({ params }: LineCommand): z.ZodObject {
  return z.strictObject(
    Object.fromEntries(
      Object.entries(params).map(([name, param]) => {
        if ("oneOf" in param) return [name, z.enum(param.oneOf)];
        const [lowest, highest] = param.range;
        return [name, z.number().min(lowest).max(highest).describe(param.unit)];
      }),
    ),
  );
}

type Answer = Promise<Readonly<Record<string, number | string>> | null>;

function commandFunction(
  id: string,
  stream: SerialStream,
  command: LineCommand,
  run: (args: Readonly<Record<string, unknown>>) => Answer,
): DeviceFunction {
  const waits = command.reply === undefined ? "returns null" : "waits for its reply and returns the values in it";
  return defineFunction({
    summary: `sends ${command.send}; ${waits}`,
    params: paramsOf(command),
    effect: command.effect,
    call:
      command.effect === "read"
        ? (args) => question(run(args))
        : (args) => {
            requireOpen(id, stream);
            return run(args);
          },
  });
}
