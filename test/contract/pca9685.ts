import type { Test } from "tap";

import { behavioursOf, type Opened } from "./behaviour.ts";
import { expectCode } from "./board.ts";
import type { Board, PwmOutput } from "../../agent/contract/board.ts";
import type { Eventually } from "../../agent/contract/value.ts";
import type { I2cBus } from "../../agent/contract/i2c.ts";

/** The chip's other side. */
export interface Pca9685World {
  /** 4096 parts of the period in which the channel is on, as the chip's registers say. */
  ticks(channel: number): Eventually<number>;
  register(register: number): Eventually<number>;
  /** The level of the line of output-enable. */
  enableLevel(): Eventually<boolean>;
  /** The chip as somebody left it who died with channel 5 at half and an own divider. */
  leaveRunning(): Eventually<void>;
  close?(): Eventually<void>;
}

export interface Pca9685Setup {
  open(): Promise<Opened<Board, Pca9685World>>;
  readonly bus: I2cBus;
  readonly address: number;
  /** An address of the same bus where nothing answers. */
  readonly absent: number;
  readonly enableLine: string;
  /** Writing the registers for all channels changes each channel's, as it does on the chip; where it is a stub each channel is written when the first one opens. */
  readonly allChannelsRegister: boolean;
}

const SERVO_PERIOD_NS = 20_000_000;
const MODE1 = 0x00;
const MODE2 = 0x01;
const ALL_LED_OFF_H = 0xfd;
const PRE_SCALE = 0xfe;

