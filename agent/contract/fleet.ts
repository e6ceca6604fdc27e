import type { Reply, Request } from "./request.ts";

/** The other nodes this one knows, and how they are asked. */
export interface Fleet {
  /** This node's own name. */
  readonly self: string;
  /** The names of the others, in the order of the configuration. */
  readonly others: readonly string[];
  /**
   * Asks another node. Never rejects: IO naming the node when it cannot be reached, TIMEOUT naming it when it has not answered within `deadlineMs`,
   * UNKNOWN for a name that is not among `others`; what the node itself answers is passed on as it is.
   */
  ask(node: string, request: Request, deadlineMs: number): Promise<Reply>;
  /**
   * A node drawn by the balancer out of `self` and `others`. With `fn` (`lamp.on`) only nodes that have that function: undefined when none does.
   * Nodes known to be down are left out as long as others are up, those in `tried` always.
   */
  pick(fn?: string, tried?: ReadonlySet<string>): Promise<string | undefined>;
  /** Whether it is certain that nothing was done for what `ask` answered so: then another node may be asked instead. */
  refused?(reply: Reply): boolean;
  /** Tells the balancer how a request ended, for its learned execution times. */
  learned(node: string, fn: string, tookMs: number): void;
}
