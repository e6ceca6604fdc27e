import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { checkDiscovery } from "./home-assistant.ts";
import { createBroker, type OpenBroker } from "../../agent/mqtt/broker.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { eventually } from "../helpers/eventually.ts";
import { deviceModules } from "../../agent/modules.ts";
import { loadConfig } from "../../agent/config/load.ts";
import { FREE_PORTS } from "../helpers/free-ports.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { createAgent, type Agent } from "../../agent/agent.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";

interface Component {
  readonly p: string;
  readonly [option: string]: unknown;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

/** What Home Assistant does with a node, by hand: hears the announcement, subscribes to what it names, commands where it says, believes what comes back. */
async function homeAssistant(t: Teardown, url: string) {
  const broker: OpenBroker = createBroker(mqttOptionsSchema.parse({ url, retryMinMs: 10 }), {
    node: "homeassistant",
    clock: createSystemClock(),
    log: createFakeLog(),
    readSecrets: () => Promise.resolve({}),
  });
  t.teardown(() => broker.close());
  const retained = new Map<string, string>();
  const heard: { readonly topic: string; readonly payload: string; readonly retained: boolean }[] = [];
  for (const filter of ["homeassistant/#", "virgo/garage/#"]) {
    broker.subscribe(filter, ({ topic, payload, retained: stored }) => {
      const text = Buffer.from(payload).toString();
      retained.set(topic, text);
      heard.push({ topic, payload: text, retained: stored });
    });
  }
  broker.start();
  await eventually(() => broker.connected);
  const config = () => JSON.parse(retained.get("homeassistant/device/virgo_garage/config") ?? "{}") as { cmps?: Record<string, Component> };
  const component = (name: string): Component => {
    const found = config().cmps?.[name];
    if (found === undefined) throw new Error(`no component ${name}`);
    return found;
  };
  return {
    broker,
    retained,
    heard,
    config,
    component,
    state: (name: string) => JSON.parse(retained.get(String(component(name)["state_topic"])) ?? "{}") as Record<string, unknown>,
    /** What Home Assistant makes of the newest state by the component's template: Python has True, False and None. */
    shown: (name: string): string => {
      const { state_topic, value_template } = component(name);
      const [, field = ""] = /^\{\{ value_json\["([\w-]+)"\] \}\}$/.exec(String(value_template)) ?? [];
      const value = (JSON.parse(retained.get(String(state_topic)) ?? "{}") as Record<string, string | number | boolean | null>)[field];
      if (value === null) return "None";
      return typeof value === "boolean" ? (value ? "True" : "False") : String(value);
    },
    events: (name: string): readonly { readonly type: string; readonly stored: boolean }[] =>
      heard
        .filter(({ topic }) => topic === component(name)["state_topic"])
        .map(({ payload, retained: stored }) => ({ type: (JSON.parse(payload) as { event_type: string }).event_type, stored })),
    command: (name: string, payload: string, topic = "command_topic") =>
      broker.publish(String(component(name)[topic]), payload, { qos: 1 }),
    birth: () => broker.publish("homeassistant/status", "online", { qos: 1 }),
  };
}

/** An agent that keeps what it has to remember in `folder`. */
async function agentIn(folder: string, yaml: string): Promise<Agent> {
  const file = join(folder, "virgo.yaml");
  writeFileSync(file, `${FREE_PORTS}${yaml}`);
  const { config, problems } = loadConfig(file, deviceModules);
  if (config === undefined) throw new Error(JSON.stringify(problems));
  return createAgent({
    config,
    stateFolder: join(folder, "state"),
    version: "0.0.0-test",
    clock: createSystemClock(),
    log: createFakeLog(),
  });
}

function agentConfig(url: string, devices: readonly string[]): string {
  return [
    "node: garage",
    "board: sim",
    "isolation: none",
    `mqtt: { url: "${url}", retryMinMs: 10, devices: { homeAssistant: { birthDelayMs: 20 }, stateMs: 20, keepMotion: { gate: 20000, pan: 2000 } } }`,
    "devices:",
    ...devices,
    "",
  ].join("\n");
}

const DEVICES = [
  "  lamp: { driver: dimmer, pwm: { chip: sim, channel: 0 } }",
  "  pan: { driver: servo, pwm: { chip: sim, channel: 1 } }",
  "  pump: { driver: relay, line: GPIO5 }",
  "  gate: { driver: cover, open: GPIO6, close: GPIO7, openMs: 500, closeMs: 500, marginMs: 0, pauseMs: 100, kind: gate }",
  "  bell: { driver: button, line: GPIO4 }",
];

t.test("a scripted Home Assistant drives a light, a number, a switch, a cover and a button of a running agent", async (t) => {
  const server = await startMosquitto();
  t.teardown(() => server.close());
  const ha = await homeAssistant(t, server.url);
  // Somebody once published an order with the retain flag.
  await ha.broker.publish("virgo/garage/pump/set", "ON", { qos: 1, retain: true });
  const agent = await agentIn(t.testdir(), agentConfig(server.url, DEVICES));
  t.teardown(() => agent.stop());
  await eventually(() => ha.config().cmps !== undefined && ha.retained.has("virgo/garage/bell/state"));
  t.strictSame(checkDiscovery(ha.config()), []);
  await eventually(
    () => ha.retained.get("virgo/garage/status") === "online" && ha.retained.get("virgo/garage/lamp/availability") === "online",
  );

  await ha.command("lamp", '{"state":"ON","brightness":40}');
  await eventually(() => ha.state("lamp")["brightness"] === 40);
  t.strictSame(ha.state("lamp"), { state: "ON", brightness: 40 });
  await ha.command("lamp", '{"state":"OFF"}');
  await eventually(() => ha.state("lamp")["state"] === "OFF");

  const { payload_on: on, payload_off: off } = ha.component("pan_attached");
  t.equal(ha.shown("pan"), "None", "nobody knows where it is: None resets a number");
  t.equal(ha.shown("pan_attached"), off);
  await ha.command("pan", "-30");
  await eventually(() => ha.shown("pan") === "-30");
  await eventually(() => ha.shown("pan_attached") === on);
  await ha.command("pan_detach", "PRESS");
  await eventually(() => ha.shown("pan_attached") === off);

  t.equal(ha.state("pump")["state"], "OFF", "what was retained moved nothing");
  await ha.command("pump", "ON");
  await eventually(() => ha.state("pump")["state"] === "ON");

  await ha.command("gate", "CLOSE");
  await eventually(() => ha.state("gate")["state"] === "closing");
  await eventually(() => ha.state("gate")["state"] === "closed");
  await ha.command("gate", "50", "set_position_topic");
  await eventually(() => ha.state("gate")["state"] === "stopped");
  t.ok(Number(ha.state("gate")["position"]) > 0, "by the time of travel");
  await ha.command("gate", "OPEN");
  await eventually(() => ha.state("gate")["state"] === "opening");
  await ha.command("gate", "STOP");
  await eventually(() => ["stopped", "open"].includes(String(ha.state("gate")["state"])));

  const announced = ha.heard.filter(({ topic }) => topic === "homeassistant/device/virgo_garage/config").length;
  await ha.birth();
  await eventually(() => ha.heard.filter(({ topic }) => topic === "homeassistant/device/virgo_garage/config").length > announced);

  t.equal(ha.shown("bell_presses"), "0");
  t.equal(ha.shown("bell_pressed"), ha.component("bell_pressed")["payload_off"]);
  t.strictSame(ha.component("bell")["event_types"], ["press"]);

  t.equal(ha.shown("node_stopped"), "False");
  await ha.command("node_estop", "PRESS");
  await eventually(() => ha.shown("node_stopped") === "True");
  await eventually(() => ha.events("node_event").length > 0);
  const types = ha.component("node_event")["event_types"] as readonly string[];
  for (const { type, stored } of ha.events("node_event")) {
    t.ok(types.includes(type), type);
    t.notOk(stored);
  }
  await eventually(() => (JSON.parse(ha.retained.get("virgo/garage/bridge/health") ?? "{}") as { stopped?: boolean }).stopped === true);
  await eventually(() => ha.state("pump")["state"] === "OFF");
  await ha.command("node_estop_reset", "PRESS");
  await eventually(() => (JSON.parse(ha.retained.get("virgo/garage/bridge/health") ?? "{}") as { stopped?: boolean }).stopped === false);
  t.equal(ha.state("pump")["state"], "OFF", "nothing is switched on again by that");
  t.match(JSON.parse(ha.retained.get("virgo/garage/td") ?? "{}"), { title: "garage", actions: { "lamp.on": {} } });

  await agent.stop();
  await eventually(() => ha.retained.get("virgo/garage/status") === "offline");
});

t.test("what left the configuration is taken back from Home Assistant, and everything when it is switched off", async (t) => {
  const server = await startMosquitto();
  t.teardown(() => server.close());
  const ha = await homeAssistant(t, server.url);
  const folder = t.testdir();
  const configs = () => ha.heard.filter(({ topic }) => topic === "homeassistant/device/virgo_garage/config").map(({ payload }) => payload);
  const run = async (yaml: string, until: () => boolean): Promise<void> => {
    const agent = await agentIn(folder, yaml);
    await eventually(until);
    await agent.stop();
  };
  await run(agentConfig(server.url, DEVICES), () => configs().length === 1);
  t.equal(ha.retained.get("virgo/garage/lamp/availability"), "online");
  await run(agentConfig(server.url, DEVICES.slice(1)), () => configs().length === 3);
  t.equal(ha.retained.get("virgo/garage/lamp/availability"), "", "nobody takes it for a device that is there");
  t.equal(ha.retained.get("virgo/garage/lamp/state"), "");
  t.match(ha.state("pump"), { state: "OFF" }, "the others are what they were");
  const [, stub = "", after = ""] = configs();
  t.strictSame((JSON.parse(stub) as { cmps: Record<string, unknown> }).cmps["lamp"], { p: "light" }, "its platform alone");
  t.notOk("lamp" in (JSON.parse(after) as { cmps: object }).cmps, "then left out");
  t.strictSame(checkDiscovery(JSON.parse(after)), []);
  await run(agentConfig(server.url, DEVICES.slice(1)), () => configs().length === 4);
  t.equal(configs()[3], after, "and that is remembered");
  await run(agentConfig(server.url, DEVICES.slice(1)).replace("birthDelayMs: 20", "enabled: false"), () => configs().length === 5);
  t.equal(configs()[4], "", "nothing retained: the device is forgotten");
});
