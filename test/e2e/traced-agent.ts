// The real agent command with one driver more, run as a process by ending.test.ts and in the virtual board: it throws where nobody catches, and writes down what the pins did.
import { writeFileSync } from "node:fs";

import { z } from "zod";

import { agentCommand } from "../../agent/cli/agent.ts";
import { createProcessIo } from "../../agent/cli/io.ts";
import { MODULE_CONTRACT, defineDriver, defineFunction, STILL_LEASE } from "../../agent/contract/device.ts";
import { deviceModules } from "../../agent/modules.ts";
import { pinTrace } from "../helpers/fake-device-context.ts";
import type { SimBoard } from "../../drivers/board/sim/sim-board.ts";

const tracer = defineDriver({
  name: "tracer",
  summary: "throws on demand, and writes the history of some lines to a file when the process exits",
  options: z.strictObject({ lines: z.array(z.string()), file: z.string() }),
  moves: false,
  lease: STILL_LEASE,
  claims: () => [],
  async open({ board, clock }, { lines, file }) {
    const { world } = board as Partial<SimBoard>;
    process.on("exit", () => {
      if (world !== undefined) writeFileSync(file, JSON.stringify(Object.fromEntries(lines.map((line) => [line, pinTrace(world, line)]))));
    });
    return {
      functions: {
        explode: defineFunction({
          summary: "throws later, from a timer",
          params: z.object({}),
          effect: "read",
          call() {
            clock.after(1, () => {
              throw new Error("a driver exploded");
            });
            return null;
          },
        }),
        reject: defineFunction({
          summary: "leaves a rejection that nobody handles",
          params: z.object({}),
          effect: "read",
          call() {
            void Promise.reject(new Error("a driver let go of a promise"));
            return null;
          },
        }),
      },
      close: () => undefined,
    };
  },
});

const [config = "", state = ""] = process.argv.slice(2);
process.exitCode = await agentCommand({ config, state }, createProcessIo(), [
  ...deviceModules,
  { name: "test", contract: MODULE_CONTRACT, drivers: [tracer] },
]);
