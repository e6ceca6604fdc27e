import fc from "fast-check";
import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { attachEcho, echoPulseMs, type SimEcho } from "../../../drivers/board/sim/physics/echo.ts";
import {
  callDevice,
  createFakeDeviceContext,
  openDevice,
  optionErrors,
  pinTrace,
  type FakeDeviceContext,
} from "../../helpers/fake-device-context.ts";
import { createEchoWindow, echoDistanceM, soundMps } from "../../../drivers/gpio/echo-timing.ts";
import { ultrasonicDriver } from "../../../drivers/gpio/ultrasonic.ts";
import type { Device } from "../../../agent/contract/device.ts";
import type { DigitalInput, Edge } from "../../../agent/contract/board.ts";

const LINES = { trigger: "GPIO23", echo: "GPIO24" };

interface Bench {
  readonly context: FakeDeviceContext;
  readonly sensor: Device;
  readonly echo: SimEcho;
  /** How often something was published under this name. */
  readonly count: (name: string) => number;
  readonly end: () => Promise<void>;
}

async function openSensor(options: Record<string, unknown> = {}): Promise<Bench> {
  const context = createFakeDeviceContext({ id: "front" });
  const echo = attachEcho(context.board.world, context.clock, LINES);
  const sensor = await openDevice(ultrasonicDriver, context, { ...LINES, ...options });
  return {
    context,
    sensor,
    echo,
    count: (name) => context.published.filter((text) => text.startsWith(`front.${name}=`)).length,
    async end() {
      await sensor.close();
      echo.stop();
    },
  };
}

const near = (value: unknown, expected: number): boolean => typeof value === "number" && Math.abs(value - expected) < 1e-4;

t.test("sound goes 343 metres a second at 20 degrees, and a distance is half its way", (t) => {
  t.ok(near(soundMps(0), 331.3));
  t.ok(near(soundMps(20), 343.42));
  t.ok(near(echoDistanceM(5_823_773, 20), 1));
  t.ok(near(echoDistanceM(echoPulseMs(2.5, -10) * 1e6, -10), 2.5));
  t.end();
});

t.test("a distance is measured once a period, by trigger pulses and nothing else", async (t) => {
  const { context, sensor, echo, count, end } = await openSensor({ samples: 1 });
  t.same(callDevice(sensor, "state"), { distanceM: null, status: "starting", temperatureC: 20 });
  echo.place(1);
  await context.clock.advance(90);
  t.ok(near(context.latest.get("distance"), 1), String(context.latest.get("distance")));
  t.equal(context.latest.get("ok"), true);
  echo.place(0.25);
  await context.clock.advance(60);
  t.ok(near(context.latest.get("distance"), 0.25));
  t.equal(count("distance"), 2);
  t.match(callDevice(sensor, "state"), { status: "ok" });
  await context.clock.advance(600);
  t.equal(count("distance"), 12);
  t.equal(echo.triggered(), 12);
  const times = context.board.world.history("GPIO23").entries.filter(({ level }) => level);
  t.ok(times.every(({ atMs }, i) => i === 0 || atMs - (times[i - 1]?.atMs ?? 0) === 60));
  await end();
  t.match(pinTrace(context.board.world, "GPIO23"), /^output:low( high low){12} release:low$/);
  t.equal(context.clock.pending(), 0);
  t.same(context.board.world.claimed(), []);
  t.same(context.faults, []);
});

t.test("the trigger lasts a hundred times the 10 µs that the data sheet asks for", async (t) => {
  const { context, end } = await openSensor();
  await context.clock.advance(70);
  const [, rise, fall] = context.board.world.history("GPIO23").entries;
  t.equal((fall?.atMs ?? 0) - (rise?.atMs ?? 0), 1);
  await end();
});

t.test("the median of several measurements drops the odd one; more than half have to be good", async (t) => {
  const { context, echo, count, end } = await openSensor({ samples: 3 });
  echo.place(1);
  await context.clock.advance(90);
  t.equal(count("distance"), 0, "one of three");
  await context.clock.advance(60);
  t.equal(count("distance"), 1);
  echo.place(3);
  await context.clock.advance(60);
  t.ok(near(context.latest.get("distance"), 1), "the odd one");
  echo.place(undefined);
  await context.clock.advance(70);
  t.equal(context.latest.get("status"), "ok");
  t.ok(near(context.latest.get("distance"), 1), "of two in the middle the nearer one");
  await context.clock.advance(60);
  t.equal(context.latest.get("ok"), false);
  t.equal(context.latest.get("status"), "too far");
  t.equal(count("distance"), 3, "what is not known is not published");
  await end();
});

