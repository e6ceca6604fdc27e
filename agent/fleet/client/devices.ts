import { optionWords, wordOf, type Argument } from "./words.ts";
import type { Value } from "../../contract/value.ts";
import type { Hub } from "./hub.ts";

export interface CloneCallOptions {
  /** How long the command may stand without being repeated, milliseconds; the device's default otherwise. */
  readonly leaseMs?: number;
  /** Time for the answer, milliseconds. The agent is told as well, and gives up by then. */
  readonly deadlineMs?: number;
  /** 0 to 255; the caller's own otherwise. */
  readonly priority?: number;
  /** Number of a command in a stream; one that is not newer than the last is refused STALE. */
  readonly seq?: number;
  /** The node to do it, or `ANY`: the agent sends it on. */
  readonly node?: string;
}

/** A function as DEVICES describes it. */
export interface FunctionDescription {
  /** `lamp.on` */
  readonly name: string;
  readonly summary: string;
  readonly effect: "read" | "actuate";
  /** JSON Schema of each, in order, with its name. */
  readonly params: readonly { readonly name: string; readonly [key: string]: Value }[];
}

export interface DeviceDescription {
  readonly id: string;
  readonly driver: string;
  readonly summary: string;
  /** `ready`, `faulted`, `e-stopped`, or why it is not open. */
  readonly state: string;
  readonly reason: string | null;
  readonly holder: { readonly name: string; readonly priority: number; readonly leaseLeftMs: number } | null;
  readonly functions: readonly FunctionDescription[];
}

export interface DeviceVerbs {
  /** Calls a device's function and resolves with its value. Is never repeated by itself: send it again to keep the lease. */
  clone(fn: string, args?: readonly Argument[], options?: CloneCallOptions): Promise<Value>;
  devices(): Promise<readonly DeviceDescription[]>;
  /** One device in full: options, lease range, variables and latest events too. */
  describe(id: string): Promise<DeviceDescription & { readonly [key: string]: Value }>;
  /** Makes a faulted device safe and usable again. */
  reset(id: string): Promise<void>;
  /** Latches the emergency stop: everything goes safe. May be repeated as often as one likes. */
  eStop(): Promise<void>;
  clearEStop(): Promise<void>;
}

export function createDeviceVerbs(hub: Hub): DeviceVerbs {
  return {
    async clone(fn, args = [], { leaseMs, deadlineMs, priority, seq, node } = {}) {
      const options = optionWords({ NODE: node, LEASE: leaseMs, DEADLINE: deadlineMs, PRIORITY: priority, SEQ: seq });
      const named = node?.toUpperCase() === "ANY" ? undefined : node;
      const { value } = await hub.ask("CLONE", [...options, fn, ...args.map(wordOf)], {
        node: named,
        anywhere: node === undefined,
        deadlineMs,
      });
      return value;
    },
    async devices() {
      return (await hub.ask("DEVICES", [])).value as unknown as readonly DeviceDescription[];
    },
    async describe(id) {
      return (await hub.ask("DESCRIBE", [id])).value as unknown as DeviceDescription & { readonly [key: string]: Value };
    },
    async reset(id) {
      await hub.ask("RESET", [id]);
    },
    async eStop() {
      await hub.ask("ESTOP", []);
    },
    async clearEStop() {
      await hub.ask("ESTOP", ["RESET"]);
    },
  };
}
