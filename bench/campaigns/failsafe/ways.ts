// Every way to lose what drives a device.
import { LEASE_MS, SILENCE_MS, STALE_MS } from "./configuration.ts";
import { orderByClient, orderByStream, type Orders } from "./orders.ts";
import type { Agent, Listening } from "./subject.ts";

export interface Way {
  readonly name: string;
  readonly order: (listening: Listening) => Promise<Orders | undefined>;
  /** What happens, `odd` every other time; resolves once the rest of it may take its time. */
  readonly happen: (agent: Agent, orders: Orders, odd: boolean) => Promise<void> | void;
  /** From when on a port counts as late. */
  readonly dueMs: (eventMs: number, orders: Orders, moves: boolean) => number;
  /** Nothing of the agent is left: a process has to start, and ends again once it has written. */
  readonly nothingLeft: boolean;
  /** The agent by itself starts another device host, through which everything stays safe. */
  readonly restarts: boolean;
  /** Puts right what happened. Answers whether the agent goes on. */
  readonly repair: (agent: Agent) => Promise<boolean>;
}

const leaseEnd = (_eventMs: number, orders: Orders): number => orders.lastMs() + LEASE_MS;
const nothing = (): Promise<boolean> => Promise.resolve(true);
const startAgain = (): Promise<boolean> => Promise.resolve(false);

async function untilReady(agent: Agent): Promise<boolean> {
  await agent.untilReady();
  return true;
}

export const WAYS: readonly Way[] = [
  {
    name: "front killed",
    order: orderByClient,
    happen: (agent) => agent.kill("SIGKILL", "front"),
    // What moves goes safe at once; what does not keeps the lease it has.
    dueMs: (eventMs, orders, moves) => (moves ? eventMs : Math.max(eventMs, leaseEnd(eventMs, orders))),
    nothingLeft: false,
    restarts: false,
    repair: startAgain,
  },
  {
    name: "front stopped",
    order: orderByClient,
    happen: (agent) => agent.kill("SIGSTOP", "front"),
    dueMs: leaseEnd,
    nothingLeft: false,
    restarts: false,
    async repair(agent) {
      agent.kill("SIGCONT", "front");
      return untilReady(agent);
    },
  },
  {
    name: "network cut",
    order: orderByClient,
    happen: (_agent, orders, odd) => orders.cut(odd ? "reset" : "silent"),
    dueMs: leaseEnd,
    nothingLeft: false,
    restarts: false,
    repair: nothing,
  },
  {
    name: "analytics stream cut",
    order: orderByStream,
    happen: (_agent, orders, odd) => orders.cut(odd ? "reset" : "silent"),
    dueMs: (_eventMs, orders) => orders.lastMs() + STALE_MS + LEASE_MS,
    nothingLeft: false,
    restarts: false,
    repair: nothing,
  },
  {
    name: "device host killed",
    order: orderByClient,
    happen: (agent) => agent.kill("SIGKILL", "host"),
    dueMs: (eventMs) => eventMs,
    nothingLeft: false,
    restarts: true,
    repair: untilReady,
  },
  {
    name: "device host stopped",
    order: orderByClient,
    happen: (agent) => agent.kill("SIGSTOP", "host"),
    dueMs: (eventMs) => eventMs + SILENCE_MS,
    nothingLeft: false,
    restarts: true,
    repair: untilReady,
  },
  {
    name: "both killed, then virgo safe-state",
    order: orderByClient,
    async happen(agent) {
      agent.killAll();
      await agent.safeState();
    },
    dueMs: (eventMs) => eventMs,
    nothingLeft: true,
    restarts: false,
    repair: startAgain,
  },
];
