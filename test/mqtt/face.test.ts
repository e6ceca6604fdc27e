import { join } from "node:path";

import t from "tap";

import { eventually } from "../helpers/eventually.ts";
import { faceRig, type RigDevices } from "./face-rig.ts";

const LAMP: RigDevices = { lamp: { driver: "light", line: "GPIO17" } };

const DIMMED: RigDevices = { lamp: { driver: "light", pwm: { chip: "sim", channel: 0 } } };

function file(test: { testdir(): string }): string {
  return join(test.testdir(), "announced.json");
}

t.test("a state is published with the connection, at every change, no more often than asked, and again when it is old", async (t) => {
  const rig = await faceRig(file(t), DIMMED);
  t.equal(rig.broker.published.length, 0, "nothing without a connection");
  rig.broker.connect();
  await rig.clock.advance(0);
  t.strictSame(rig.state("lamp"), { state: "OFF", brightness: 0 });
  t.equal(rig.broker.last("virgo/garage/lamp/availability"), "online");
  const states = () => rig.broker.published.filter(({ topic }) => topic === "virgo/garage/lamp/state");
  t.strictSame(states()[0]?.options, { retain: true, qos: 1 });
  await rig.clock.advance(500);
  for (let percent = 1; percent <= 50; percent++) await rig.ask("CLONE", "lamp.brightness", String(percent));
  await rig.clock.advance(199);
  t.equal(states().length, 2, "the first one at once");
  await rig.clock.advance(1);
  t.equal(states().length, 3, "and the newest 200 ms later");
  t.strictSame(rig.state("lamp"), { state: "ON", brightness: 50 });
  const before = states().length;
  await rig.clock.advance(30_000);
  t.ok(states().length >= before + 3, "every 10 seconds again, and once when its lease ended");
  t.strictSame(rig.state("lamp"), { state: "OFF", brightness: 0 });
  await rig.close();
});

t.test("what is set is commanded as by anybody else, and stays while the broker is there", async (t) => {
  const rig = await faceRig(file(t), DIMMED);
  rig.broker.connect();
  rig.broker.deliver("virgo/garage/lamp/set", '{"state":"ON","brightness":30}');
  await rig.clock.advance(300);
  t.strictSame(rig.state("lamp"), { state: "ON", brightness: 30 });
  t.equal(await rig.holder("lamp"), "mqtt");
  await rig.clock.advance(60_000);
  t.strictSame(rig.state("lamp"), { state: "ON", brightness: 30 }, "30 leases later");
  rig.broker.lose("cable");
  await rig.clock.advance(1300);
  t.equal(await rig.holder("lamp"), "mqtt", "its lease goes on");
  await rig.clock.advance(700);
  t.equal(await rig.holder("lamp"), undefined);
  t.equal(rig.variables.get("lamp.on")?.value, false, "and ends");
  rig.broker.connect();
  await rig.clock.advance(10_000);
  t.strictSame(rig.state("lamp"), { state: "OFF", brightness: 0 }, "nothing is done again when the broker is back");
  await rig.close();
});

t.test("somebody else's command ends the repeating, and so do e-stop and fault", async (t) => {
  const rig = await faceRig(file(t), LAMP);
  rig.broker.connect();
  const light = async () => {
    rig.broker.deliver("virgo/garage/lamp/set", "ON");
    await rig.clock.advance(5000);
    t.equal(rig.variables.get("lamp.on")?.value, true);
  };
  await light();
  await rig.ask("CLONE", "lamp.off");
  await rig.clock.advance(5000);
  t.equal(rig.variables.get("lamp.on")?.value, false, "not lit again");
  await light();
  await rig.ask("ESTOP");
  await rig.ask("ESTOP", "RESET");
  await rig.clock.advance(5000);
  t.equal(rig.variables.get("lamp.on")?.value, false, "an e-stop that was reset lights nothing");
  await light();
  t.equal(rig.face.figures()["commands_kept"], 1);
  rig.broker.deliver("virgo/garage/lamp/set", "OFF");
  await rig.clock.advance(5000);
  t.equal(rig.face.figures()["commands_kept"], 0, "off is where it rests: nobody has to repeat it");
  t.equal(await rig.holder("lamp"), undefined, "so that rules may light it");
  await rig.close();
});

