import t from "tap";

import { AgentError } from "../../../agent/contract/errors.ts";
import { canContract, frame, frameText } from "../../contract/can.ts";
import { createFakeClock } from "../../helpers/fake-clock.ts";
import { createRegisterChip } from "../../../drivers/board/sim/i2c.ts";
import { createSimBoard, type SimBoardOptions } from "../../../drivers/board/sim/sim-board.ts";
import { expectCode } from "../../contract/board.ts";
import { i2cContract } from "../../contract/i2c.ts";
import { pca9685Contract } from "../../contract/pca9685.ts";
import { pinTrace } from "../../helpers/fake-device-context.ts";
import type { PwmOutput } from "../../../agent/contract/board.ts";
import type { SimOperation } from "../../../drivers/board/sim/faults.ts";

const SERVO_PERIOD_NS = 20_000_000;
const CHANNEL = "pwm pca9685@1:0x40";

function fresh(options: Partial<SimBoardOptions> = {}) {
  const clock = createFakeClock();
  const board = createSimBoard({ clock, ...options });
  return { clock, board, world: board.world };
}

function servo(channel: number, outputEnable?: string) {
  return { pca9685: { bus: 1, address: 0x40, channel, outputEnable } };
}

t.test("the simulated board keeps the contract of I2C", async (t) => {
  i2cContract(t, {
    async open() {
      const { board, world } = fresh();
      world.i2c.attach(1, 0x48, createRegisterChip());
      return board;
    },
    bus: 1,
    address: 0x48,
    absent: 0x49,
    wordsAreBytes: true,
  });
});

t.test("the simulated board keeps the contract of CAN", async (t) => {
  let clock = createFakeClock();
  canContract(t, {
    async open() {
      const made = fresh();
      clock = made.clock;
      const can = made.world.can("can0");
      return {
        board: made.board,
        world: {
          send: (one) => can.send(one),
          seen: () => can.sent().entries.map(frameText),
          setState: (state) => can.setState(state),
          down: () => can.setState("down"),
          up: () => can.setState("active"),
        },
      };
    },
    interfaceName: "can0",
    settle: () => clock.advance(20),
  });
});

t.test("the simulated board keeps the contract of PCA9685 channels", async (t) => {
  pca9685Contract(t, {
    async open() {
      const { board, world } = fresh();
      const chip = world.attachPca9685(1, 0x40);
      return {
        board,
        world: {
          ticks: (channel) => chip.dutyRatio(channel) * 4096,
          register: (register) => chip.registers[register] ?? 0,
          enableLevel: () => world.level("GPIO5"),
          leaveRunning() {
            chip.write(0xfe, Uint8Array.of(0x79));
            chip.write(0x00, Uint8Array.of(0x20));
            chip.write(0x06 + 4 * 5, Uint8Array.of(0, 0, 0, 8));
          },
        },
      };
    },
    bus: 1,
    address: 0x40,
    absent: 0x41,
    enableLine: "GPIO5",
    allChannelsRegister: true,
  });
});

/** Sets a chip up, moves two channels, makes them safe and closes them, as the host does it: whatever failed before. The first error. */
async function live(board: ReturnType<typeof fresh>["board"]): Promise<unknown> {
  const errors: unknown[] = [];
  const attempt = async (run: () => unknown): Promise<void> => {
    try {
      await run();
    } catch (error) {
      errors.push(error);
    }
  };
  const outputs: PwmOutput[] = [];
  for (const channel of [0, 1]) {
    await attempt(async () => outputs.push(await board.openPwm(`servo${channel}`, servo(channel, "GPIO5"), SERVO_PERIOD_NS)));
  }
  for (const ratio of [0.05, 0.1]) for (const output of outputs) await attempt(() => output.write(ratio));
  for (const output of outputs) await attempt(() => output.write(0));
  for (const output of outputs) await attempt(() => output.close());
  return errors[0];
}

