// Devices of modules that are put in and taken out while the agent runs.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createBroker } from "../../agent/mqtt/broker.ts";
import { createFaceDevices } from "../../agent/mqtt/face-devices.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { createModuleEntities } from "../../agent/host/module-entities.ts";
import { entityDevice } from "../../agent/contract/entity-device.ts";
import { faceRig, specsOf } from "./face-rig.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";
import type { DeviceSpec } from "../../agent/contract/device.ts";
import type { EntityDevice } from "../../agent/contract/entity-device.ts";

const LAMP = { lamp: { driver: "relay", line: "GPIO17" } };

/** A module with a lamp that is on when told, and `more` sensors. */
function lanternModule(unit: string): string {
  return `export default ({ z, STILL_LEASE }) => ({
  name: "lanterns", contract: 1, version: "1.0.0",
  drivers: [{
    name: "lantern", summary: "a lantern with oil", options: z.strictObject({}), moves: false, lease: STILL_LEASE, claims: () => [],
    entities: () => [
      { kind: "light", key: "light", main: true, state: { on: "on" }, calls: { on: { fn: "on" }, off: { fn: "off", rests: ["safe", "off"] } } },
      { kind: "sensor", key: "oil", state: { value: "oil" }, unit: "${unit}", stateClass: "measurement" },
    ],
    async open(context) {
      const set = (on) => { context.publish("on", on); return on ? 1 : 0; };
      set(false);
      context.publish("oil", 70);
      const fn = (summary, on) => ({ summary, params: z.strictObject({}), effect: "actuate", call: () => set(on) });
      return { functions: { on: fn("lights it", true), off: fn("puts it out", false) }, failsafe: () => void set(false), close() {} };
    },
  }],
});
`;
}

t.test("devices of a module are in Home Assistant and in the description with INSMOD, and taken back with RMMOD", async (t) => {
  const server = await startMosquitto();
  t.teardown(() => server.close());
  const watcher = createBroker(mqttOptionsSchema.parse({ url: server.url }), {
    ...{ node: "watcher", clock: createSystemClock(), log: createFakeLog(), readSecrets: () => Promise.resolve({}) },
  });
  t.teardown(() => watcher.close());
  /** What a client that is there all the time knows. */
  const known = new Map<string, string>();
  for (const filter of ["virgo/n1/#", "homeassistant/#"]) {
    watcher.subscribe(filter, ({ topic, payload }) => known.set(topic, Buffer.from(payload).toString()), 1);
  }
  watcher.start();
  const json = (topic: string): Record<string, Record<string, { readonly unit_of_measurement?: string } | undefined>> =>
    JSON.parse(known.get(topic) || "{}") as never;
  const components = () => json("homeassistant/device/virgo_n1/config")["cmps"];
  const properties = () => Object.keys(json("virgo/n1/td")["properties"] ?? {});

  const folder = t.testdir({ "lanterns.mjs": lanternModule("%") });
  const file = join(folder, "lanterns.mjs");
  const { ask } = await startAgent(
    t,
    `node: n1
isolation: none
modules: [${file}]
mqtt: { url: "${server.url}", retryMinMs: 10, devices: { refreshS: 1 } }
devices: { pump: { driver: relay, line: GPIO4 }, porch: { driver: lantern } }
`,
  );
  await eventually(() => components()?.["porch"] !== undefined);
  await eventually(() => properties().includes("porch"));
  t.same(components()?.["porch_oil"]?.unit_of_measurement, "%");
  await eventually(() => known.get("virgo/n1/porch/state") === '{"state":"OFF","oil":70}');
  t.equal(known.get("virgo/n1/porch/availability"), "online");
  await watcher.publish("virgo/n1/porch/set", "ON", { qos: 1 });
  await eventually(() => known.get("virgo/n1/porch/state")?.includes('"ON"') === true);
  t.match(await ask("INFO mqtt"), /\r\ndevices_shown:2\r\ncommands_taken:1\r\ncommands_refused:0\r\n/);

  t.match(await ask("RMMOD lanterns"), /^\+OK/);
  await eventually(() => components()?.["porch"] === undefined);
  await eventually(() => known.get("virgo/n1/porch/state") === "" && known.get("virgo/n1/porch/availability") === "");
  await eventually(() => !properties().some((name) => name.startsWith("porch")));
  t.ok(components()?.["pump_on"] ?? components()?.["pump"], "the others stay");
  await watcher.publish("virgo/n1/porch/set", "ON", { qos: 1, responseTopic: "answers" });
  await eventually(async () => (await ask("INFO mqtt")).includes("commands_refused:1\r\n"));
  t.match(await ask("INFO mqtt"), /commands_kept:0\r\n/, "what was kept on is let go");

  writeFileSync(file, lanternModule("l"));
  t.match(await ask(`INSMOD ${file}`), /lanterns/);
  await eventually(() => components()?.["porch_oil"]?.unit_of_measurement === "l");
  await eventually(() => known.get("virgo/n1/porch/availability") === "online" && properties().includes("porch"));
  t.pass("it is back, as it is now");
});