t.test("what the broker had stored, what comes twice, and what is late moves nothing and is counted", async (t) => {
  const rig = await faceRig(file(t), LAMP);
  rig.broker.connect();
  rig.broker.deliver("virgo/garage/lamp/set", "ON", { retained: true });
  rig.broker.deliver("virgo/garage/clone", "lamp.on", { retained: true });
  rig.broker.deliver("virgo/garage/bridge/request/estop", "", { retained: true });
  await rig.clock.advance(10);
  t.equal(rig.face.figures()["commands_retained"], 3);
  const late = String(rig.clock.wallMs() - 1);
  rig.broker.deliver("virgo/garage/lamp/set", `{"state":"ON","exp":${late}}`, { responseTopic: "me/answers" });
  rig.broker.deliver("virgo/garage/lamp/set", "ON", { properties: { exp: late } });
  rig.broker.deliver("virgo/garage/clone", "lamp.on", { properties: { exp: "soon" } });
  await rig.clock.advance(10);
  t.equal(rig.face.figures()["commands_stale"], 3);
  t.match(JSON.parse(rig.broker.last("me/answers") ?? ""), { status: "error", code: "STALE" });
  t.equal(rig.variables.get("lamp.on")?.value, false);
  rig.broker.deliver("virgo/garage/lamp/set", `{"state":"ON","exp":${rig.clock.wallMs() + 1000},"id":"7"}`);
  await rig.clock.advance(10);
  t.equal(rig.variables.get("lamp.on")?.value, true);
  rig.broker.deliver("virgo/garage/lamp/set", "OFF", { properties: { id: "8" } });
  rig.broker.deliver("virgo/garage/lamp/set", "ON", { properties: { id: "7" }, duplicate: true });
  await rig.clock.advance(10);
  t.equal(rig.variables.get("lamp.on")?.value, false, "the second coming of 7");
  t.equal(rig.face.figures()["commands_twice"], 1);
  await rig.close();
});

t.test("what moves gets one lease, and longer only where the configuration says so", async (t) => {
  const servo = { driver: "servo", pwm: { chip: "sim", channel: 0 } };
  const rig = await faceRig(file(t), { pan: servo, tilt: { ...servo, pwm: { chip: "sim", channel: 1 } } }, { keepMotion: { tilt: 5000 } });
  rig.broker.connect();
  rig.broker.deliver("virgo/garage/pan/set/angle", "30");
  rig.broker.deliver("virgo/garage/tilt/set", '{"angle":-20}');
  await rig.clock.advance(190);
  t.strictSame([rig.variables.get("pan.attached")?.value, rig.variables.get("tilt.attached")?.value], [true, true]);
  await rig.clock.advance(20);
  t.strictSame([rig.variables.get("pan.attached")?.value, rig.variables.get("tilt.attached")?.value], [false, true]);
  await rig.clock.advance(4700);
  t.equal(rig.variables.get("tilt.attached")?.value, true);
  t.match(rig.state("tilt"), { angle: -20 });
  await rig.clock.advance(500);
  t.equal(rig.variables.get("tilt.attached")?.value, false);
  await rig.close();
});