t.test("any one operation on a PCA9685 may fail: the error shows, no port is kept, no pulse is wrong or left", async (t) => {
  let swept = 0;
  for (const operation of ["openOutput", "openPwm", "openI2c", "write", "i2cWrite", "i2cRead", "close"] satisfies SimOperation[]) {
    for (let nth = 1; ; nth++) {
      const { board, world, clock } = fresh({ i2c: { limitMs: 100, retries: 0 } });
      world.failNth(operation, nth);
      const error = await live(board);
      const where = `${operation} ${nth}`;
      t.same(world.claimed(), [], where);
      t.equal(clock.pending(), 0, where);
      for (const channel of [0, 1]) {
        t.equal(world.duty(`${CHANNEL}:${channel}`), 0, where);
        const duties = world.dutyHistory(`${CHANNEL}:${channel}`).entries.map(({ dutyRatio }) => Math.round(dutyRatio * 100));
        t.ok(
          duties.every((percent) => [0, 5, 10].includes(percent)),
          `${where}: ${duties.join(" ")}`,
        );
      }
      if (world.pendingFailures() > 0) {
        t.equal(error, undefined, `${where} does not happen`);
        break;
      }
      t.ok(error instanceof AgentError && error.code === "IO" && error.message.includes(operation), `${where}: ${String(error)}`);
      swept += 1;
    }
  }
  t.equal(swept, 22);
});

t.test("the pins of a PCA9685 show no unintended pulse through open, run, close, reopening and somebody's death", async (t) => {
  const { board, world } = fresh();
  const first = await board.openPwm("servo", servo(0, "GPIO5"), SERVO_PERIOD_NS);
  await first.write(0.075);
  await first.close();
  const again = await board.openPwm("servo", servo(0, "GPIO5"), SERVO_PERIOD_NS);
  await again.write(0.05);
  // Somebody who died left the chip as it is; the next one finds it running.
  const next = createSimBoard({ clock: createFakeClock() });
  const chip = next.world.attachPca9685(1, 0x40);
  chip.write(0xfe, Uint8Array.of(0x79));
  chip.write(0x00, Uint8Array.of(0x20));
  chip.write(0x06, Uint8Array.of(0, 0, 0, 2));
  const taken = await next.openPwm("servo", servo(0, "GPIO5"), SERVO_PERIOD_NS);
  await taken.write(0.1);
  await next.close();
  const life = (of: typeof world): unknown[] =>
    of.dutyHistory(`${CHANNEL}:0`).entries.map(({ event, dutyRatio }) => [event, Math.round(dutyRatio * 1000) / 1000]);
  t.same(life(world), [
    ["open", 0],
    ["duty", 0.075],
    ["duty", 0],
    ["release", 0],
    ["open", 0],
    ["duty", 0.05],
  ]);
  t.same(life(next.world), [
    ["duty", 0.125],
    ["duty", 0],
    ["open", 0],
    ["duty", 0.1],
    ["duty", 0],
    ["release", 0],
  ]);
  t.equal(pinTrace(next.world, "GPIO5"), "output:high low high release:low");
});

t.test("a channel whose write failed is off until it is written again, the others stay", async (t) => {
  const { board, world } = fresh({ i2c: { limitMs: 100, retries: 0 } });
  const [a, b] = await Promise.all([0, 1].map((channel) => board.openPwm(`servo${channel}`, servo(channel), SERVO_PERIOD_NS)));
  await Promise.all([a?.write(0.5), b?.write(0.25)]);
  world.failNth("i2cWrite", 1);
  await expectCode(t, "IO", [CHANNEL, "cannot be written"], async () => a?.write(1));
  t.equal(world.duty(`${CHANNEL}:0`), 0.5, "the chip was not reached");
  await b?.write(0.75);
  t.same([world.duty(`${CHANNEL}:0`), world.duty(`${CHANNEL}:1`)], [0, 0.75]);
  await a?.write(0.125);
  t.same([world.duty(`${CHANNEL}:0`), world.duty(`${CHANNEL}:1`)], [0.125, 0.75]);
});

t.test("a chip that lost power is set up again, and its channels come back as they were asked for", async (t) => {
  const { board, world } = fresh();
  const chip = world.attachPca9685(1, 0x40);
  const [a, b] = await Promise.all([0, 1].map((channel) => board.openPwm(`servo${channel}`, servo(channel), SERVO_PERIOD_NS)));
  await Promise.all([a?.write(0.5), b?.write(0.25)]);
  world.i2c.detach(1, 0x40);
  chip.powerCycle();
  t.equal(world.duty(`${CHANNEL}:1`), 0);
  await expectCode(t, "IO", ["does not answer"], async () => a?.write(0.75));
  world.i2c.attach(1, 0x40, chip);
  await a?.write(0.75);
  t.same([world.duty(`${CHANNEL}:0`), world.duty(`${CHANNEL}:1`)], [0.75, 0.25]);
  t.equal(chip.periodNs(), 19_988_480, "with the divider it had");
});

