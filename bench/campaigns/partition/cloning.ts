import { setTimeout as wait } from "node:timers/promises";

import { toAgentError } from "../../../agent/contract/errors.ts";
import type { Client } from "../../../agent/fleet/client.ts";

export interface Tally {
  /** Of those that were done. */
  readonly tookMs: number[];
  /** How often each error, and OK. */
  readonly codes: Record<string, number>;
}

const GAP_MS = 20;

/** Clones to any node, one after the other, until stopped. */
export function startCloning(
  client: Client,
  deadlineMs: number,
  progress: (line: string) => void,
): { readonly tally: Tally; stop(): Promise<Tally> } {
  const tally: Tally = { tookMs: [], codes: {} };
  const state = { stopped: false };
  const count = (code: string): void => {
    tally.codes[code] = (tally.codes[code] ?? 0) + 1;
  };
  async function work(): Promise<void> {
    while (!state.stopped) {
      const startedMs = performance.now();
      try {
        // The client waits a little longer than the agent, so that it is the agent that says what became of it.
        await client.call("CLONE", ["NODE", "ANY", "DEADLINE", String(deadlineMs), "lamp.on"], { deadlineMs: deadlineMs + 1000 });
        tally.tookMs.push(performance.now() - startedMs);
        count("OK");
      } catch (thrown) {
        const { code, message } = toAgentError(thrown);
        progress(`to any: ${code} after ${Math.round(performance.now() - startedMs)} ms: ${message}`);
        count(code);
      }
      await wait(GAP_MS);
    }
  }
  const working = work();
  return {
    tally,
    async stop() {
      state.stopped = true;
      await working;
      return tally;
    },
  };
}
