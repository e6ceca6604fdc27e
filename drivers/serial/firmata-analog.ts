import { z } from "zod";

import { AgentError } from "../../agent/contract/errors.ts";
import { MODE, pinModeMessage, reportAnalogMessage, samplingMessage, type PinModes } from "./firmata-messages.ts";
import type { Cancel } from "../../agent/contract/clock.ts";
import type { Entity } from "../../agent/contract/entity.ts";

/** The analog message has four bits for the channel. */
const MAX_CHANNEL = 15;

/** What is sent as often as this may be missed twice. */
const FRESH_SAMPLES = 3;

/** Variables of the device that are no inputs. */
const OWN_NAMES: readonly string[] = ["connected"];

const numberSchema = z.number().min(-1e15).max(1e15);

const inputSchema = z.strictObject({
  channel: z.int().min(0).max(MAX_CHANNEL).describe("0 for A0"),
  scale: numberSchema
    .refine((scale) => scale !== 0, { error: "0 leaves nothing of the value" })
    .default(1)
    .describe("value = number × scale + offset; the number is 0 to 1023 on an Uno, 1024 would be its reference voltage"),
  offset: numberSchema.default(0),
  unit: z.string().max(20).default("").describe("unit of the value, for people"),
});

type AnalogInput = z.output<typeof inputSchema>;

const nameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,31}$/, { error: "up to 32 small letters, digits and _" })
  .refine((name) => !OWN_NAMES.includes(name), { error: "the device publishes something of that name already" });

export const analogShape = {
  analog: z
    .record(nameSchema, inputSchema)
    .default({})
    .refine(
      (inputs) => {
        const channels = Object.values(inputs).map(({ channel }) => channel);
        return new Set(channels).size === channels.length;
      },
      { error: "a channel can have one name only" },
    )
    .describe("analog inputs by name, published under it"),
  samplingMs: z.int().min(10).max(10_000).default(100).describe("how often the analog inputs are read and published, milliseconds"),
} as const;

export interface AnalogOptions {
  readonly analog: Readonly<Record<string, AnalogInput>>;
  readonly samplingMs: number;
}

export function analogEntities({ analog }: AnalogOptions): readonly Entity[] {
  return Object.entries(analog).map(([name, { unit }]) => ({
    kind: "sensor",
    key: name,
    state: { value: name },
    ...(unit !== "" && { unit }),
    stateClass: "measurement",
    digits: 3,
  }));
}

/** The analog inputs of one Arduino. */
export interface FirmataAnalog {
  /** Whether there are any: then `setUp` needs the answer to the analog mapping query. */
  readonly wanted: boolean;
  /** Has the Arduino report them. `mapping` is the channel by pin. Throws UNKNOWN for a channel it does not have, IN_USE when another device has its pin. */
  setUp(pins: readonly PinModes[], mapping: Uint8Array): void;
  /** A number the Arduino told. */
  take(channel: number, raw: number): void;
  /** Whatever arrives from now on is of no use, until `setUp`. */
  lose(): void;
}

export interface FirmataAnalogOptions extends AnalogOptions {
  readonly id: string;
  readonly send: (message: Uint8Array) => void;
  readonly publish: (name: string, value: number, freshMs: number) => void;
  /** Keeps others from using the pin. Throws IN_USE. */
  readonly reserve: (pin: number) => Cancel;
}

interface Channel {
  readonly name: string;
  readonly input: AnalogInput;
  /** The highest number it can tell. */
  readonly highest: number;
}

export function createFirmataAnalog(options: FirmataAnalogOptions): FirmataAnalog {
  const { id, analog, samplingMs, send, publish, reserve } = options;
  const inputs = Object.entries(analog);
  const channels: (Channel | undefined)[] = [];
  let releases: readonly Cancel[] = [];

  function pinOf({ channel }: AnalogInput, mapping: Uint8Array): number {
    const pin = mapping.indexOf(channel);
    if (pin >= 0) return pin;
    const found = [...mapping].filter((one) => one <= MAX_CHANNEL).toSorted((one, other) => one - other);
    throw new AgentError("UNKNOWN", `${id} has no analog channel ${channel}; those are ${found.length === 0 ? "none" : found.join(", ")}`);
  }

  function release(): void {
    for (const give of releases) give();
    releases = [];
  }

  return {
    wanted: inputs.length > 0,
    setUp(pins, mapping) {
      release();
      if (inputs.length === 0) return;
      const found = inputs.map(([name, input]) => ({ name, input, pin: pinOf(input, mapping) }));
      for (const { pin } of found) releases = [...releases, reserve(pin)];
      send(samplingMessage(samplingMs));
      for (const { name, input, pin } of found) {
        const bits = pins[pin]?.get(MODE.analog) ?? 0;
        channels[input.channel] = { name, input, highest: 2 ** bits - 1 };
        send(pinModeMessage(pin, MODE.analog));
        send(reportAnalogMessage(input.channel, true));
      }
    },
    take(channel, raw) {
      const known = channels[channel];
      if (known === undefined || raw > known.highest) return;
      publish(known.name, raw * known.input.scale + known.input.offset, samplingMs * FRESH_SAMPLES);
    },
    lose() {
      channels.length = 0;
    },
  };
}