t.test("an off that cannot be written raises output-enable, until the chip can be reached", async (t) => {
  const { board, world } = fresh();
  const chip = world.attachPca9685(1, 0x40);
  const output = await board.openPwm("servo", servo(0, "GPIO5"), SERVO_PERIOD_NS);
  await output.write(0.5);
  world.i2c.detach(1, 0x40);
  await expectCode(t, "IO", ["does not answer"], async () => output.write(0.25));
  t.equal(world.level("GPIO5"), false, "what is not off is not worth all channels");
  await expectCode(t, "IO", ["does not answer"], async () => output.write(0));
  t.equal(world.level("GPIO5"), true);
  world.i2c.attach(1, 0x40, chip);
  await output.write(0.25);
  t.equal(world.level("GPIO5"), false);
  t.equal(world.duty(`${CHANNEL}:0`), 0.25);
});

t.test("what is written in one turn goes out in blocks of neighbours, and what stays costs nothing", async (t) => {
  const { board, world } = fresh();
  const blocks: string[] = [];
  const chip = world.attachPca9685(1, 0x40);
  world.i2c.attach(1, 0x40, {
    read: (register, length) => chip.read(register, length),
    write(register, bytes) {
      blocks.push(`${register}+${bytes.length}`);
      chip.write(register, bytes);
    },
  });
  const outputs: PwmOutput[] = [];
  for (let channel = 0; channel < 16; channel++) outputs.push(await board.openPwm(`servo${channel}`, servo(channel), SERVO_PERIOD_NS));
  t.equal(blocks[0], "253+1", "all channels are off before anything else");
  blocks.length = 0;
  await Promise.all(outputs.map(async (output) => output.write(0.075)));
  t.same(blocks.splice(0), ["6+32", "38+32"], "16 channels are two blocks");
  await Promise.all([0, 1, 3].map(async (channel) => outputs[channel]?.write(0.1)));
  t.same(blocks.splice(0), ["6+8", "18+4"]);
  t.equal(outputs[0]?.write(0.1), undefined, "nothing to do, nothing to wait for");
  const first = outputs[0]?.write(0.2);
  const second = outputs[0]?.write(0.3);
  await Promise.all([first, second]);
  t.same(blocks.splice(0), ["6+4"], "the latest counts");
  t.equal(world.duty(`${CHANNEL}:0`), Math.round(0.3 * 4096) / 4096);
});

t.test("a chip whose address does not count up by itself, and one asleep, are what the data sheet says", (t) => {
  const { world } = fresh();
  const chip = world.attachPca9685(1, 0x41);
  t.same([...chip.read(0x00, 2)], [0x11, 0x11], "one register again and again");
  chip.write(0x00, Uint8Array.of(0x00));
  chip.write(0xfe, Uint8Array.of(0x79));
  t.equal(chip.registers[0xfe], 0x1e, "the divider is locked while the oscillator runs");
  chip.write(0x08, Uint8Array.of(1, 2, 3));
  t.equal(chip.registers[0x08], 3);
  chip.write(0x00, Uint8Array.of(0x30));
  chip.write(0xfe, Uint8Array.of(1));
  t.equal(chip.registers[0xfe], 3);
  chip.write(0x00, Uint8Array.of(0x20));
  chip.write(0xfa, Uint8Array.of(0, 0x10, 0, 0));
  t.equal(world.duty("pwm pca9685@1:0x41:15"), 1, "fully on, all of them");
  chip.write(0xfc, Uint8Array.of(0, 0x10));
  t.equal(world.duty("pwm pca9685@1:0x41:0"), 0, "fully off wins");
  chip.write(0x06, Uint8Array.of(0xff, 0x0f, 0xff, 0x07));
  t.equal(world.duty("pwm pca9685@1:0x41:0"), 0.5, "over the end of the period");
  t.end();
});

