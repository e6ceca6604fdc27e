import { AgentError } from "../../../agent/contract/errors.ts";
import type { DigitalInput, DigitalOutputs, Edge, InputOptions, LineRef } from "../../../agent/contract/board.ts";
import type { Cancel } from "../../../agent/contract/clock.ts";
import type { GpioChip } from "./line-lookup.ts";

/** A line of one backend, found and named. */
export interface BackendLine {
  /** What claims and errors call it: `line GPIO17`. */
  readonly key: string;
  readonly chip: GpioChip;
  readonly offset: number;
}

/** One of the ways to GPIO lines, or none. The board claims a line before it opens it and gives the claim back after closing. */
export interface GpioBackend {
  readonly kind: "linux-cdev" | "linux-sysfs" | "linux-no-gpio";
  /** The chips there are now. */
  chips(): readonly GpioChip[];
  /** Throws UNKNOWN, ARGUMENT or DENIED. */
  find(ref: LineRef): BackendLine;
  /** `lines` are of one chip, none twice. Rejects IN_USE naming who holds a line outside this agent. */
  openOutputs(owner: string, lines: readonly BackendLine[], initial: readonly boolean[]): Promise<DigitalOutputs>;
  openInput(owner: string, line: BackendLine, options: InputOptions): Promise<DigitalInput>;
}

/** A longer debounce than one minute is a mistake in the unit. */
export const MAX_DEBOUNCE_US = 60_000_000;

export function keysOf(lines: readonly BackendLine[]): string {
  return lines.map(({ key }) => key).join(", ");
}

/** How one backend drives and gives back the lines of a request. */
export interface OutputPort {
  /** Drives every line, and notes in `driven` what each was brought to, also when a later one fails. Throws IO. */
  drive(levels: readonly boolean[], driven: boolean[]): void;
  release(): void;
}

/** Outputs called `what`, driving `initial` from the start. */
export function createOutputs(what: string, initial: readonly boolean[], port: OutputPort): DigitalOutputs {
  const driven = [...initial];
  let open = true;
  return {
    write(levels) {
      if (!open) throw new AgentError("IO", `${what} is closed`);
      if (levels.length !== driven.length) {
        throw new AgentError("ARGUMENT", `${what}: ${driven.length} levels are expected, got ${levels.length}`);
      }
      port.drive(levels, driven);
    },
    levels: () => driven,
    close() {
      if (!open) return;
      open = false;
      port.release();
    },
  };
}

/** Who listens to one input. */
export interface EdgeListeners {
  /** The first listener starts the watch; throws what that throws. The last one to cancel ends it. */
  add(edge: (edge: Edge) => void, failed: ((error: AgentError) => void) | undefined): Cancel;
  emit(edge: Edge): void;
  /** Ends the watch and tells everyone; throws `error` when somebody did not ask to be told. */
  fail(error: AgentError): void;
  /** Ends the watch, telling nobody. */
  clear(): void;
}

interface Listener {
  readonly edge: (edge: Edge) => void;
  readonly failed: ((error: AgentError) => void) | undefined;
}

export function createEdgeListeners(watch: () => void, unwatch: () => void): EdgeListeners {
  const listeners = new Set<Listener>();

  function clear(): void {
    if (listeners.size === 0) return;
    listeners.clear();
    unwatch();
  }

  return {
    add(edge, failed) {
      if (listeners.size === 0) watch();
      const listener: Listener = { edge, failed };
      listeners.add(listener);
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) unwatch();
      };
    },
    emit(edge) {
      for (const listener of listeners) listener.edge(edge);
    },
    fail(error) {
      const lost = [...listeners];
      clear();
      for (const { failed } of lost) failed?.(error);
      if (lost.some(({ failed }) => failed === undefined)) throw error;
    },
    clear,
  };
}
