import t, { type Test } from "tap";
import { z } from "zod";

import { AgentError } from "../agent/contract/errors.ts";
import { createSafety, writeSafeStates, type SafeStateOptions } from "../agent/safe-state.ts";
import { createSimBoard, type SimBoard } from "../drivers/board/sim/sim-board.ts";
import {
  defineDriver,
  MOTION_LEASE,
  STILL_LEASE,
  type Device,
  type DeviceContext,
  type DevicePolicy,
  type DeviceSpec,
} from "../agent/contract/device.ts";
import { i2cText } from "../agent/contract/i2c.ts";
import { createSimArduino } from "../drivers/board/sim/instruments/firmata.ts";
import { gpio } from "../drivers/gpio/index.ts";
import { serial } from "../drivers/serial/index.ts";
import { lineRef, type Board } from "../agent/contract/board.ts";
import { safetyText } from "../agent/keeper/safe-report.ts";
import { createFakeClock, settled, type FakeClock } from "./helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "./helpers/fake-log.ts";
import { pinTrace } from "./helpers/fake-device-context.ts";

const POLICY: DevicePolicy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, callMs: 1000 };

function spec(id: string, name: string, options: Record<string, unknown>, policy: Partial<DevicePolicy> = {}): DeviceSpec {
  const driver = [...gpio.drivers, ...serial.drivers].find((candidate) => candidate.name === name);
  if (driver === undefined) throw new Error(`no driver ${name}`);
  return { id, driver, options: driver.options.parse(options), policy: { ...POLICY, ...policy } };
}

/** A device of a driver that does what the test says. */
function scripted(id: string, open: (context: DeviceContext) => Promise<Device>, moves = false): DeviceSpec {
  const driver = defineDriver({
    name: "scripted",
    summary: "does what the test says",
    options: z.strictObject({}),
    moves,
    lease: moves ? MOTION_LEASE : STILL_LEASE,
    claims: () => [],
    open: (context) => open(context),
  });
  return { id, driver, options: {}, policy: POLICY };
}

interface Scene extends SafeStateOptions {
  readonly clock: FakeClock;
  readonly board: SimBoard;
  readonly log: FakeLog;
}

function scene(t: Test, specs: readonly DeviceSpec[]): Scene {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  t.teardown(() => board.close());
  return { specs, openBoard: () => Promise.resolve(board), clock, log: createFakeLog(), limitMs: 1000, board };
}

t.test("every device is in its safe state, whatever it is, and its ports are held until they are given back", async (t) => {
  const on = scene(t, [
    spec("lamp", "light", { line: "GPIO17", safe: "on" }),
    spec("pump", "relay", { line: "GPIO27", activeLow: true }),
    spec("fan", "light", { pwm: { chip: "sim", channel: 0 }, safe: 20 }),
  ]);
  const { devices, allSafe, release } = await writeSafeStates(on);
  t.strictSame(
    devices.map(({ id, outcome, reason }) => [id, outcome, reason]),
    [
      ["lamp", "safe", undefined],
      ["pump", "safe", undefined],
      ["fan", "safe", undefined],
    ],
  );
  t.equal(allSafe, true);
  t.equal(on.board.world.level("GPIO17"), true);
  t.equal(on.board.world.level("GPIO27"), true);
  t.equal(on.board.world.duty("pwm sim:0"), 0.2);
  t.equal(on.board.world.claimed().length, 3);
  await release();
  await release();
  t.strictSame(on.board.world.claimed(), []);
  t.equal(pinTrace(on.board.world, "GPIO17"), "output:high release:low", "no edge while it is held");
  t.equal(pinTrace(on.board.world, "GPIO27"), "output:high release:low");
});

