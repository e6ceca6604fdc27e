import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { callsOf, variablesOf, type Entity } from "../../agent/contract/entity.ts";
import { checkDiscovery } from "../mqtt/home-assistant.ts";
import { createDiscovery, idOf } from "../../agent/mqtt/discovery.ts";
import { createFakeDeviceContext, openDevice, type FakeDeviceContext } from "../helpers/fake-device-context.ts";
import { createTopics } from "../../agent/mqtt/topics.ts";
import { createWordChip } from "../drivers/gpio/word-chip.ts";
import { createRegisterChip } from "../../drivers/board/sim/i2c.ts";
import { deviceModules } from "../../agent/modules.ts";
import { entityMistakes } from "./entities.ts";
import { fieldOf } from "../../agent/mqtt/state.ts";
import { summaryOf } from "../../agent/host/describe.ts";
import { thingDescription, thingsOf } from "../../agent/thing-description.ts";
import type { Device, Driver } from "../../agent/contract/device.ts";
import type { Entry } from "../../agent/host/registry.ts";
import type { Value } from "../../agent/contract/value.ts";

const pwm = (channel: number) => ({ chip: "sim", channel });

interface Sample {
  readonly options: Readonly<Record<string, unknown>>;
  readonly prepare?: (context: FakeDeviceContext) => void;
  /** It opens only once its instrument answers, and has nothing that could be called by an entity. */
  readonly unopened?: true;
}

const SERIAL: Sample = { options: { path: "/dev/ttyUSB0" } };

/** Devices with as many entities as each driver has, by driver. */
const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  light: [
    { options: { line: "GPIO17" } },
    { options: { lines: { low: "GPIO5", high: "GPIO6" } } },
    { options: { pwm: pwm(0), beam: { low: 20, high: 90 }, safe: 10 } },
  ],
  relay: [{ options: { line: "GPIO17" } }, { options: { line: "GPIO17", safe: "on" } }],
  button: [{ options: { line: "GPIO4" } }],
  switch: [{ options: {} }],
  servo: [{ options: { pwm: pwm(0), range: [-60, 80], startDeg: 0 } }],
  "pan-tilt": [
    {
      options: {
        pan: { pwm: pwm(0), startDeg: 0, stops: [-30, 30] },
        tilt: { pwm: pwm(1), startDeg: 0 },
        presets: { door: { panDeg: 1, tiltDeg: 2 } },
      },
    },
  ],
  motor: [{ options: { in1: "GPIO5", in2: "GPIO6", pwm: pwm(0), brakeInputs: "high" } }],
  ultrasonic: [{ options: { trigger: "GPIO5", echo: "GPIO6" } }],
  dimmer: [{ options: { pwm: pwm(0) } }],
  expander: [
    {
      options: { chip: "pca9534", bus: 1, outputs: { pump: { line: 0 }, Fan: { line: 1, safe: "on" } }, inputs: { door: { line: 2 } } },
      prepare: ({ board }) => board.world.i2c.attach(1, 0x20, createRegisterChip()),
    },
  ],
  ina219: [
    {
      options: { bus: 1 },
      prepare: ({ board }) =>
        board.world.i2c.attach(
          1,
          0x40,
          createWordChip((r, word) => (r === 5 ? word & ~1 : word)),
        ),
    },
  ],
  compass: [{ options: { bus: 1 }, prepare: ({ board }) => board.world.i2c.attach(1, 0x0d, createRegisterChip()) }],
  cover: [{ options: { open: "GPIO5", close: "GPIO6", openMs: 1000, closeMs: 1000 } }],
  "nmea-gps": [SERIAL],
  elm327: [SERIAL],
  firmata: [{ ...SERIAL, unopened: true }],
  lidar: [{ options: { ...SERIAL.options, model: "tfmini" } }, { options: { ...SERIAL.options, model: "rplidar-a" } }],
  "modbus-rtu": [
    {
      options: {
        ...SERIAL.options,
        registers: {
          pump: { kind: "coil", type: "bool", address: 1, write: true, safe: false },
          level: { kind: "input", address: 2, unit: "m" },
          setpoint: { kind: "holding", address: 3, write: true, safe: 0, range: [0, 50] },
        },
      },
    },
  ],
  "line-device": [
    { options: { ...SERIAL.options, lines: ["T=(?<temperature>[0-9.]+)"], values: { temperature: { unit: "°C", freshMs: 1000 } } } },
    {
      options: {
        ...SERIAL.options,
        values: { volts: { unit: "V" } },
        commands: {
          reset: { send: "*RST", effect: "actuate" },
          set_volts: { send: "VOLT {volts}", effect: "actuate", params: { volts: { range: [0, 30], decimals: 2 } } },
        },
        safe: ["VOLT 0"],
      },
    },
  ],
  gcbaf: [
    {
      options: {
        accelerator: { pwm: pwm(0) },
        brake: { pwm: pwm(1) },
        clutch: { pwm: pwm(2) },
        gear: { pwm: pwm(3), positions: { N: 1500, D: 1700 } },
        fuel: { line: "GPIO5" },
      },
    },
  ],
  steering: [{ options: { angle: { pwm: pwm(0) } } }],
};