t.test("nothing in front and something too near are no faults and no distances", async (t) => {
  const { context, sensor, echo, count, end } = await openSensor({ samples: 1, faultAfter: 2, minM: 0.1, maxM: 3 });
  for (const [distanceM, status] of [
    [undefined, "too far"],
    [3.01, "too far"],
    [0.09, "too near"],
  ] as const) {
    echo.place(distanceM);
    await context.clock.advance(600);
    t.equal(context.latest.get("status"), status);
    t.equal(context.latest.get("ok"), false);
    t.match(callDevice(sensor, "state"), { distanceM: null, status });
  }
  t.equal(count("distance"), 0);
  t.same(context.faults, []);
  await end();
});

t.test("an echo that never comes is a missing value, then a fault by name, again and again, and it may come back", async (t) => {
  const { context, echo, count, end } = await openSensor({ samples: 1, faultAfter: 3 });
  echo.behave("silent");
  await context.clock.advance(60 * 3);
  t.same(context.faults, []);
  t.equal(context.latest.get("status"), "no echo");
  await context.clock.advance(60);
  t.match(context.faults, [{ code: "IO", message: /^front: line GPIO24 answered none of 3 triggers on line GPIO23; is the sensor wired/ }]);
  await context.clock.advance(60 * 3);
  t.equal(context.faults.length, 2);
  echo.behave("well");
  echo.place(2);
  await context.clock.advance(120);
  t.ok(near(context.latest.get("distance"), 2));
  t.equal(context.faults.length, 2);
  t.ok(count("distance") > 0);
  await end();
});

t.test("an echo that stays high is not triggered into, and is a fault by name", async (t) => {
  const { context, echo, end } = await openSensor({ samples: 1, faultAfter: 3 });
  echo.behave("stuck");
  await context.clock.advance(60 * 3);
  t.equal(context.latest.get("status"), "stuck");
  t.match(context.faults, [{ code: "IO", message: /^front: line GPIO24 stays high, 3 measurements long/ }]);
  t.equal(pinTrace(context.board.world, "GPIO23"), "output:low");
  await end();
  t.equal(context.clock.pending(), 0);
});

t.test("an echo that begins and does not end is stuck", async (t) => {
  const { context, echo, end } = await openSensor({ samples: 1, faultAfter: 1 });
  await context.clock.advance(60);
  echo.stop();
  context.board.world.drive("GPIO24", true);
  await context.clock.advance(60);
  t.equal(context.latest.get("status"), "stuck");
  t.match(context.faults[0], { code: "IO", message: /stays high/ });
  await end();
});

t.test("edges that nobody asked for are no measurement", async (t) => {
  const { context, echo, count, end } = await openSensor({ samples: 1 });
  echo.behave("silent");
  const { world } = context.board;
  await context.clock.advance(30);
  world.drive("GPIO24", true);
  await context.clock.advance(5);
  world.drive("GPIO24", false);
  await context.clock.advance(25);
  world.drive("GPIO24", false);
  await context.clock.advance(100);
  t.equal(count("distance"), 0);
  await end();
});

/** A board whose edges are the test's. */
function edgesByHand(context: FakeDeviceContext) {
  const heard: { edge?: (edge: Edge) => void; failed?: ((error: AgentError) => void) | undefined } = {};
  const input: DigitalInput = {
    read: () => false,
    onEdge(listener, failed) {
      heard.edge = listener;
      heard.failed = failed;
      return () => undefined;
    },
    close: () => undefined,
  };
  const atNs = (ms: number): bigint => BigInt(Math.round(ms * 1e6));
  return {
    heard,
    board: { ...context.board, openInput: async () => input },
    pulse: (riseMs: number, fallMs: number, kernelStamp = true): void => {
      heard.edge?.({ rising: true, timestampNs: atNs(riseMs), kernelStamp });
      heard.edge?.({ rising: false, timestampNs: atNs(fallMs), kernelStamp });
    },
  };
}

t.test("the kernel's stamps count, not when they are read: late edges measure as well, stale ones not at all", async (t) => {
  const context = createFakeDeviceContext({ id: "front" });
  const { board, pulse, heard } = edgesByHand(context);
  const sensor = await openDevice(ultrasonicDriver, { ...context, board }, { ...LINES, samples: 1 });
  const startMs = context.clock.monotonicMs();
  await context.clock.advance(110);
  pulse(startMs + 62, startMs + 62 + echoPulseMs(1, 20));
  t.ok(near(context.latest.get("distance"), 1), "read 40 ms later");
  await context.clock.advance(20);
  pulse(startMs + 63, startMs + 63 + echoPulseMs(2, 20));
  t.ok(near(context.latest.get("distance"), 1), "from before the trigger");
  pulse(startMs + 122, startMs + 122 + echoPulseMs(3, 20));
  t.ok(near(context.latest.get("distance"), 3));
  pulse(startMs + 122, startMs + 122 + echoPulseMs(2, 20));
  t.ok(near(context.latest.get("distance"), 3), "the second echo of one trigger");
  heard.failed?.(new AgentError("IO", "line GPIO24: its chip is gone"));
  t.match(context.faults, [{ message: /gone/ }]);
  await sensor.close();
});

