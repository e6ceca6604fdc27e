import t from "tap";

import { createDeviceScope } from "../../agent/host/device-context.ts";
import { createScopedBoard } from "../../agent/host/scoped-board.ts";
import { createRegisterChip } from "../../drivers/board/sim/i2c.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import type { CanState } from "../../agent/contract/can.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

const ANY = [{ id: 0, mask: 0, extended: false }];
const FRAME = { id: 0x123, extended: false, data: Uint8Array.of(1) };

function rig() {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  board.world.i2c.attach(1, 0x48, createRegisterChip());
  const faults: unknown[] = [];
  const scoped = createScopedBoard(board, "fan", (error) => faults.push((error as Error).message));
  return { clock, board, world: board.world, scoped, own: scoped.board, faults };
}

t.test("ports of every kind are the device's, work as they are, and are gone when it ends", async (t) => {
  const { world, scoped, own } = rig();
  const output = await own.openOutput("other", { name: "GPIO4" }, true);
  const outputs = await own.openOutputs("other", [{ name: "GPIO5" }, { chip: "sim", offset: 6 }], [true, false]);
  const input = await own.openInput("other", { name: "GPIO7" }, {});
  const pwm = await own.openPwm("other", { chip: "sim", channel: 0 }, 1e6);
  const i2c = await own.openI2c("other", { bus: 1, address: 0x48 });
  const can = await own.openCan("other", "can0");
  t.ok(world.claimed().every((claim) => claim.endsWith(" of fan")));
  output.write(false);
  outputs.write([false, true]);
  world.drive("GPIO7", true);
  await pwm.write(0.25);
  await i2c.writeByte(3, 7);
  can.send(FRAME);
  t.same([output.level(), outputs.levels(), input.read(), await i2c.readByte(3)], [false, [false, true], true, 7]);
  t.equal(world.duty("pwm sim:0"), 0.25);
  t.equal(world.can("can0").sent().entries.length, 1);
  t.equal(can.state(), "active");
  t.same(await scoped.end(), ["line GPIO4", "line GPIO5, line sim:6", "line GPIO7", "pwm sim:0", "i2c 1:0x48", "can can0"]);
  t.same(world.claimed(), []);
});

t.test("what was closed in time is not left open, and ending again ends nothing again", async (t) => {
  const { world, scoped, own } = rig();
  const output = await own.openOutput("fan", { name: "GPIO4" }, true);
  output.close();
  await own.openOutput("fan", { name: "GPIO5" }, true);
  world.failNth("close", 1);
  const left = await scoped.end();
  t.match(left, [/^line GPIO5 \(close .*failed/]);
  t.equal(left.length, 1);
  t.equal(await scoped.end(), left);
  await t.rejects(own.openPwm("fan", { chip: "sim", channel: 0 }, 1e6), {
    code: "NOT_READY",
    message: "fan is closed; it cannot open pwm sim:0",
  });
});

t.test("a port that was on the way when the device ended is closed as soon as it is there", async (t) => {
  const { world, scoped, own } = rig();
  const coming = own.openOutput("fan", { name: "GPIO4" }, true);
  t.same(await scoped.end(), []);
  await t.rejects(coming, { code: "NOT_READY", message: "fan is closed; it cannot open line GPIO4" });
  t.same(world.claimed(), []);
});

t.test("a port that does not open is not the device's", async (t) => {
  const { world, scoped, own } = rig();
  world.failNth("openInput", 1);
  await t.rejects(own.openInput("fan", { name: "GPIO4" }, {}), { code: "IO" });
  t.same(await scoped.end(), []);
});

t.test("what listeners throw is the device's fault, and the next is told all the same", async (t) => {
  const { world, own, faults } = rig();
  const input = await own.openInput("fan", { name: "GPIO7" }, {});
  const can = await own.openCan("fan", "can0");
  const seen: string[] = [];
  input.onEdge((edge) => {
    seen.push(`edge ${edge.rising}`);
    throw new Error("edge");
  });
  can.onFrame(ANY, (frame) => {
    seen.push(`frame ${frame.id}`);
    throw new Error("frame");
  });
  const cancel = can.onState((state: CanState, reason) => {
    seen.push(`${state} ${reason}`);
    throw new Error("state");
  });
  world.drive("GPIO7", true);
  world.drive("GPIO7", false);
  world.can("can0").send(FRAME);
  world.can("can0").setState("bus-off", "too many errors");
  cancel();
  world.can("can0").setState("active");
  t.same(seen, ["edge true", "edge false", "frame 291", "bus-off too many errors"]);
  t.same(faults, ["edge", "edge", "frame", "state"]);
});

t.test("a device's clock, ticks and variables end with it, and what these throw is its fault", async (t) => {
  const { clock, board } = rig();
  const faults: string[] = [];
  const set: [string, VariableValue, string, number | undefined][] = [];
  let full = false;
  const log = createFakeLog();
  const scope = createDeviceScope({
    id: "fan",
    board,
    clock,
    log,
    variables: {
      get: () => undefined,
      set(name, value, source, freshMs) {
        if (full) throw new Error("no slot is free");
        set.push([name, value, source, freshMs]);
      },
    },
    fault: (error) => faults.push((error as Error).message),
  });
  const { context } = scope;
  const ticks: number[] = [];
  t.equal(context.clock.monotonicMs(), clock.monotonicMs());
  t.equal(context.clock.wallMs(), clock.wallMs());
  t.equal(context.variable("x"), undefined);
  context.publish("rpm", 1200, 500);
  context.publish("percent", 80);
  full = true;
  context.publish("percent", 81);
  context.publish("percent", 82);
  t.same(set, [
    ["fan.rpm", 1200, "fan", 500],
    ["fan.percent", 80, "fan", Infinity],
  ]);
  t.same(log.lines, ["warn fan.percent cannot be published: no slot is free"]);
  full = false;
  context.clock.after(5, () => {
    throw new Error("timer");
  });
  context.clock.after(15, () => ticks.push(-1));
  context.clock.after(35, () => ticks.push(-2));
  const cancel = context.every(10, (nowMs) => {
    ticks.push(nowMs);
    throw new Error("tick");
  });
  context.every(10, () => ticks.push(0));
  await clock.advance(20);
  t.same(ticks, [1010, 0, -1, 1020, 0]);
  cancel();
  await clock.advance(10);
  t.same(ticks.slice(5), [0]);
  t.same(faults, ["timer", "tick", "tick"]);
  t.throws(() => context.every(0.5, () => undefined), { code: "ARGUMENT", message: "fan: a tick every 0.5 ms; 1 or more is expected" });
  t.same(await scope.end(), []);
  context.publish("rpm", 1);
  context.every(10, () => ticks.push(9));
  await clock.advance(100);
  t.same(ticks.slice(6), []);
  t.equal(set.length, 2);
  t.equal(clock.pending(), 0);
});