t.test(
  "what holds by its own configuration is left alone, what is disabled is not mentioned, what cannot move is closed again",
  async (t) => {
    const on = scene(t, [
      spec("contactor", "relay", { line: "GPIO17" }, { onLoss: "hold" }),
      spec("spare", "relay", { line: "GPIO22" }, { enabled: false }),
      spec("door", "button", { line: "GPIO4" }),
    ]);
    const { devices, allSafe } = await writeSafeStates(on);
    t.strictSame(devices.map(safetyText), ["contactor is left as it is: onLoss: hold", "door is left as it is: it cannot move anything"]);
    t.equal(allSafe, true);
    t.strictSame(on.board.world.history("GPIO17").entries, []);
    t.strictSame(on.board.world.claimed(), []);
  },
);

t.test("what moves comes first", async (t) => {
  const order: string[] = [];
  const opens = (id: string, moves: boolean) =>
    scripted(
      id,
      async () => {
        order.push(id);
        return { functions: {}, failsafe: () => undefined, close: () => undefined };
      },
      moves,
    );
  await writeSafeStates(scene(t, [opens("lamp", false), opens("servo", true), opens("horn", false), opens("motor", true)]));
  t.strictSame(order, ["servo", "motor", "lamp", "horn"]);
});

t.test("one that fails does not keep the others from being safe, and says who is in its way", async (t) => {
  const on = scene(t, [spec("lamp", "light", { line: "GPIO17", safe: "on" }), spec("pump", "relay", { line: "GPIO27" })]);
  await on.board.openOutput("somebody", lineRef("GPIO17"), false);
  const { devices, allSafe } = await writeSafeStates(on);
  t.equal(allSafe, false);
  const [lamp, pump] = devices.map(safetyText);
  t.match(lamp, /^lamp is NOT safe: IN_USE .*GPIO17 is in use by somebody/);
  t.equal(pump, "pump is safe after 0 ms");
});

for (const [what, device] of [
  ["hangs while it opens", () => new Promise<Device>(() => undefined)],
  ["hangs while it goes safe", async () => ({ functions: {}, failsafe: () => new Promise<void>(() => undefined), close: () => undefined })],
] as const) {
  t.test(`one that ${what} is given up after its time, and the others do not wait`, async (t) => {
    const on = scene(t, [scripted("stuck", device, true), spec("pump", "relay", { line: "GPIO27", safe: "on" })]);
    const writing = writeSafeStates(on);
    await on.clock.advance(999);
    t.equal(on.board.world.level("GPIO27"), true);
    await on.clock.advance(1);
    const { devices, tookMs, release } = await writing;
    t.strictSame(
      devices.map(({ id, outcome, tookMs: took, reason }) => [id, outcome, took, reason]),
      [
        ["stuck", "failed", 1000, "TIMEOUT stuck: making it safe took longer than 1000 ms"],
        ["pump", "safe", 0, undefined],
      ],
    );
    t.equal(tookMs, 1000);
    await release();
    t.strictSame(on.board.world.claimed(), []);
  });
}

t.test("one that opens after it was given up keeps no port", async (t) => {
  let go: () => void = () => undefined;
  const late = scripted("late", async ({ board }) => {
    const output = await board.openOutput("late", lineRef("GPIO5"), false);
    await new Promise<void>((resolve) => (go = resolve));
    return { functions: {}, failsafe: () => output.write(true), close: () => output.close() };
  });
  const on = scene(t, [late]);
  const writing = writeSafeStates(on);
  await on.clock.advance(1000);
  const { release } = await writing;
  await release();
  t.strictSame(on.board.world.claimed(), []);
  go();
  await on.clock.advance(0);
  t.strictSame(on.board.world.claimed(), []);
});

for (const [what, device, expected] of [
  [
    "throws while it goes safe",
    async (): Promise<Device> => ({
      functions: {},
      failsafe() {
        throw new AgentError("IO", "the chip does not answer");
      },
      close: () => undefined,
    }),
    "bad is NOT safe: IO the chip does not answer",
  ],
  [
    "reports a fault of its own",
    async (context: DeviceContext): Promise<Device> => ({
      functions: {},
      failsafe: () => context.fault(new Error("the horn is blocked\nthere")),
      close: () => undefined,
    }),
    "bad is NOT safe: IO the horn is blocked there",
  ],
] as const) {
  t.test(`one that ${what} is not safe`, async (t) => {
    const on = scene(t, [scripted("bad", device)]);
    const { devices } = await writeSafeStates(on);
    t.strictSame(devices.map(safetyText), [expected]);
  });
}