/** Where every driver's own file is, with those beside it. */
const SOURCES = ["gpio", "serial", "vehicle"]
  .flatMap((folder) => readdirSync(`drivers/${folder}`).map((name) => join("drivers", folder, name)))
  .map((file) => readFileSync(file, "utf8"));

/** What the driver says it publishes: what is measured comes only with something to measure. */
function documented({ name }: Driver): string {
  return SOURCES.find((text) => text.includes(`name: "${name}",\n  summary:`)) ?? "";
}

const CLOSED: Device = { functions: {}, close: () => undefined };

interface Opened {
  readonly driver: Driver;
  readonly options: Readonly<Record<string, unknown>>;
  readonly entities: readonly Entity[];
  readonly device: Device;
  readonly published: ReadonlySet<string>;
}

async function open(driver: Driver, { options, prepare, unopened }: Sample): Promise<Opened> {
  const context = createFakeDeviceContext({ id: "thing" });
  prepare?.(context);
  const parsed = driver.options.parse(options);
  const entities = driver.entities?.(parsed) ?? [];
  const device = unopened === true ? CLOSED : await openDevice(driver, context, options);
  await context.clock.advance(300);
  const text = documented(driver);
  const measured = entities.flatMap(variablesOf).filter((name) => text.includes(`\`${name}\``) || isOption(parsed, name));
  t.teardown(() => device.close());
  return { driver, options: parsed, entities, device, published: new Set([...context.latest.keys(), ...measured]) };
}

/** Registers and values are published by the names the configuration gives them. */
function isOption(options: Readonly<Record<string, unknown>>, name: string): boolean {
  return ["registers", "values"].some((option) => name in ((options[option] as object | undefined) ?? {}));
}

for (const driver of deviceModules.flatMap((module) => module.drivers)) {
  t.test(`${driver.name} is to people what it is to clone`, async (t) => {
    const samples = SAMPLES[driver.name] ?? [];
    t.ok(samples.length > 0, "there is a sample of it");
    for (const sample of samples) {
      const opened = await open(driver, sample);
      t.ok(opened.entities.length > 0, "it is something");
      t.strictSame(entityMistakes(opened.entities, opened.device, opened.published), []);
      agrees(t, opened);
    }
  });
}

interface Property {
  readonly readOnly: boolean;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly forms: readonly { readonly "mqv:topic"?: string; readonly "mqv:filter"?: string }[];
}

/** Home Assistant's components, the Thing Description and DESCRIBE name the same topics and the same functions. */
function agrees(test: Pick<typeof t, "ok" | "equal" | "strictSame">, { driver, entities, device }: Opened): void {
  const topics = createTopics("virgo", "garage");
  const known = { id: "thing", summary: driver.summary, entities, moves: driver.moves, leaseMs: 100, onLoss: "safe" } as const;
  const discovery = createDiscovery({ prefix: "homeassistant", node: "garage", version: "1", topics, devices: [known], expireS: 31 });
  test.strictSame(checkDiscovery(JSON.parse(discovery.payload())), []);

  const described = [summaryOf(entryOf(driver, device), VIEW)] as Value;
  const description = thingDescription({
    node: "garage",
    version: "1",
    things: thingsOf(described, [known]),
    mqtt: { url: "mqtt://broker", base: "virgo" },
  });
  const properties = description["properties"] as unknown as Readonly<Record<string, Property>>;
  const actions = description["actions"] as Readonly<Record<string, Value>>;
  test.strictSame(
    Object.keys(actions),
    Object.keys(device.functions).map((name) => `thing.${name}`),
  );
  for (const entity of entities) {
    const component = discovery.components[entity.main === true ? "thing" : idOf("thing", entity.key)];
    test.equal(component?.p, entity.kind);
    for (const { fn } of Object.values(callsOf(entity))) test.ok(`thing.${fn}` in actions, fn);
    if (entity.kind === "button" || entity.kind === "event") continue;
    const { thing: state, [`thing.${fieldOf(entity)}`]: setting } = properties;
    test.ok(fieldOf(entity) in (state?.properties ?? {}), "the field is in what is read");
    test.equal(component?.["state_topic"], state?.forms[0]?.["mqv:filter"]);
    test.equal(setting !== undefined, Object.keys(callsOf(entity)).length > 0, "what can be told is written");
    // A light is set as a whole by Home Assistant, by its fields elsewhere.
    if (setting !== undefined && entity.kind !== "light") test.equal(component?.["command_topic"], setting.forms[0]?.["mqv:topic"]);
  }
}

const VIEW = { clock: createFakeDeviceContext().clock, eStopped: () => false } as unknown as Parameters<typeof summaryOf>[1];

function entryOf(driver: Driver, device: Device): Entry {
  return {
    spec: { id: "thing", driver, options: {}, policy: {} },
    outcome: "opened",
    slot: { id: "thing", device, current: { holder: "", priority: 0, untilMs: -Infinity } },
  } as unknown as Entry;
}
