import type { Test } from "tap";

import { behavioursOf } from "./behaviour.ts";
import { expectCode } from "./board.ts";
import type { Board } from "../../agent/contract/board.ts";
import type { I2cBus } from "../../agent/contract/i2c.ts";

export interface I2cSetup {
  /** A fresh board on which the chip is free. */
  open(): Promise<Board>;
  readonly bus: I2cBus;
  /** Another name of the bus, if it has one. */
  readonly alias?: I2cBus;
  /** A chip of 256 registers that hold what is written to them, of 8 bits where byte and block are concerned. */
  readonly address: number;
  /** An address of the same bus where nothing answers. */
  readonly absent: number;
  /** Whether the chip's words are its bytes: the low one at the register, the high one after it. */
  readonly wordsAreBytes: boolean;
}

/** What I2C is on every board. One subtest of `t` per behaviour, each on a fresh board. */
export function i2cContract(t: Test, setup: I2cSetup): void {
  const { bus, address, absent } = setup;
  const chip = { bus, address };

  const behaviour = behavioursOf(t, async () => ({ board: await setup.open(), world: {} }));

  behaviour("a register holds the byte, the word and the block that are written to it", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    for (const value of [0, 0xff, 0x5a]) {
      await device.writeByte(0x20, value);
      t.equal(await device.readByte(0x20), value);
    }
    for (const value of [0, 0xffff, 0x1234]) {
      await device.writeWord(0x30, value);
      t.equal(await device.readWord(0x30), value);
    }
    for (const length of [1, 4, 31, 32]) {
      const bytes = Uint8Array.from({ length }, (_, i) => (0xf0 + i) & 0xff);
      await device.writeBlock(0x40, bytes);
      t.same([...(await device.readBlock(0x40, length))], [...bytes]);
    }
    t.equal(await device.readByte(0x5f), 0x0f, "the last byte of the block is in the last register of it");
    if (setup.wordsAreBytes) t.same([await device.readByte(0x30), await device.readByte(0x31)], [0x34, 0x12], "the low byte comes first");
  });

  behaviour("transfers run in the order they were asked for, without waiting for one another", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    const done: string[] = [];
    const bytes = Uint8Array.of(1, 2, 3);
    const transfers = [
      device.writeByte(0x20, 1).then(() => done.push("first")),
      device.writeByte(0x20, 2).then(() => done.push("second")),
      device.readByte(0x20).then((value) => done.push(`read ${value}`)),
      device.writeBlock(0x50, bytes).then(() => done.push("block")),
      device.writeByte(0x20, 3).then(() => done.push("third")),
    ];
    bytes.fill(9);
    await Promise.all(transfers);
    t.same(done, ["first", "second", "read 2", "block", "third"]);
    t.equal(await device.readByte(0x20), 3);
    t.equal(await device.readByte(0x52), 3, "a block is what it was when it was asked for");
  });

  behaviour("what is no register, value or block is refused before it gets to the bus", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    await device.writeByte(0x20, 7);
    for (const register of [-1, 256, 0.5, Number.NaN]) {
      await expectCode(t, "ARGUMENT", [String(register)], () => device.readByte(register));
      await expectCode(t, "ARGUMENT", [String(register)], () => device.writeBlock(register, Uint8Array.of(1)));
    }
    await expectCode(t, "ARGUMENT", ["256"], () => device.writeByte(0x20, 256));
    await expectCode(t, "ARGUMENT", ["65536"], () => device.writeWord(0x20, 65536));
    await expectCode(t, "ARGUMENT", ["0 bytes"], () => device.writeBlock(0x20, new Uint8Array(0)));
    await expectCode(t, "ARGUMENT", ["33 bytes"], () => device.readBlock(0x20, 33));
    t.equal(await device.readByte(0x20), 7);
  });

  behaviour("a chip that does not answer is named", async (t, board) => {
    const text = `0x${absent.toString(16)}`;
    const device = await board.openI2c("sensor", { bus, address: absent });
    await expectCode(t, "IO", [text, "does not answer"], () => device.readByte(0));
    await expectCode(t, "IO", [text], () => device.writeBlock(0, Uint8Array.of(1, 2)));
    const there = await board.openI2c("other", chip);
    await there.writeByte(0x20, 0x11);
    t.equal(await there.readByte(0x20), 0x11, "the bus works on");
  });

  behaviour("a bus that is not there is named with those that are", async (t, board) => {
    await expectCode(t, "UNKNOWN", ["bus 99", String(bus)], () => board.openI2c("sensor", { bus: 99, address }));
    await expectCode(t, "UNKNOWN", ["no-such-adapter"], () => board.openI2c("sensor", { bus: "no-such-adapter", address }));
  });

  behaviour("a chip has one owner, whatever its bus is called", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    for (const name of setup.alias === undefined ? [bus] : [bus, setup.alias]) {
      await expectCode(t, "IN_USE", ["sensor"], () => board.openI2c("other", { bus: name, address }));
    }
    device.close();
    device.close();
    await expectCode(t, "IO", ["closed"], () => device.readByte(0));
    const again = await board.openI2c("other", { bus: setup.alias ?? bus, address });
    device.close();
    await again.writeByte(0x20, 1);
    t.equal(await again.readByte(0x20), 1, "closing again takes nothing from the next owner");
  });

  behaviour("closing while transfers wait lets the one under way end and refuses the others", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    const first = device.writeByte(0x20, 5);
    device.close();
    await first.catch((error: unknown) => t.match(error, { code: "IO" }));
    await expectCode(t, "IO", ["closed"], () => device.writeByte(0x20, 6));
    const again = await board.openI2c("sensor", chip);
    t.not(await again.readByte(0x20), 6);
  });

  behaviour("closing the board closes its chips", async (t, board) => {
    const device = await board.openI2c("sensor", chip);
    await board.close();
    await expectCode(t, "IO", ["closed"], () => device.readByte(0));
    await expectCode(t, "IO", ["closed"], () => board.openI2c("sensor", chip));
  });
}
