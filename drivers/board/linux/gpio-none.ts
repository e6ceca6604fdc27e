import { AgentError } from "../../../agent/contract/errors.ts";
import { keysOf, type GpioBackend } from "./gpio-backend.ts";
import { lineText } from "../../../agent/contract/board.ts";

/** No GPIO, as on most machines that are no single-board computer: every line is refused NOT_READY, and the board's other ports work. */
export function createNoGpioBackend(boardName: string): GpioBackend {
  function refusal(what: string): AgentError {
    const hint = "write board: auto on a machine with GPIO, or board: sim to run without hardware";
    return new AgentError("NOT_READY", `${what}: board ${boardName} has no GPIO (gpio: none); ${hint}`);
  }
  return {
    kind: "linux-no-gpio",
    chips: () => [],
    find(ref) {
      throw refusal(`line ${lineText(ref)}`);
    },
    openOutputs: (_owner, lines) => Promise.reject(refusal(keysOf(lines))),
    openInput: (_owner, line) => Promise.reject(refusal(keysOf([line]))),
  };
}
