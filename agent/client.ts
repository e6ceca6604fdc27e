import { createSystemClock } from "./clock.ts";
import { createClassicClient as createClassic, type ClassicClient, type ClassicClientOptions } from "./fleet/classic-client.ts";
import { createClient as create, type Client, type ClientOptions as AllOptions } from "./fleet/client.ts";
import type { Clock } from "./contract/clock.ts";

export { AgentError, type ErrorCode } from "./contract/errors.ts";
export type { Value } from "./contract/value.ts";
export type { VariableValue } from "./contract/variable.ts";
export { mayRepeat, type Client } from "./fleet/client.ts";
export type { ClassicClient, ClassicPorts } from "./fleet/classic-client.ts";
export { parseNodeList, readNodeList, type NodeEntry, type NodeList } from "./fleet/conf.ts";
export type { BackOffOptions } from "./contract/back-off.ts";
export type { TlsMaterial } from "./fleet/connection.ts";
export type { CloneCallOptions, DeviceDescription, DeviceVerbs, FunctionDescription } from "./fleet/client/devices.ts";
export type { EventGraph, EventVerbs, GraphEdge, GraphVertex, TailedEvent } from "./fleet/client/events.ts";
export type { CopyOptions, Descriptor, FileDescription, FileVerbs } from "./fleet/client/files.ts";
export type { MemoryVerbs, SetOptions, Vuid } from "./fleet/client/memory.ts";
export type { DequeueOptions, EnqueueOptions, Message, QueueVerbs, Ticket } from "./fleet/client/queue.ts";
export type { ListedVariable, VariableChange, VariableVerbs, WatchOptions } from "./fleet/client/variables.ts";
export type { Argument } from "./fleet/client/words.ts";

export type ClientOptions = Omit<AllOptions, "clock"> & Partial<Pick<AllOptions, "clock">>;

/** A client of one agent or several; see `Client`. The process lives on while something is asked or subscribed to. */
export function createClient(options: ClientOptions): Client {
  return create({ ...options, clock: options.clock ?? createWaitingClock() });
}

/** A client of an original VIRGO node; see `ClassicClient`. */
export function createClassicClient(
  options: Omit<ClassicClientOptions, "clock"> & Partial<Pick<ClassicClientOptions, "clock">>,
): ClassicClient {
  return createClassic({ ...options, clock: options.clock ?? createWaitingClock() });
}

/** The agent's timers do not keep its process alive. Whoever waits for an answer, or for a node to come back, wants to be kept waiting. */
function createWaitingClock(): Clock {
  return {
    ...createSystemClock(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
  };
}