t.test("a module's device that is not reported at all stays until it is known to be gone", (t) => {
  const [lamp, porch] = [device("lamp"), device("porch")];
  const devices = createFaceDevices([lamp, device("bridge")]);
  t.strictSame(
    devices.all().map(({ id }) => id),
    ["lamp"],
    "the node's own topics are no device's",
  );
  t.strictSame(devices.look([{ id: "lamp" }, { id: "porch", described: porch }]), { changed: true, gone: [] });
  t.strictSame(devices.look([{ id: "lamp" }, { id: "porch", described: { ...porch } }]), { changed: false, gone: [] });
  t.strictSame(devices.look([]), { changed: false, gone: [] }, "the device host is gone, and may come back");
  t.equal(devices.get("porch"), porch);
  t.strictSame(devices.look([{ id: "lamp" }, { id: "porch", described: { ...porch, summary: "new" } }]), { changed: true, gone: [] });
  t.equal(devices.get("porch")?.summary, "new");
  t.strictSame(devices.look([{ id: "porch" }, { id: "bridge", described: device("bridge") }]), { changed: true, gone: ["porch"] });
  t.equal(devices.get("porch"), undefined);
  t.strictSame(devices.look([{ id: "porch" }]), { changed: false, gone: [] });
  t.ok(devices.get("lamp"), "the configuration's are always there");
  t.end();
});

t.test("states of a device that came later are published when its variables change, and not any more when it is gone", async (t) => {
  const porch: EntityDevice = { ...device("porch"), entities: [{ kind: "sensor", key: "oil", state: { value: "oil" } }] };
  let described: EntityDevice | undefined;
  const report = () => ({ devices: [{ id: "porch", outcome: "opened", faulted: false, described }] });
  const rig = await faceRig(join(t.testdir(), "announced.json"), LAMP, {}, { report });
  rig.broker.connect();
  rig.variables.set("porch.oil", 5, "test");
  await rig.clock.advance(1000);
  t.equal(rig.state("porch"), null, "nobody has said that it is a device");
  described = porch;
  await rig.clock.advance(1000);
  t.strictSame(rig.state("porch"), { oil: 5 });
  rig.variables.set("porch.oil", 6, "test");
  await rig.clock.advance(200);
  t.strictSame(rig.state("porch"), { oil: 6 });
  described = undefined;
  await rig.clock.advance(1000);
  await rig.close();
  t.equal(rig.broker.last("virgo/garage/porch/state"), "");
  const published = rig.broker.published.length;
  rig.variables.set("porch.oil", 7, "test");
  await rig.clock.advance(5000);
  t.equal(rig.broker.published.length, published);
});

t.test("what a module says of its devices is checked: what is no entity is left out, and said once", (t) => {
  const log = createFakeLog();
  const entities = createModuleEntities(log);
  const good = { kind: "button", key: "ring", calls: { press: { fn: "ring", once: true } } };
  const light = { kind: "light", main: true, state: { on: "on" }, calls: { on: { fn: "on" }, off: { fn: "off" } } };
  const specOf = (said: () => unknown): DeviceSpec => {
    const [spec] = specsOf(LAMP);
    return { ...(spec as DeviceSpec), driver: { ...(spec as DeviceSpec).driver, entities: said as never } };
  };
  const spec = specOf(() => [good]);
  t.match(entities.describe(spec), { id: "lamp", moves: false, entities: [good] });
  t.equal(entities.describe(spec), entities.describe(spec), "asked once");
  t.strictSame(log.lines, []);
  const bad: readonly (readonly [unknown, RegExp])[] = [
    ["none", /a list of entities is expected/],
    [[{ ...good, key: "a/b" }], /0\.key: up to 64 letters/],
    [[{ ...good, kind: "siren" }], /0\.kind/],
    [[good, good], /each key may be there once/],
    [
      [
        { ...light, key: "a" },
        { ...light, key: "b" },
      ],
      /one entity at the most/,
    ],
    [[{ ...good, calls: { press: { fn: "lamp.ring" } } }], /0\.calls\.press\.fn: the name of a function/],
    [[{ kind: "number", key: "n", state: { value: "v" }, range: [0, Infinity], calls: { set: { fn: "set" } } }], /0\.range\.1/],
  ];
  let said = 0;
  for (const [answer, why] of bad) {
    const described = specOf(() => answer);
    t.strictSame(entities.describe(described).entities, []);
    entities.describe(described);
    said += 1;
    t.equal(log.lines.length, said, "said once");
    t.match(log.lines.at(-1), why);
  }
  const throwing = specOf(() => {
    throw new Error("not today");
  });
  t.strictSame(entities.describe(throwing).entities, []);
  t.match(log.lines.at(-1), /not today/);
  t.end();
});

function device(id: string): EntityDevice {
  const [spec] = specsOf({ [id]: { driver: "relay", line: "GPIO17" } });
  return entityDevice(spec as DeviceSpec);
}
