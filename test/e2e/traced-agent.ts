// The real agent command with one driver more, run as a process by ending.test.ts and in the virtual board: it throws where nobody catches, and writes down what the pins did.
import { readFileSync, writeFileSync } from "node:fs";

import { z } from "zod";

import { agentCommand } from "../../agent/cli/agent.ts";
import { createProcessIo } from "../../agent/cli/io.ts";
import { MODULE_CONTRACT, defineDriver, defineFunction, STILL_LEASE, type DeviceModule } from "../../agent/contract/device.ts";
import { deviceModules } from "../../agent/modules.ts";
import { pinTrace } from "../helpers/fake-device-context.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";

const io = createProcessIo();
const board = createSimBoard({ clock: io.clock });

const tracer = defineDriver({
  name: "tracer",
  summary: "throws on demand, and writes the history of some lines to a file when the process exits",
  options: z.strictObject({ lines: z.array(z.string()), file: z.string() }),
  moves: false,
  lease: STILL_LEASE,
  claims: () => [],
  async open(_context, { lines, file }) {
    process.on("exit", () => {
      if (lines.length > 0)
        writeFileSync(file, JSON.stringify(Object.fromEntries(lines.map((line) => [line, pinTrace(board.world, line)]))));
    });
    return {
      functions: {
        explode: defineFunction({
          summary: "throws later, from a timer",
          params: z.object({}),
          effect: "read",
          call() {
            // The context's clock would make it a fault of this device alone.
            setTimeout(() => {
              throw new Error("a driver exploded");
            }, 1);
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
const modules: readonly DeviceModule[] = [...deviceModules, { name: "test", contract: MODULE_CONTRACT, drivers: [tracer] }];
process.exitCode = await agentCommand({ config, state }, io, modules, loadsSim(config) ? board : undefined);

/** In the virtual board the lines are the kernel's, and somebody else looks at them. */
function loadsSim(file: string): boolean {
  return /^board: sim$/m.test(readFileSync(file, "utf8"));
}