t.test("a device works on while it is held: its ticks go on until it is given back", async (t) => {
  let ticks = 0;
  const ramp = scripted("ramp", async (context) => {
    context.publish("angleDeg", 1);
    t.equal(context.variable("anything"), undefined);
    context.every(10, () => {
      ticks += 1;
    });
    return { functions: {}, failsafe: () => undefined, close: () => undefined };
  });
  const on = scene(t, [ramp]);
  const { release } = await writeSafeStates(on);
  await on.clock.advance(100);
  t.equal(ticks, 10);
  await release();
  await on.clock.advance(100);
  t.equal(ticks, 10);
  t.equal(on.clock.pending(), 0);
});

t.test("without a board no device is safe, and each says why", async (t) => {
  const on = scene(t, [spec("lamp", "light", { line: "GPIO17" }), spec("pump", "relay", { line: "GPIO27" })]);
  const { devices, allSafe, release } = await writeSafeStates({
    ...on,
    openBoard: () => Promise.reject(new AgentError("DENIED", "/dev/gpiochip0 may not be opened")),
  });
  t.equal(allSafe, false);
  t.strictSame(devices.map(safetyText), [
    "lamp is NOT safe: DENIED /dev/gpiochip0 may not be opened",
    "pump is NOT safe: DENIED /dev/gpiochip0 may not be opened",
  ]);
  await release();
});

/** A device that moves, on one CAN frame or a line, and says what it drives. */
function mover(id: string, claim: string, open: string[]): DeviceSpec {
  const driver = defineDriver({
    name: "mover",
    summary: "says what it drives",
    options: z.strictObject({}),
    moves: true,
    lease: MOTION_LEASE,
    claims: () => [claim],
    async open(context) {
      open.push(id);
      context.publish("brake", context.variable(`${id}.brake`)?.value ?? 0);
      return {
        functions: {},
        failsafe: () => context.publish("phase", "stopping"),
        close: () => void open.splice(open.indexOf(id), 1),
      };
    },
  });
  return { id, driver, options: {}, policy: POLICY };
}

t.test(
  "handed over are the ports that only one process can have, with what is driven; CAN frames go on until somebody else sends them",
  async (t) => {
    const open: string[] = [];
    const lamp = scripted("lamp", async (context) => {
      context.publish("on", true);
      return { functions: {}, failsafe: () => undefined, close: () => undefined };
    });
    const on = scene(t, [
      mover("car", "can can0:0x1", open),
      mover("steer", "can can0:0x2", open),
      mover("winch", "line GPIO5", open),
      lamp,
    ]);
    const known = { name: "car.brake", value: 40, unit: undefined, ageMs: 5, stale: true, source: "car", updates: 3 };
    const { handOver, letGo, release } = await writeSafeStates({
      ...on,
      variables: { get: (name) => (name === known.name ? known : undefined) },
    });
    t.strictSame(open, ["car", "steer", "winch"]);
    t.strictSame(await handOver(), {
      "car.brake": 40,
      "car.phase": "stopping",
      "steer.brake": 0,
      "steer.phase": "stopping",
      "winch.brake": 0,
      "winch.phase": "stopping",
    });
    t.strictSame(open, ["car", "steer"]);
    await letGo("car");
    await letGo("car");
    await letGo("winch");
    t.strictSame(open, ["steer"]);
    await release();
    t.strictSame(open, []);
  },
);

