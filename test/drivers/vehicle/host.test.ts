// The vehicle behind the one gate everything passes: leases, motion group, e-stop, faults, exit and restart.
import t from "tap";

import { createJournal } from "../../../agent/host/journal.ts";
import { createVariableStore } from "../../../analytics/store.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";
import { createSimBoard, type SimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { limitsSchema } from "../../../agent/contract/limits.ts";
import { openHost, type Host } from "../../../agent/host/host.ts";
import { vehicle } from "../../../drivers/vehicle/index.ts";
import type { DeviceSpec } from "../../../agent/contract/device.ts";
import type { Reply } from "../../../agent/contract/request.ts";

const DEVICES: Readonly<Record<string, readonly [driver: string, options: Record<string, unknown>]>> = {
  car: [
    "gcbaf",
    {
      accelerator: { pwm: { chip: "sim", channel: 0 } },
      brake: { pwm: { chip: "sim", channel: 1 } },
      fuel: { line: "GPIO5", cutOn: "loss" },
      limits: { transitionAccelerationMps2: 2, transitionJerkMps3: 5 },
    },
  ],
  wheel: ["steering", { angle: { pwm: { chip: "sim", channel: 2 } } }],
};

function specs(): readonly DeviceSpec[] {
  return Object.entries(DEVICES).map(([id, [name, options]]) => {
    const driver = vehicle.drivers.find((candidate) => candidate.name === name);
    if (driver === undefined) throw new Error(`no driver ${name}`);
    const policy = { enabled: true, onLoss: "safe", onExit: "safe", exclusive: false, group: "vehicle", callMs: 1000 } as const;
    return { id, driver, options: driver.options.parse(options), policy };
  });
}

interface Rig {
  readonly clock: FakeClock;
  readonly board: SimBoard;
  readonly host: Host;
  ask(line: string, name?: string, priority?: number): Promise<string>;
  /** Both are driven for `ms`, 20 times a second. */
  drive(ms: number, acceleratorPercent: number, brakePercent: number): Promise<void>;
  pulseUs(channel: number): number;
  /** An end in order, however long it takes. */
  stop(): Promise<void>;
}

async function openRig(clock = createFakeClock(), board = createSimBoard({ clock })): Promise<Rig> {
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 2000 });
  const host = await openHost({
    node: "van",
    specs: specs(),
    board,
    clock,
    variables,
    journal: createJournal(clock),
    log: createFakeLog(),
  });
  const signal = new AbortController().signal;
  const ask = async (line: string, name = "rule drive", priority = 10): Promise<string> => {
    const [verb = "", ...args] = line.split(" ");
    return text(await host.handle({ verb, args }, { name, priority, maxPriority: 255, signal }));
  };
  return {
    clock,
    board,
    host,
    ask,
    async drive(ms, acceleratorPercent, brakePercent) {
      for (let at = 0; at < ms; at += 50) {
        await ask(`CLONE car.drive ${acceleratorPercent} ${brakePercent}`);
        await ask("CLONE wheel.angle 10");
        await clock.advance(50);
      }
    },
    pulseUs: (channel) => Math.round(board.world.duty(`pwm sim:${channel}`) * 20_000),
    async stop() {
      const stopped = host.stop();
      await clock.advance(5000);
      await stopped;
    },
  };
}

function text(reply: Reply): string {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? `+${reply.text}` : JSON.stringify(reply.value);
}

/** Armed by an operator with the priority of who drives, and under way. */
async function underWay(): Promise<Rig> {
  const rig = await openRig();
  await rig.drive(2500, 0, 50);
  t.equal(await rig.ask("CLONE PRIORITY 10 car.arm", "operator", 100), "true");
  t.equal(await rig.ask("CLONE PRIORITY 10 wheel.arm", "operator", 100), "true");
  await rig.drive(1000, 0, 0);
  await rig.drive(3000, 40, 0);
  t.equal(rig.pulseUs(0), 1400);
  t.equal(rig.board.world.level("GPIO5"), true);
  return rig;
}

t.test("commands with the wrong number are answered in words, disarmed or not", async (t) => {
  const rig = await openRig();
  t.match(await rig.ask("CLONE car.drive 10 0"), /^-NOT_READY car is disarmed: not armed yet; keep commands coming and call car.arm/);
  t.match(await rig.ask("CLONE car.accelerator 101"), /^-LIMIT car: accelerator is 101 %; 0 to 100 % is the range/);
  t.match(await rig.ask("CLONE car.arm"), /^-NOT_READY car cannot be armed: it neither stands nor is the brake asked for/);
  t.match(await rig.ask("CLONE wheel.angle 50"), /^-LIMIT wheel: angle is 50°; -35 to 35° is the range/);
  t.match(await rig.ask("CLONE car.accelerator much"), /^-ARGUMENT/);
  await rig.stop();
});

