import { NO_CLAIM, type Claim } from "./claim.ts";
import { NO_LEASE, type Lease } from "./lease.ts";
import type { AgentError } from "../contract/errors.ts";
import type { Device, DevicePolicy, LeaseRange } from "../contract/device.ts";
import type { EventId } from "../contract/request.ts";

/** What the supervisor is told of a device when it opens. */
export interface Supervised {
  readonly id: string;
  readonly device: Device;
  readonly policy: DevicePolicy;
  readonly lease: LeaseRange;
  /** Whether it can move something: then it goes safe at once when the front is lost. */
  readonly moves: boolean;
  /**
   * Told when the lease ends that somebody has on it, on the monotonic clock, each time that changes; -Infinity while nobody has one. For those that
   * end a lease themselves should this thread be late.
   */
  readonly showLease?: ((untilMs: number) => void) | undefined;
}

/** A function's arguments by name, checked. */
export type Arguments = Record<string, unknown>;

/** One command: who gives it, how urgently, and for how long it may stand. */
export interface Order {
  readonly caller: string;
  readonly priority: number;
  readonly leaseMs: number | undefined;
  /** Rises with every command of a stream; one that is not newer than the last is refused STALE. */
  readonly seq: number | undefined;
  /** Of the claim it is given under; one that was not given last is refused STALE. Undefined for an order that needs none. */
  readonly token: string | undefined;
  readonly cause: EventId;
}

/** One device under supervision. Read by others, written only by the supervisor. */
export interface Slot extends Supervised {
  readonly current: Readonly<Lease>;
  readonly fault: AgentError | undefined;
  /** The latest event about the device. */
  readonly event: EventId;
}

export interface MutableSlot extends Supervised {
  current: Readonly<Lease>;
  fault: AgentError | undefined;
  /** How often it has faulted. */
  faults: number;
  /** The fault was nothing but a lost port, of this device or of one of its motion group: it ends when the port is back. */
  passing: boolean;
  /** Another device cannot offer a port of it any more. */
  portsLost: boolean;
  /** The cause of the device's next event. */
  event: EventId;
  abort: AbortController;
  /** A call or a failsafe in progress; later calls wait for it. */
  pending: Promise<unknown> | undefined;
  waiting: number;
  claim: Readonly<Claim>;
  seqCaller: string;
  seq: number;
  /** It is being closed: nothing actuates it any more, and what a call of before still reports is no fault. */
  ending: boolean;
  /** Settles once it is closed; there as soon as that has begun. */
  ended: Promise<void> | undefined;
}

export function createSlot(supervised: Supervised): MutableSlot {
  return {
    ...supervised,
    current: NO_LEASE,
    fault: undefined,
    faults: 0,
    passing: false,
    portsLost: false,
    event: 0,
    abort: new AbortController(),
    pending: undefined,
    waiting: 0,
    claim: NO_CLAIM,
    seqCaller: "",
    seq: -Infinity,
    ending: false,
    ended: undefined,
  };
}
