import { lineRef, type Board } from "../../agent/contract/board.ts";
import type { BoardDefinition } from "../../agent/contract/board-definition.ts";
import type { Clock } from "../../agent/contract/clock.ts";
import type { Log } from "../../agent/contract/log.ts";
import type { Roots } from "./linux/sysfs-file.ts";

export interface OpenBoardOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Where the kernel shows itself; the machine's own folders when absent. */
  readonly roots?: Roots;
  /** The board file that comes with the agent for a machine of this model, for `auto`; undefined when there is none. */
  definitionFor?(model: string): BoardDefinition | undefined;
}

/**
 * Opens the board the configuration asks for. `auto` is this machine's own hardware and never the simulated board: an agent that only seems to drive
 * something is worse than one that says it cannot. Rejects NOT_READY or DENIED, saying what is missing and what to do.
 * The board not asked for is not loaded, nor are its native packages.
 */
export async function openBoard(choice: "auto" | "sim" | BoardDefinition, options: OpenBoardOptions): Promise<Board> {
  const { clock, log, roots } = options;
  if (choice === "sim" || (choice !== "auto" && choice.kind === "sim")) {
    const { createSimBoard } = await import("./sim/sim-board.ts");
    if (choice === "sim") return createSimBoard({ clock });
    const { i2c, sim } = choice;
    const lines = offsetsOf(choice);
    return createSimBoard({ clock, i2c, ...sim, ...(Object.keys(lines).length === 0 ? {} : { lines }) });
  }
  const { createLinuxBoard, readModel } = await import("./linux/linux-board.ts");
  if (choice !== "auto") return createLinuxBoard({ definition: choice, clock, log, roots });
  const model = readModel(roots);
  const definition = model === undefined ? undefined : options.definitionFor?.(model);
  return createLinuxBoard({ definition, clock, log, roots });
}

/** The simulated board has one chip; a pin map's offsets are taken as that chip's. */
function offsetsOf({ lines }: BoardDefinition): Record<string, number> {
  const offsets: Record<string, number> = {};
  for (const [name, text] of Object.entries(lines)) {
    const ref = lineRef(text);
    if ("offset" in ref) offsets[name] = ref.offset;
  }
  return offsets;
}