t.test("a command that makes no sense is refused whole, said why, and the state is shown again", async (t) => {
  const rig = await faceRig(file(t), { ...DIMMED, knob: { driver: "button", line: "GPIO4" } });
  rig.broker.connect();
  await rig.clock.advance(0);
  const refused = async (topic: string, payload: string): Promise<string> => {
    rig.broker.deliver(`virgo/garage/${topic}`, payload, { responseTopic: "me/answers", correlation: Buffer.from("c1") });
    await rig.clock.advance(1);
    const answer = JSON.parse(rig.broker.last("me/answers") ?? "") as { code: string; error: string };
    t.strictSame(rig.broker.published.findLast(({ topic: at }) => at === "me/answers")?.options.correlation, Buffer.from("c1"));
    return `${answer.code} ${answer.error}`;
  };
  t.equal(
    await refused("lamp/set", '{"state":"ON","brightnes":3}'),
    "ARGUMENT lamp has no brightnes that can be set (did you mean brightness?); it takes state, brightness",
  );
  t.equal(await refused("lamp/set", '{"state":"MAYBE"}'), 'ARGUMENT state of lamp is "MAYBE"; ON or OFF is expected');
  t.equal(await refused("lamp/set", '{"state":'), 'SYNTAX that is no JSON: {"state":');
  t.equal(await refused("lamp/set", "{}"), "ARGUMENT nothing is asked of lamp; it takes state, brightness");
  t.equal(await refused("knob/set", "ON"), "ARGUMENT knob cannot be set");
  t.equal(await refused("knob/set", '{"pressed":true}'), "ARGUMENT knob cannot be set");
  t.equal(await refused("lump/set", "ON"), "UNKNOWN no device lump can be set over MQTT; there are lamp, knob");
  t.equal(await refused("lamp/set/brightness", "bright"), 'ARGUMENT brightness of lamp is "bright"; a number is expected');
  const shown = rig.broker.published.filter(({ topic }) => topic === "virgo/garage/lamp/state").length;
  rig.broker.deliver("virgo/garage/lamp/get", "");
  t.equal(rig.broker.published.filter(({ topic }) => topic === "virgo/garage/lamp/state").length, shown + 1);
  t.equal(rig.variables.get("lamp.on")?.value, false);
  await rig.close();
});

t.test("devices that are called like another one's entity, or the node's, are announced beside them", async (t) => {
  const rig = await faceRig(file(t), {
    bell: { driver: "button", line: "GPIO4" },
    bell_pressed: { driver: "switch" },
    node_estop: { driver: "switch" },
  });
  rig.broker.connect();
  await eventually(() => rig.broker.last("homeassistant/device/virgo_garage/config") !== undefined);
  const { cmps } = JSON.parse(rig.broker.last("homeassistant/device/virgo_garage/config") ?? "{}") as {
    cmps: Record<string, { p: string; state_topic?: string; unique_id: string }>;
  };
  const shown = Object.values(cmps).filter(({ p }) => p === "switch" || p === "binary_sensor");
  t.strictSame(
    shown.map(({ state_topic }) => state_topic).sort(),
    ["bell", "bell_pressed", "bridge", "node_estop"].map((id) => `virgo/garage/${id}/${id === "bridge" ? "health" : "state"}`),
  );
  t.match(cmps["node_estop"], { p: "button" });
  t.equal(new Set(Object.values(cmps).map(({ unique_id }) => unique_id)).size, Object.keys(cmps).length);
  await rig.close();
});

t.test("how a lamp is to change is no reason not to change it", async (t) => {
  const rig = await faceRig(file(t), DIMMED);
  rig.broker.connect();
  const becomes = async (payload: string): Promise<unknown> => {
    rig.broker.deliver("virgo/garage/lamp/set", payload);
    await rig.clock.advance(300);
    return rig.state("lamp");
  };
  t.strictSame(await becomes('{"state":"ON","brightness":30,"transition":2.0}'), { state: "ON", brightness: 30 });
  t.strictSame(await becomes('{"state":"OFF","transition":2.0}'), { state: "OFF", brightness: 0 });
  t.match(await becomes('{"state":"ON","flash":10}'), { state: "ON" });
  t.match(await becomes('"OFF"'), { state: "OFF" }, "and neither are JSON's quotes");
  t.equal(rig.face.figures()["commands_refused"], 0);
  rig.broker.deliver("virgo/garage/lamp/set", '{"transition":2}');
  t.equal(rig.face.figures()["commands_refused"], 1, "nothing is asked by that alone");
  await rig.close();
});