t.test("a stuck bus times out by name, refuses what comes meanwhile, and works once it is free", async (t) => {
  const { clock, board, world } = fresh();
  world.i2c.attach(1, 0x48, createRegisterChip({ 0x10: 7 }));
  world.i2c.attach("second", 0x48, createRegisterChip({ 0x10: 8 }));
  const device = await board.openI2c("sensor", { bus: 1, address: 0x48 });
  const other = await board.openI2c("other", { bus: 1, address: 0x49 });
  const elsewhere = await board.openI2c("elsewhere", { bus: "second", address: 0x48 });
  world.i2c.stick(1);
  world.i2c.stick(1);
  const told: string[] = [];
  const tell = (error: unknown): void => {
    told.push(error instanceof AgentError ? `${error.code} ${error.message}` : String(error));
  };
  const hung = device.readByte(0x10).catch(tell);
  const waiting = other.readByte(0x10).catch(tell);
  await clock.advance(99);
  t.same(told, []);
  await clock.advance(1);
  await Promise.all([hung, waiting]);
  t.match(told, [/^TIMEOUT i2c 1:0x48 .* within 100 ms/, /^TIMEOUT i2c 1:0x49 is not reached.*i2c 1:0x48/]);
  await expectCode(t, "TIMEOUT", ["0x49", "0x48"], () => other.readByte(0x10));
  t.equal(await elsewhere.readByte(0x10), 8, "another bus goes on");
  world.i2c.free(1);
  await clock.advance(0);
  t.equal(await device.readByte(0x10), 7);
  t.equal(clock.pending(), 0);
  world.i2c.stick(1);
  const stuck = device.readByte(0x10);
  await clock.advance(50);
  world.i2c.free(1);
  t.equal(await stuck, 7, "freed in time, the read is repeated");
});

t.test("reads are repeated once, writes are not: a chip may count them", async (t) => {
  const { board, world } = fresh();
  const chip = createRegisterChip({ 0x10: 7 });
  world.i2c.attach(1, 0x48, chip);
  const device = await board.openI2c("sensor", { bus: 1, address: 0x48 });
  world.failNth("i2cRead", 1);
  t.equal(await device.readByte(0x10), 7);
  world.failNth("i2cRead", 1);
  world.failNth("i2cRead", 2);
  await expectCode(t, "IO", ["i2cRead"], () => device.readByte(0x10));
  world.failNth("i2cWrite", 1);
  await expectCode(t, "IO", ["i2cWrite"], () => device.writeByte(0x10, 1));
  t.equal(chip.registers[0x10], 7);
  world.failNth("i2cRead", 1, new AgentError("IO", "arbitration lost"));
  world.failNth("i2cRead", 2, new AgentError("TIMEOUT", "clock stretched"));
  await expectCode(t, "TIMEOUT", ["stretched"], () => device.readByte(0x10));
  t.equal(world.pendingFailures(), 0);
  world.failNth("i2cData", 1);
  t.equal(await device.readByte(0x10), 0xf8, "wrong data is data");
  t.equal(await device.readByte(0x10), 7);
});

t.test("too many waiting transfers are FULL", async (t) => {
  const { board, world } = fresh();
  world.i2c.attach(1, 0x48, createRegisterChip());
  const device = await board.openI2c("sensor", { bus: 1, address: 0x48 });
  const results = await Promise.allSettled(Array.from({ length: 300 }, () => device.readByte(0)));
  const refused = results.filter((result) => result.status === "rejected");
  t.equal(refused.length, 300 - 257, "one under way and 256 waiting");
  t.match(refused[0], { reason: { code: "FULL", message: /1:0x48.*256/ } });
  t.equal(await device.readByte(0), 0);
});

t.test("buses and chips come from the options or the world, and errors name what there is", async (t) => {
  const { board, world } = fresh({ pca9685: [{ bus: 3, address: 0x70 }], can: ["vcan0"] });
  await expectCode(t, "UNKNOWN", ["bus 1", "has 3"], () => board.openPwm("servo", servo(0), SERVO_PERIOD_NS));
  const output = await board.openPwm("servo", { pca9685: { bus: 3, address: 0x70, channel: 2 } }, SERVO_PERIOD_NS);
  await output.write(1);
  t.equal(world.duty("pwm pca9685@3:0x70:2"), 1);
  await expectCode(t, "UNKNOWN", ["bus 1", "3"], () => board.openI2c("sensor", { bus: 1, address: 0x48 }));
  await expectCode(t, "UNKNOWN", ["9"], () => world.i2c.stick(9));
  await expectCode(t, "UNKNOWN", ["can0", "did you mean vcan0?"], () => board.openCan("gcbaf", "can0"));
  await expectCode(t, "UNKNOWN", ["can7"], () => world.can("can7"));
  const bare = fresh({ pca9685: [], can: [] });
  await expectCode(t, "UNKNOWN", ["has none"], () => bare.board.openI2c("sensor", { bus: 1, address: 0x48 }));
  await expectCode(t, "UNKNOWN", ["has none"], () => bare.board.openCan("gcbaf", "can0"));
  await expectCode(t, "UNKNOWN", ["pwm pca9685@1:0x40:0", "pca9685@3:0x70"], () => world.duty(`${CHANNEL}:0`));
  await expectCode(t, "UNKNOWN", ["channels 0 to 3 on chip sim"], () => bare.world.duty("pwm sim:9"));
});