/** PWM channels on a PCA9685 that the board drives over I2C. One subtest of `t` per behaviour, each on a fresh board. */
export function pca9685Contract(t: Test, setup: Pca9685Setup): void {
  const { bus, address, absent, enableLine } = setup;

  function openChannel(board: Board, owner: string, channel: number, periodNs = SERVO_PERIOD_NS, more: object = {}): Promise<PwmOutput> {
    return board.openPwm(owner, { pca9685: { bus, address, channel, ...more } }, periodNs);
  }

  const behaviour = behavioursOf(t, () => setup.open());

  behaviour("a servo's pulse is in the registers, off at first and at last", async (t, board, world) => {
    const servo = await openChannel(board, "servo", 0);
    t.equal(await world.ticks(0), 0, "no pulse until the first command");
    t.equal(await world.register(PRE_SCALE), 121, "25 MHz / (4096 * 50 Hz) - 1");
    t.equal(await world.register(MODE1), 0x20, "awake, counting registers up, deaf to the addresses of all chips");
    t.equal(await world.register(MODE2), 0x04, "totem pole, low while output-enable is high");
    for (const [ratio, ticks] of [
      [1.5 / 20, 307],
      [1, 4096],
      [0.5, 2048],
      [1 / 4096, 1],
      [4095 / 4096, 4095],
      [0.0001, 0],
      [0.9999, 4096],
      [0.1, 410],
      [0, 0],
      [0.25, 1024],
    ] as const) {
      await servo.write(ratio);
      t.equal(await world.ticks(0), ticks, `duty ${ratio}`);
    }
    await servo.close();
    await servo.close();
    t.equal(await world.ticks(0), 0);
    await expectCode(t, "IO", ["closed"], async () => servo.write(0.5));
    t.equal((await world.register(ALL_LED_OFF_H)) & 0x10, setup.allChannelsRegister ? 0 : 0x10, "the last channel turns all of them off");
  });

  behaviour("the channels of a chip are several devices', and each has one owner", async (t, board, world) => {
    const outputs = await Promise.all([3, 4, 15].map((channel) => openChannel(board, `servo${channel}`, channel)));
    await Promise.all(outputs.map(async (output, i) => output.write((i + 1) / 10)));
    t.same([await world.ticks(3), await world.ticks(4), await world.ticks(15)], [410, 819, 1229]);
    await expectCode(t, "IN_USE", ["servo4"], () => openChannel(board, "lamp", 4));
    await expectCode(t, "IN_USE", ["pca9685"], () => board.openI2c("sensor", { bus, address }));
    await outputs[1]?.close();
    t.same([await world.ticks(3), await world.ticks(4), await world.ticks(15)], [410, 0, 1229], "the others go on");
    const again = await openChannel(board, "lamp", 4);
    t.same([await world.ticks(3), await world.ticks(4)], [410, 0]);
    await again.write(1);
    t.same([await world.ticks(3), await world.ticks(4), await world.ticks(15)], [410, 4096, 1229]);
    await board.close();
    for (const channel of [3, 4, 15]) t.equal(await world.ticks(channel), 0, `channel ${channel} ends with the board`);
  });

  behaviour("a chip has one period", async (t, board, world) => {
    const servo = await openChannel(board, "servo", 0);
    await expectCode(t, "IN_USE", ["1000000 ns", "servo", "20000000 ns"], () => openChannel(board, "lamp", 1, 1_000_000));
    await openChannel(board, "second", 1, SERVO_PERIOD_NS + 1000);
    await servo.write(0.5);
    t.equal(await world.ticks(0), 2048);
    await board.close();
  });

  behaviour("a period the chip cannot do is refused, those at its limits are not", async (t, board, world) => {
    for (const periodNs of [41_943_040, 655_360]) {
      const output = await openChannel(board, "servo", 0, periodNs);
      t.equal(await world.register(PRE_SCALE), periodNs === 655_360 ? 3 : 255);
      await output.close();
    }
    for (const periodNs of [0, -1, Number.NaN, 500_000, 43_000_000]) {
      await expectCode(t, "ARGUMENT", [String(periodNs)], () => openChannel(board, "servo", 0, periodNs));
    }
    await (await openChannel(board, "servo", 0)).close();
  });

  behaviour("a duty outside 0 to 1 is refused and changes nothing", async (t, board, world) => {
    const output = await openChannel(board, "servo", 0);
    await output.write(0.5);
    for (const ratio of [-0.01, 1.01, Number.NaN, Infinity])
      await expectCode(t, "ARGUMENT", [String(ratio)], async () => output.write(ratio));
    t.equal(await world.ticks(0), 2048);
  });

  behaviour("a chip left running is silent from the first channel on", async (t, board, world) => {
    await world.leaveRunning();
    t.equal(await world.ticks(5), 2048);
    const output = await openChannel(board, "servo", 0);
    for (const channel of [0, 5]) t.equal(await world.ticks(channel), 0);
    t.equal(await world.register(PRE_SCALE), 121);
    await output.write(0.5);
    t.equal(await world.ticks(5), 0);
  });

  behaviour("of what is written meanwhile the latest counts, for every channel", async (t, board, world) => {
    const outputs = await Promise.all(Array.from({ length: 16 }, (_, channel) => openChannel(board, `servo${channel}`, channel)));
    const writes: Promise<void>[] = [];
    for (let round = 1; round <= 50; round++) {
      for (const [channel, output] of outputs.entries()) writes.push(Promise.resolve(output.write((round * 16 + channel) / 4096)));
      if (round % 10 === 0) await writes.at(-1);
    }
    await Promise.all(writes);
    for (let channel = 0; channel < 16; channel++) t.equal(await world.ticks(channel), 50 * 16 + channel);
  });

  behaviour(
    "output-enable is high until the chip is set up, low while channels are open, high when the last has gone",
    async (t, board, world) => {
      const withEnable = { outputEnable: enableLine };
      const servo = await openChannel(board, "servo", 0, SERVO_PERIOD_NS, withEnable);
      t.equal(await world.enableLevel(), false);
      await expectCode(t, "ARGUMENT", ["servo", enableLine], () => openChannel(board, "lamp", 1));
      const second = await openChannel(board, "lamp", 1, SERVO_PERIOD_NS, withEnable);
      await expectCode(t, "IN_USE", ["pca9685"], () => board.openOutput("pump", { name: enableLine }, false));
      await servo.close();
      t.equal(await world.enableLevel(), false);
      await second.close();
      const pump = await board.openOutput("pump", { name: enableLine }, false);
      pump.close();
    },
  );

  behaviour("a chip that does not answer is named and keeps nothing", async (t, board) => {
    for (let i = 0; i < 2; i++) {
      await expectCode(t, "IO", [`0x${absent.toString(16)}`], () =>
        board.openPwm("servo", { pca9685: { bus, address: absent, channel: 0, outputEnable: enableLine } }, SERVO_PERIOD_NS),
      );
    }
    const pump = await board.openOutput("pump", { name: enableLine }, false);
    pump.close();
  });

  behaviour("a bus or a channel that is not there is named", async (t, board) => {
    await expectCode(t, "UNKNOWN", ["0 to 15"], () => openChannel(board, "servo", 16));
    await expectCode(t, "UNKNOWN", ["99"], () => board.openPwm("servo", { pca9685: { bus: 99, address, channel: 0 } }, SERVO_PERIOD_NS));
  });
}