t.test("taking a retained order back is no order", async (t) => {
  const rig = await faceRig(file(t), { pan: { driver: "servo", pwm: { chip: "sim", channel: 0 } } }, { keepMotion: { pan: 60_000 } });
  rig.broker.connect();
  rig.broker.deliver("virgo/garage/pan/set/angle", "30");
  await rig.clock.advance(100);
  rig.broker.deliver("virgo/garage/pan/set/detach", "");
  rig.broker.deliver("virgo/garage/pan/set", "");
  await rig.clock.advance(100);
  t.match(rig.state("pan"), { angle: 30, attached: true });
  t.equal(rig.face.figures()["commands_refused"], 2);
  rig.broker.deliver("virgo/garage/bridge/request/estop", "");
  rig.broker.deliver("virgo/garage/bridge/request/estop_reset", "");
  await rig.clock.advance(100);
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/health") ?? ""), { stopped: true }, "to stop is always right, to go on is not");
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/response/estop_reset") ?? ""), { status: "error", code: "ARGUMENT" });
  await rig.close();
});

t.test("permits and priority are the options'", async (t) => {
  const rig = await faceRig(file(t), { ...LAMP, pump: { driver: "relay", line: "GPIO5" } }, { allow: ["lamp.*"], priority: 20 });
  rig.broker.connect();
  rig.broker.deliver("virgo/garage/pump/set", "ON", { responseTopic: "me/answers" });
  await rig.clock.advance(1);
  t.match(JSON.parse(rig.broker.last("me/answers") ?? ""), { status: "error", code: "DENIED" });
  await rig.ask("CLONE", "lamp.on");
  rig.broker.deliver("virgo/garage/lamp/set", "OFF", { responseTopic: "me/answers", properties: { user: "ada" } });
  await rig.clock.advance(1);
  t.match(JSON.parse(rig.broker.last("me/answers") ?? ""), { status: "error", code: "IN_USE" }, "an operator has 100");
  await rig.clock.advance(3000);
  rig.broker.deliver("virgo/garage/lamp/set", "ON", { properties: { user: "ada" } });
  await rig.clock.advance(1);
  t.equal(await rig.holder("lamp"), "mqtt ada");
  await rig.close();
});

t.test("clone by line and by JSON, answered where the question says", async (t) => {
  const rig = await faceRig(file(t), DIMMED);
  rig.broker.connect();
  const ask = async (payload: string, more: object = { responseTopic: "me/answers" }): Promise<unknown> => {
    rig.broker.deliver("virgo/garage/clone", payload, more);
    await rig.clock.advance(1);
    return JSON.parse(rig.broker.last("me/answers") ?? "null");
  };
  t.strictSame(await ask("LEASE 500 lamp.brightness 40"), { status: "ok", data: 40 });
  t.strictSame(await ask("CLONE lamp.state"), { status: "ok", data: { on: true, percent: 40 } });
  t.strictSame(await ask('{"call":"lamp.brightness","args":[55],"leaseMs":700,"priority":100,"id":"a1","reply":"me/answers"}', {}), {
    status: "ok",
    data: 55,
    id: "a1",
  });
  t.match(await ask('{"call":"lamp.brightness","args":[55],"leaseMs":1}'), { status: "error", code: "LIMIT" });
  t.match(await ask('{"call":"lamp.on","priority":200}'), { status: "error", code: "DENIED" });
  t.match(await ask('{"call":"lamp.on","lease":200}'), { status: "error", code: "ARGUMENT" });
  t.match(await ask("lamp.blink"), { status: "error", code: "UNKNOWN" });
  t.match(await ask('lamp.brightness "4'), { status: "error", code: "SYNTAX" });
  t.equal(rig.face.figures()["commands_kept"], 0, "nothing of it is repeated");
  const lost = rig.face.figures()["answers_lost"] as number;
  for (const topic of ["virgo/other/lamp/set", "homeassistant/device/x/config", "$SYS/x", "a/#"])
    await ask("lamp.state", { responseTopic: topic });
  t.equal(rig.face.figures()["answers_lost"], lost + 4, "no order and no announcement is sent in somebody else's name");
  await rig.close();
});