t.test("ports that cannot be given back are given up after their time, and said", async (t) => {
  const throwing = scripted("throwing", async () => ({
    functions: {},
    failsafe: () => undefined,
    close() {
      throw new Error("no");
    },
  }));
  const hanging = scripted("hanging", async () => ({
    functions: {},
    failsafe: () => undefined,
    close: () => new Promise<void>(() => undefined),
  }));
  const on = scene(t, [throwing, hanging]);
  const { release } = await writeSafeStates(on);
  const released = release();
  await on.clock.advance(500);
  await released;
  t.strictSame(on.log.lines, ["warn throwing did not close: no", "warn giving the ports back took longer than 500 ms"]);
});

/** Boards that write down what they are asked for. */
function recordingBoards(): { readonly opened: string[]; readonly openBoard: () => Promise<Board> } {
  const opened: string[] = [];
  return {
    opened,
    async openBoard() {
      const sim = createSimBoard({ clock: createFakeClock() });
      opened.push("board");
      return {
        ...sim,
        openOutputs(owner, lines, initial) {
          opened.push(owner);
          return sim.openOutputs(owner, lines, initial);
        },
        openOutput(owner, line, initial) {
          opened.push(owner);
          return sim.openOutput(owner, line, initial);
        },
        openI2c(owner, ref) {
          opened.push(`${owner} ${i2cText(ref)}`);
          return ref.bus === 1 ? sim.openI2c(owner, ref) : Promise.reject(new AgentError("UNKNOWN", "no bus"));
        },
        async openCan(owner, name) {
          opened.push(`${owner} ${name}`);
          const channel = await sim.openCan(owner, name);
          return {
            ...channel,
            send: (frame) => void opened.push(`frame ${frame.id}`),
            close: () => void opened.push(`${owner} closes ${name}`),
          };
        },
        close: async () => void opened.push("close"),
      };
    },
  };
}

function onChip(id: string, address: number, bus: number | string = 1): DeviceSpec {
  return spec(id, "light", { pwm: { pca9685: { bus, address, channel: 0 } } });
}

t.test("prepared, it has a board and none of the devices' ports, and begins at once when it is needed", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const safety = createSafety({ ...scene(t, [spec("lamp", "light", { line: "GPIO17" })]), openBoard });
  await safety.prepare();
  await safety.prepare();
  t.strictSame(opened.splice(0), ["board"]);
  const { allSafe, release } = await safety.write();
  t.equal(allSafe, true);
  t.strictSame(opened.splice(0), ["lamp"]);
  await release();
  await settled();
  t.strictSame(opened.splice(0), ["close", "board"], "and is prepared for the next time");
  await safety.close();
  await safety.close();
  t.strictSame(opened.splice(0), ["close"]);
  await safety.prepare();
  t.strictSame(opened, []);
});

t.test("not prepared it works as well", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const safety = createSafety({ ...scene(t, [spec("lamp", "light", { line: "GPIO17" })]), openBoard });
  t.equal((await safety.write()).allSafe, true);
  t.strictSame(opened, ["board", "lamp"]);
});

t.test("preparing loads a bus through an address that no device has", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const safety = createSafety({ ...scene(t, [onChip("fan", 0x40), onChip("low", 0x08)]), openBoard });
  await safety.prepare();
  t.strictSame(opened, ["board", "safe-state i2c 1:0x09"]);
});

t.test("preparing listens to a CAN interface that is needed, sends nothing, and leaves it open", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const claiming = (id: string, claim: string): DeviceSpec => {
    const device = scripted(id, async () => ({ functions: {}, close: () => undefined }));
    return { ...device, driver: { ...device.driver, claims: () => [claim] } };
  };
  const specs = [claiming("lamp", "line GPIO17"), claiming("car", "can can0:0x200"), claiming("wheel", "can can1:0x300 extended")];
  const safety = createSafety({ ...scene(t, specs), openBoard });
  await safety.prepare();
  t.strictSame(opened.splice(0), ["board", "safe-state can0"]);
  await safety.close();
  t.strictSame(opened, ["close"], "the board closes it");
});

