import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import t from "tap";
import { parse } from "yaml";
import { z } from "zod";

import { boardContract } from "./board.ts";
import { boardDefinitionSchema } from "../../agent/contract/board-definition.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createJumperWorld } from "./jumpers.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { lineRefSchema, pwmChipRefSchema } from "../../agent/contract/board.ts";
import { openBoard } from "../../drivers/board/auto.ts";

/** What a file for TEST_BOARD says. */
const testBoardSchema = z.strictObject({
  /** A board file's content; the machine's own hardware as it is found when absent. */
  board: boardDefinitionSchema.optional(),
  /** Two wires, each from a line that is driven to one that is read, all on one chip and with nothing else on them. */
  jumpers: z.tuple([z.tuple([lineRefSchema, lineRefSchema]), z.tuple([lineRefSchema, lineRefSchema])]),
  /** The first driven line by chip label and offset. */
  byOffset: lineRefSchema,
  /** A PWM channel with nothing on it. */
  pwm: pwmChipRefSchema.optional(),
});

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

t.test("two jumper wires are enough of a world to keep the contract in", (t) => {
  const clock = createFakeClock();
  boardContract(t, {
    async open() {
      const board = createSimBoard({ clock });
      board.world.wire("GPIO17", "GPIO22");
      board.world.wire("GPIO27", "GPIO23");
      return {
        board,
        world: createJumperWorld(board, [
          ["GPIO17", "GPIO22"],
          ["GPIO27", "GPIO23"],
        ]),
      };
    },
    lines: { out: ["GPIO17", "GPIO27"], in: ["GPIO22", "GPIO23"], byOffset: "sim:17" },
    capabilities: { pull: true, kernelStamp: true, debounce: "hardware" },
    settle: () => clock.advance(20),
  });
  t.end();
});

const file = process.env["TEST_BOARD"];

if (file === undefined) {
  t.comment("real hardware: wire two pairs of lines, say which in a YAML file (board, jumpers, byOffset, pwm) and set TEST_BOARD=FILE");
} else {
  const { board: definition, jumpers, byOffset, pwm } = testBoardSchema.parse(parse(readFileSync(file, "utf8")));
  const [[outA, inA], [outB, inB]] = jumpers;
  const open = () => openBoard(definition ?? "auto", { clock: createSystemClock(), log: SILENT });
  const probe = await open();
  const isCdev = probe.describe().kind === "linux-cdev";
  await probe.close();

  t.test(`the hardware of ${file} keeps the contract of boards`, { timeout: 120_000 }, (t) => {
    boardContract(t, {
      async open() {
        const board = await open();
        return { board, world: createJumperWorld(board, jumpers) };
      },
      lines: { out: [outA, outB], in: [inA, inB], byOffset },
      // The line at a wire's other end has a pull of its own, which this one would have to fight.
      capabilities: {
        pull: false,
        kernelStamp: isCdev,
        debounce: isCdev ? "hardware" : "software",
        ...(pwm !== undefined && { pwm: { ref: pwm } }),
      },
      settle: () => delay(20),
    });
    t.end();
  });
}