t.test("edges without the kernel's stamps are refused by name, never measured with", async (t) => {
  const context = createFakeDeviceContext({ id: "front" });
  const { board, pulse } = edgesByHand(context);
  const sensor = await openDevice(ultrasonicDriver, { ...context, board }, { ...LINES, samples: 1 });
  const startMs = context.clock.monotonicMs();
  await context.clock.advance(70);
  pulse(startMs + 62, startMs + 68, false);
  t.match(context.faults, [{ code: "FAULTED", message: /^front: edges of line GPIO24 have no time stamp.*gpio: cdev/ }]);
  t.notOk(context.latest.has("distance"));
  await sensor.close();
});

t.test("the temperature comes from a variable as long as it can be believed", async (t) => {
  const { context, sensor, end } = await openSensor({ temperatureC: 10, temperatureVariable: "air" });
  const temperature = (): unknown => (callDevice(sensor, "state") as { temperatureC: number }).temperatureC;
  t.equal(temperature(), 10);
  context.setVariable("air", -20);
  t.equal(temperature(), -20);
  for (const unlikely of [-41, 86, "warm", true]) {
    context.setVariable("air", unlikely);
    t.equal(temperature(), 10, String(unlikely));
  }
  t.same(ultrasonicDriver.reads?.(ultrasonicDriver.options.parse({ ...LINES, temperatureVariable: "air" })), ["air"]);
  t.same(ultrasonicDriver.reads?.(ultrasonicDriver.options.parse(LINES)), []);
  await end();
  const other = createFakeDeviceContext({ id: "front" });
  const stale = { name: "air", value: 30, unit: undefined, ageMs: 9000, stale: true, source: "test", updates: 1 };
  const device = await openDevice(ultrasonicDriver, { ...other, variable: () => stale }, { ...LINES, temperatureVariable: "air" });
  t.match(callDevice(device, "state"), { temperatureC: 20 });
  await device.close();
});

t.test("a trigger that cannot be written and an echo that cannot be read are faults, and the next measurement is tried", async (t) => {
  const { context, echo, end } = await openSensor({ samples: 1 });
  echo.place(1);
  const { world } = context.board;
  world.failNth("write", 1);
  await context.clock.advance(60);
  world.failNth("write", 2);
  await context.clock.advance(60);
  world.failNth("read", 1);
  await context.clock.advance(60);
  t.match(context.faults, [
    { code: "IO", message: /write/ },
    { code: "IO", message: /write/ },
    { code: "IO", message: /read/ },
  ]);
  await context.clock.advance(120);
  t.ok(near(context.latest.get("distance"), 1));
  await end();
});

t.test("options that do not fit are refused with what to do", (t) => {
  const cases: readonly [Record<string, unknown>, RegExp][] = [
    [{ trigger: "GPIO23" }, /^echo: /],
    [{ trigger: "GPIO23", echo: "GPIO23" }, /^echo: .*two lines/],
    [{ ...LINES, periodMs: 59 }, /^periodMs: /],
    [{ ...LINES, samples: 16 }, /^samples: /],
    [{ ...LINES, minM: 1, maxM: 1 }, /^maxM: .*more than the nearest/],
    [{ ...LINES, temperatureC: 86 }, /^temperatureC: /],
    [{ ...LINES, faultAfter: 0 }, /^faultAfter: /],
  ];
  for (const [options, expected] of cases) t.match(optionErrors(ultrasonicDriver, options).join("; "), expected, JSON.stringify(options));
  t.same(ultrasonicDriver.claims(ultrasonicDriver.options.parse(LINES)), ["line GPIO23", "line GPIO24"]);
  t.end();
});

t.test("the median is always one of the values that were measured, with as many below as above", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 15 }),
      fc.array(fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }), { minLength: 1, maxLength: 40 }),
      (samples, given) => {
        const window = createEchoWindow(samples);
        return given.every((outcome, i) => {
          const median = window.push(outcome);
          const measured = given.slice(Math.max(0, i + 1 - samples), i + 1).filter((one) => one !== undefined);
          if (measured.length * 2 <= samples) return median === undefined;
          if (median === undefined || !measured.includes(median)) return false;
          const below = measured.filter((one) => one < median).length;
          const above = measured.filter((one) => one > median).length;
          return below <= measured.length / 2 && above <= measured.length / 2;
        });
      },
    ),
  );
  t.end();
});