t.test("when the commands end the lease does, the accelerator is released in that moment, and the whole group is disarmed", async (t) => {
  const rig = await underWay();
  await rig.clock.advance(149);
  t.equal(rig.pulseUs(0), 1400, "the lease is 200 ms, 50 of which had passed");
  await rig.clock.advance(1);
  t.equal(rig.pulseUs(0), 1000);
  t.equal(rig.board.world.level("GPIO5"), false);
  t.match(await rig.ask("CLONE car.state"), /"armed":false,"phase":"stopping"/);
  t.match(await rig.ask("CLONE wheel.state"), /"armed":false,"phase":"stopping"/);
  await rig.drive(3000, 40, 0);
  t.equal(rig.pulseUs(0), 1000, "commands that come again do not drive");
  t.ok(rig.pulseUs(1) > 1650, "it brakes");
  await rig.clock.advance(20_000);
  t.match(await rig.ask("CLONE car.state"), /"phase":"held"/);
  await rig.stop();
});

t.test(
  "an operator who arms with a priority of his own keeps those out who should drive, and it is stopped when his lease ends",
  async (t) => {
    const rig = await openRig();
    await rig.drive(2500, 0, 50);
    t.equal(await rig.ask("CLONE car.arm", "operator", 100), "true");
    t.match(await rig.ask("CLONE car.drive 0 50"), /^-IN_USE/);
    await rig.clock.advance(200);
    t.match(await rig.ask("CLONE car.state"), /"armed":false/);
    await rig.stop();
  },
);

t.test("a fault of one stops both, and stays until it is reset", async (t) => {
  const rig = await underWay();
  rig.board.world.failNth("pwmWrite", 1, undefined);
  await rig.ask("CLONE car.drive 0 30");
  await rig.clock.advance(20);
  t.equal(rig.pulseUs(0), 1000);
  t.match(await rig.ask("CLONE car.drive 40 0"), /^-FAULTED/);
  t.match(await rig.ask("CLONE wheel.angle 0"), /^-FAULTED/);
  await rig.clock.advance(3000);
  t.ok(rig.pulseUs(1) > 1700, "it brakes all the same");
  t.equal(await rig.ask("RESET car"), "+OK");
  t.match(await rig.ask("CLONE car.drive 40 0"), /^-NOT_READY/);
  await rig.stop();
});

t.test("e-stop stops it within the call and keeps it stopped until it is cleared", async (t) => {
  const rig = await underWay();
  t.equal(await rig.ask("ESTOP", "anybody", 0), "+OK");
  t.equal(rig.pulseUs(0), 1000);
  await rig.drive(3000, 40, 0);
  t.equal(rig.pulseUs(0), 1000);
  t.match(await rig.ask("CLONE car.arm", "operator", 100), /^-FAULTED car: e-stop is latched/);
  await rig.stop();
});

t.test("an end in order brakes a vehicle under way to a stop before it lets go, and takes no longer than it may", async (t) => {
  const rig = await underWay();
  const stopped = rig.host.stop();
  await rig.clock.advance(3990);
  t.equal(rig.pulseUs(0), 1000, "the accelerator is released at once");
  t.ok(rig.pulseUs(1) > 1650, "it brakes");
  t.ok(rig.pulseUs(2) !== 0, "the wheels are held");
  await rig.clock.advance(20);
  await stopped;
  for (const channel of [0, 1, 2]) t.equal(rig.pulseUs(channel), 0);
  t.same(rig.board.world.claimed(), []);
});

t.test("an end in order takes no longer than the vehicle needs to stand", async (t) => {
  const rig = await underWay();
  await rig.clock.advance(25_000);
  t.match(await rig.ask("CLONE car.state"), /"phase":"held"/);
  const from = rig.clock.monotonicMs();
  await rig.host.stop();
  t.equal(rig.clock.monotonicMs(), from);
});

t.test("pulse and pin trace through boot, exit and restart: what was not armed is not driven, what was ends silent", async (t) => {
  const clock = createFakeClock();
  const board = createSimBoard({ clock });
  const pulses = (channel: number): readonly string[] =>
    board.world.dutyHistory(`pwm sim:${channel}`).entries.map(({ event, dutyRatio }) => `${event} ${Math.round(dutyRatio * 20_000)}`);
  const first = await openRig(clock, board);
  await first.drive(500, 20, 0);
  await first.stop();
  for (const channel of [0, 1, 2]) t.same(pulses(channel), ["open 0", "release 0"], "boot and exit, never armed");
  const second = await openRig(clock, board);
  await second.drive(2500, 0, 50);
  t.equal(await second.ask("CLONE PRIORITY 10 car.arm"), "true");
  await second.drive(500, 0, 50);
  await second.stop();
  t.same(pulses(0).slice(2), ["open 0", "duty 1000", "duty 0", "release 0"], "restarted, armed, braked, ended");
  t.same(board.world.claimed(), []);
  const third = await openRig(clock, board);
  await third.clock.advance(5000);
  t.same(pulses(0).slice(6), ["open 0"], "restarted again: silent");
  await third.stop();
  t.equal(clock.pending(), 0);
});
