import fc from "fast-check";
import t from "tap";

import { callDevice, createFakeDeviceContext, openDevice, optionErrors, pinTrace } from "../../helpers/fake-device-context.ts";
import { coverDriver } from "../../../drivers/gpio/cover.ts";
import { expectCode } from "../../contract/board.ts";

const OPTIONS = { open: "GPIO5", close: "GPIO6", openMs: 10_000, closeMs: 8000, marginMs: 1000, pauseMs: 500 };

async function rig(options: Record<string, unknown> = {}) {
  const context = createFakeDeviceContext({ id: "gate" });
  const device = await openDevice(coverDriver, context, { ...OPTIONS, ...options });
  const { world } = context.board;
  return {
    context,
    device,
    world,
    relays: () => [world.level("GPIO5"), world.level("GPIO6")],
    call: (name: string, args: Record<string, unknown> = {}) => callDevice(device, name, args),
    at: (ms: number) => context.clock.advance(ms),
    state: () => [context.latest.get("state"), context.latest.get("position")],
  };
}

t.test("it travels to its ends, longer than it takes, and then knows where it is", async (t) => {
  const { relays, call, at, state, device } = await rig();
  t.strictSame(
    [relays(), state()],
    [
      [false, false],
      ["unknown", undefined],
    ],
  );
  t.equal(await call("close"), 0);
  t.strictSame(
    [relays(), state()],
    [
      [false, true],
      ["closing", undefined],
    ],
  );
  await at(8999);
  t.strictSame(relays(), [false, true], "the margin");
  await at(1);
  t.strictSame(
    [relays(), state()],
    [
      [false, false],
      ["closed", 0],
    ],
  );
  await call("close");
  t.strictSame(relays(), [false, false], "one that is closed is not driven against its end again");
  await call("open");
  t.strictSame(relays(), [false, false], "the pause, however long ago: it ended right now");
  await at(500);
  t.strictSame(relays(), [true, false]);
  await at(5000);
  t.strictSame(state(), ["opening", 50]);
  t.equal(await call("stop"), 50);
  t.strictSame(
    [relays(), state()],
    [
      [false, false],
      ["stopped", 50],
    ],
  );
  t.strictSame(await call("state"), { state: "stopped", percent: 50 });
  await device.close();
});

t.test("a position is driven to by the time of travel, once an end was seen", async (t) => {
  const { relays, call, at, state } = await rig();
  await expectCode(t, "NOT_READY", ["gate"], () => call("position", { percent: 40 }));
  await call("open");
  await at(11_000);
  t.strictSame(state(), ["open", 100]);
  await at(1000);
  t.equal(await call("position", { percent: 40 }), 40);
  await at(4799);
  t.strictSame(relays(), [false, true]);
  await at(1);
  t.strictSame(
    [relays(), state()],
    [
      [false, false],
      ["stopped", 40],
    ],
  );
  await call("position", { percent: 40 });
  t.strictSame(relays(), [false, false], "there already");
});

t.test("the other way comes after a pause, and repeated orders neither extend nor restart anything", async (t) => {
  const { relays, call, at, state } = await rig();
  await call("open");
  for (let i = 0; i < 20; i++) {
    await at(100);
    await call("open");
  }
  await call("close");
  t.strictSame(relays(), [false, false]);
  for (let i = 0; i < 4; i++) {
    await at(100);
    await call("close");
    t.strictSame(relays(), [false, false]);
  }
  await at(100);
  t.strictSame(relays(), [false, true]);
  t.equal(state()[0], "closing");
});

t.test("its safe state is both relays released, also in the pause and with relays that are active low", async (t) => {
  const { device, relays, call, at, context } = await rig({ activeLow: true });
  t.strictSame(relays(), [true, true], "released");
  await call("open");
  t.strictSame(relays(), [false, true]);
  await device.failsafe?.("safe");
  t.strictSame(relays(), [true, true]);
  await call("close");
  await device.failsafe?.("off");
  await at(60_000);
  t.strictSame(relays(), [true, true], "what waited for the pause does not start");
  t.strictSame(context.faults, []);
});

t.test("a relay that cannot be released is the device's fault", async (t) => {
  const { call, at, world, context } = await rig();
  await call("close");
  world.failNth("write", 1);
  await at(9000);
  t.equal(context.faults.length, 1);
});

t.test("whatever is ordered whenever, the two relays are never on together and never change over without the pause", async (t) => {
  const orders = fc.array(
    fc.record({
      name: fc.constantFrom("open", "close", "stop", "position", "safe"),
      percent: fc.integer({ min: 0, max: 100 }),
      thenMs: fc.integer({ min: 0, max: 4000 }),
    }),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(orders, async (list) => {
      const { context, device, relays, call } = await rig({ openMs: 3000, closeMs: 3000, marginMs: 100 });
      let lastOn = -1;
      let offMs = -Infinity;
      const look = (): void => {
        const [open, close] = relays();
        if (open === true && close === true) throw new Error("both on");
        const on = open === true ? 0 : 1;
        const nowMs = context.clock.monotonicMs();
        if (open !== true && close !== true) return;
        if (lastOn >= 0 && lastOn !== on && nowMs - offMs < 490) throw new Error(`changed over within ${nowMs - offMs} ms`);
        lastOn = on;
        offMs = nowMs;
      };
      for (const { name, percent, thenMs } of list) {
        if (name === "safe") await device.failsafe?.("safe");
        else if (name !== "position") await call(name);
        else
          await Promise.resolve()
            .then(() => call("position", { percent }))
            .catch(() => undefined);
        look();
        for (let passed = 0; passed < thenMs; passed += 10) {
          context.clock.advanceNow(10);
          look();
        }
      }
      await device.close();
    }),
    { numRuns: 50 },
  );
  t.pass();
});

t.test("options that cannot be meant are refused, and its pins are never driven before they are asked", async (t) => {
  t.match(optionErrors(coverDriver, { ...OPTIONS, close: "GPIO5" }).join(), /two lines/);
  t.match(optionErrors(coverDriver, { ...OPTIONS, openMs: 1 }).join(), /openMs/);
  const { device, world } = await rig();
  await device.close();
  t.equal(pinTrace(world, "GPIO5"), "output:low release:low");
});
