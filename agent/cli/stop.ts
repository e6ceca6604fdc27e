import { ask } from "./ask.ts";
import { valueText } from "./print.ts";
import type { AskOptions } from "./ask.ts";
import type { CliIo } from "./io.ts";

export interface EstopOptions extends AskOptions {
  readonly reset?: boolean;
}

/** `virgo estop`: latches the emergency stop; with `reset` clears it. */
export function estopCommand(options: EstopOptions, io: CliIo): Promise<number> {
  return ask("ESTOP", options.reset === true ? ["RESET"] : [], options, io, valueText);
}

/** `virgo reset DEVICE`, or `virgo reset HOST`: out of a fault, out of safe mode. */
export function resetCommand(what: string, options: AskOptions, io: CliIo): Promise<number> {
  return ask("RESET", [what], options, io, valueText);
}