t.test("requests to the node: emergency stop, also when it is late, reset, health", async (t) => {
  const rig = await faceRig(file(t), LAMP);
  rig.broker.connect();
  await rig.ask("CLONE", "lamp.on");
  const request = async (what: string, payload: string, more: object = {}): Promise<unknown> => {
    rig.broker.deliver(`virgo/garage/bridge/request/${what}`, payload, more);
    await rig.clock.advance(1);
    return JSON.parse(rig.broker.last(`virgo/garage/bridge/response/${what}`) ?? "null");
  };
  t.strictSame(await request("estop", "PRESS", { properties: { exp: "1" } }), { status: "ok", data: "OK" });
  t.equal(rig.variables.get("lamp.on")?.value, false);
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/health") ?? ""), { stopped: true, stopped_by: "mqtt" });
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/event") ?? ""), { event_type: "estop", device: "lamp", caller: "mqtt" });
  t.notOk(rig.broker.published.find(({ topic }) => topic === "virgo/garage/bridge/event")?.options.retain, "an event is never retained");
  t.match(await request("estop_reset", '{"transaction":4}'), { status: "ok", transaction: 4 });
  t.match(await request("health", ""), { status: "ok", data: { stopped: false, devices: 1, faulted: 0 } });
  t.match(await request("describe", '{"device":"lamp"}'), { status: "ok", data: { id: "lamp", driver: "light" } });
  t.match(await request("reset", "lamp"), { status: "ok" });
  t.match(await request("fly", ""), { status: "error", code: "UNKNOWN" });
  await rig.close();
});

t.test("a device that faults is not available until it is reset, and neither is one that is not there", async (t) => {
  const rig = await faceRig(file(t), LAMP);
  rig.broker.connect();
  const availability = () => rig.broker.last("virgo/garage/lamp/availability");
  t.equal(availability(), "online");
  rig.board.world.failNth("write", 1);
  await rig.ask("CLONE", "lamp.on");
  await rig.clock.advance(1);
  t.equal(availability(), "offline");
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/health") ?? ""), { faulted: 1, devices: 1 });
  t.match(JSON.parse(rig.broker.last("virgo/garage/bridge/event") ?? ""), { event_type: "fault", device: "lamp" });
  await rig.ask("RESET", "lamp");
  t.equal(availability(), "online");
  await rig.close();
});

t.test("a press is an event: never retained, and not said again", async (t) => {
  const rig = await faceRig(file(t), { bell: { driver: "button", line: "GPIO4", debounceMs: 0 } });
  rig.broker.connect();
  await rig.clock.advance(10);
  const events = () => rig.broker.published.filter(({ topic }) => topic === "virgo/garage/bell/event/press");
  t.equal(events().length, 0);
  rig.board.world.drive("GPIO4", false);
  await rig.clock.advance(10);
  t.strictSame(
    events().map(({ payload, options }) => [payload, options.retain ?? false]),
    [['{"event_type":"press","count":1}', false]],
  );
  await rig.clock.advance(200);
  t.match(rig.state("bell"), { pressed: true, presses: 1 });
  rig.broker.lose("cable");
  rig.board.world.drive("GPIO4", true);
  rig.board.world.drive("GPIO4", false);
  await rig.clock.advance(10);
  rig.broker.connect();
  await rig.clock.advance(10_000);
  t.equal(events().length, 1, "one that nobody heard is over");
  await rig.close();
});
