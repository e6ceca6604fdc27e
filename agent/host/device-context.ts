import { AgentError, messageOf } from "../contract/errors.ts";
import { createScopedBoard } from "./scoped-board.ts";
import { tickEvery } from "./ticker.ts";
import type { Board } from "../contract/board.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { DeviceContext, PortOwner } from "../contract/device.ts";
import type { Offers } from "./offers.ts";
import type { Log } from "../contract/log.ts";
import type { Variables } from "../contract/variable.ts";

export interface DeviceScopeOptions {
  readonly id: string;
  readonly board: Board;
  readonly clock: Clock;
  readonly variables: Pick<Variables, "get" | "set">;
  readonly log: Log;
  /** Told what goes wrong in the device's own timers and listeners, and what it reports itself. */
  readonly fault: (error: unknown) => void;
  /** Told of ports of other devices that are lost, until those offer them again; `fault` when absent. */
  readonly lost?: PortOwner["lost"] | undefined;
  /** Calls a device's ticks; timers of the clock when absent. */
  readonly every?: DeviceContext["every"];
  /** Chips of other devices; none where devices cannot offer any. */
  readonly offers?: Offers | undefined;
}

/** What one device gets to work with, for as long as it is open. */
export interface DeviceScope {
  readonly context: DeviceContext;
  /** Ends its timers and whatever ports it left open; names these. What it publishes and opens later comes to nothing. */
  end(): Promise<readonly string[]>;
}

/** Whatever a device does outside of its functions stays with it: what throws there faults it, and nothing of it goes on once it is closed. */
export function createDeviceScope(options: DeviceScopeOptions): DeviceScope {
  const { id, board, clock, variables, log, fault } = options;
  const every: DeviceContext["every"] = options.every ?? ((periodMs, tick) => tickEvery(clock, periodMs, tick));
  const scoped = createScopedBoard(board, id, fault, options.offers, options.lost);
  const tickers = new Set<Cancel>();
  const offered = new Set<Cancel>();
  const unpublished = new Set<string>();
  let ended = false;

  const context: DeviceContext = {
    id,
    board: scoped.board,
    clock: {
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => clock.wallMs(),
      after: (delayMs, run) =>
        clock.after(delayMs, () => {
          if (ended) return;
          try {
            run();
          } catch (error) {
            fault(error);
          }
        }),
    },
    publish(name, value, freshMs = Infinity) {
      if (ended) return;
      const full = `${id}.${name}`;
      try {
        variables.set(full, value, id, freshMs);
      } catch (error) {
        // A full store must not stop a device from working: what it publishes is lost, and said once per variable.
        if (unpublished.has(full)) return;
        unpublished.add(full);
        log.warn({ device: id, variable: full }, `${full} cannot be published: ${messageOf(error)}`);
      }
    },
    fault,
    variable: (name) => variables.get(name),
    every(periodMs, tick) {
      if (!(periodMs >= 1)) throw new AgentError("ARGUMENT", `${id}: a tick every ${periodMs} ms; 1 or more is expected`);
      const cancel = every(periodMs, (nowMs, missed) => {
        if (ended) return;
        try {
          tick(nowMs, missed);
        } catch (error) {
          fault(error);
        }
      });
      tickers.add(cancel);
      if (ended) cancel();
      return () => {
        cancel();
        tickers.delete(cancel);
      };
    },
    offer(chip) {
      if (options.offers === undefined) throw new AgentError("NOT_READY", `${id}: devices cannot offer ports here`);
      if (ended) throw new AgentError("NOT_READY", `${id} is closed; it cannot offer ports`);
      const cancel = options.offers.offer(id, chip);
      offered.add(cancel);
      return () => {
        cancel();
        offered.delete(cancel);
      };
    },
  };

  return {
    context,
    end() {
      ended = true;
      for (const cancel of tickers) cancel();
      tickers.clear();
      for (const cancel of offered) cancel();
      offered.clear();
      return scoped.end();
    },
  };
}
