import type { AgentError } from "../contract/errors.ts";
import type { Reply, Request } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";

/** Collects the bytes of one turn's replies, so that they leave in one write. */
export interface ByteSink {
  /** One character per byte. */
  latin1(bytes: string): void;
  bytes(bytes: Uint8Array): void;
}

/** Bytes to requests and replies to bytes, for one connection. Knows no sockets and no time. */
export interface Codec {
  /** Takes bytes as they come, cut anywhere; returns the requests they completed, in order. */
  push(chunk: Uint8Array): readonly Request[];
  /** Nothing has come for the silence limit, or the peer has ended its side: returns what that completes. */
  quiet(): readonly Request[];
  /** Something has come that is not complete, and silence would complete it: the listener runs the silence timer. */
  readonly awaitsSilence: boolean;
  /** Bytes of a request that has not come whole; 0 between requests. */
  readonly pendingBytes: number;
  /** Set when the bytes cannot be understood (SYNTAX) or exceed a limit (LIMIT): answer it, then close. What `push` returned before stands. */
  readonly failure: AgentError | undefined;
  /** One request per connection: after its reply the input is drained and the connection closed. */
  readonly oneShot: boolean;
  /** For `oneShot`: the client's line has ended and nothing else is to be expected, so the connection need not wait before it is closed. */
  readonly spoken: boolean;
  /** Writes `reply` to `request`; `request` is absent for a failure. */
  format(reply: Reply, request: Request | undefined, sink: ByteSink): void;
  /** Writes something the client subscribed to. */
  formatPush(message: readonly Value[], sink: ByteSink): void;
}