t.test("what is in the way is said, and nothing is kept open", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const on = scene(t, [onChip("fan", 0x40, "i2c-gpio")]);
  const safety = createSafety({ ...on, openBoard });
  await t.rejects(safety.prepare(), { code: "UNKNOWN" });
  t.strictSame(opened.splice(0), ["board", "safe-state i2c i2c-gpio:0x08", "close"]);
  const { release } = await createSafety({ ...on, specs: [], openBoard }).write();
  await release();
  const gone = createSafety({ ...on, specs: [], openBoard: () => Promise.reject(new AgentError("DENIED", "no")) });
  await t.rejects(gone.prepare(), { code: "DENIED" });
  await (await gone.write()).release();
  await settled();
  t.ok(on.log.lines.includes("warn the next time it will take longer: no"));
});

t.test("closed or overtaken while it prepares, it keeps no board", async (t) => {
  const { opened, openBoard } = recordingBoards();
  const on = scene(t, []);
  const safety = createSafety({ ...on, openBoard });
  const both = [safety.prepare(), safety.prepare()];
  await Promise.all(both);
  t.strictSame(opened.splice(0), ["board", "board", "close"]);
  await safety.close();
  const closing = createSafety({ ...on, openBoard });
  const preparing = closing.prepare();
  await closing.close();
  await preparing;
  t.strictSame(opened.splice(0), ["close", "board", "close"]);
});

t.test("a board that does not open is given up", async (t) => {
  const on = scene(t, [onChip("fan", 0x40)]);
  const writing = writeSafeStates({ ...on, openBoard: () => new Promise<Board>(() => undefined) });
  await on.clock.advance(10_000);
  const { devices } = await writing;
  t.strictSame(devices.map(safetyText), ["fan is NOT safe: TIMEOUT opening the board took longer than 10000 ms"]);
});

const SWEPT = [
  spec("lamp", "light", { line: "GPIO17", safe: "on" }),
  spec("fan", "light", { pwm: { chip: "sim", channel: 0 }, safe: 20 }),
  spec("pump", "relay", { line: "GPIO27", activeLow: true }),
];

t.test("whichever operation fails, only its own device is not safe, and every port is given back", async (t) => {
  let swept = 0;
  for (const operation of ["openOutput", "openPwm", "write", "pwmWrite"] as const) {
    for (let nth = 1; nth <= 2; nth++) {
      const on = scene(t, SWEPT);
      on.board.world.failNth(operation, nth, new AgentError("IO", "it broke"));
      const { devices, release } = await writeSafeStates(on);
      const failed = devices.filter(({ outcome }) => outcome === "failed");
      if (on.board.world.pendingFailures() > 0) continue;
      swept += 1;
      t.equal(failed.length, 1, `${operation} ${nth}`);
      t.match(failed[0]?.reason, "IO it broke");
      await release();
      t.strictSame(on.board.world.claimed(), [], `${operation} ${nth}`);
    }
  }
  t.equal(swept, 7);
});

t.test("a device on another one's pins is made safe once these can be reached; the others do not wait for it", async (t) => {
  const path = "/dev/serial/by-id/usb-uno";
  const on = scene(t, [
    spec("lamp", "light", { line: "uno:13", safe: 100 }),
    spec("uno", "firmata", { path }),
    spec("fan", "relay", { line: "GPIO27" }),
  ]);
  const arduino = createSimArduino(300);
  on.board.world.serial(path).attach(arduino);
  const writing = writeSafeStates(on);
  for (let ms = 0; ms < 1000; ms += 10) await on.clock.advance(10);
  const report = await writing;
  t.match(report.devices, [
    { id: "lamp", outcome: "safe", tookMs: 300 },
    { id: "uno", outcome: "left" },
    { id: "fan", outcome: "safe", tookMs: 0 },
  ]);
  t.match(arduino.pin(13), { mode: "output", level: true });
  const released = report.release();
  for (let ms = 0; ms < 1000; ms += 10) await on.clock.advance(10);
  await released;
  t.same(on.board.world.claimed(), []);
});