t.test("a chip that answers too little is an error, and reset lets go of buses", async (t) => {
  const { board, world, clock } = fresh();
  world.i2c.attach(1, 0x48, { read: () => Uint8Array.of(1), write: () => undefined });
  const device = await board.openI2c("sensor", { bus: 1, address: 0x48 });
  await expectCode(t, "IO", ["1 bytes of 4"], () => device.readBlock(0, 4));
  world.i2c.stick(1);
  const hung = device.writeByte(0, 1);
  hung.catch(() => undefined);
  await clock.advance(10);
  world.reset();
  await expectCode(t, "IO", ["came free"], () => hung);
  t.equal(await device.readByte(0), 1);
});

t.test("the world's side of CAN: what was sent, a full queue, states, and nothing while down", async (t) => {
  const { board, world, clock } = fresh({ historyLimit: 2 });
  const can = world.can("can0");
  const channel = await board.openCan("gcbaf", "can0");
  const observed: string[] = [];
  const cancel = can.onFrame((sent) => observed.push(`${frameText(sent)} at ${sent.atMs}`));
  const heard: string[] = [];
  channel.onFrame([{ id: 0, mask: 0, extended: false }], (one) => heard.push(frameText(one)));
  const data = Uint8Array.of(1);
  channel.send({ id: 1, extended: false, data });
  data[0] = 9;
  await clock.advance(5);
  channel.send(frame(2, []));
  cancel();
  channel.send(frame(3, []));
  t.same(observed, ["001#01 at 1000", "002# at 1005"], "frames keep their data");
  t.match(can.sent(), { dropped: 1, entries: [{ id: 2 }, { id: 3 }] });
  can.setFull(true);
  await expectCode(t, "FULL", ["can can0"], () => channel.send(frame(4, [])));
  can.setFull(false);
  channel.send(frame(4, []));
  world.failNth("canSend", 1);
  await expectCode(t, "IO", ["canSend"], () => channel.send(frame(5, [])));
  world.failNth("openCan", 1);
  await expectCode(t, "IO", ["openCan"], () => board.openCan("late", "can0"));
  await expectCode(t, "ARGUMENT", ["2048"], () => can.send(frame(0x800, [])));
  can.setState("down");
  can.send(frame(6, []));
  can.setState("bus-off", "wires crossed");
  can.send(frame(7, []));
  t.equal(can.state(), "bus-off");
  world.reset();
  t.equal(channel.state(), "active");
  t.same(can.sent(), { entries: [], dropped: 0 });
  can.send(frame(8, []));
  t.same(heard, ["008#"]);
  t.same(world.claimed(), ["can can0 of gcbaf"]);
  channel.close();
  t.same(world.claimed(), []);
});

t.test("a board that is closed while a channel is on its way, at whatever moment, keeps nothing open", async (t) => {
  let refused = 0;
  for (let turns = 0; turns < 80; turns++) {
    const { board, world } = fresh();
    const chip = world.attachPca9685(1, 0x40);
    const opening = board.openPwm("servo", servo(0, "GPIO5"), SERVO_PERIOD_NS).then(
      () => "opened",
      (error: unknown) => (error instanceof AgentError ? error.code : String(error)),
    );
    for (let i = 0; i < turns; i++) await Promise.resolve();
    await board.close();
    const outcome = await opening;
    t.match(outcome, /^(opened|IO)$/, `after ${turns} turns`);
    if (outcome === "IO") refused += 1;
    t.same(world.claimed(), []);
    t.equal(chip.dutyRatio(0), 0);
    t.match(pinTrace(world, "GPIO5"), /^(output:high (low high )?release:low)?$/);
  }
  t.ok(refused > 2 && refused < 80, `both ways were met: ${refused} refused`);
});
