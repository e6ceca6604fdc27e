import { ERROR_CODES } from "./contract/errors.ts";
import type { ErrorCode } from "./contract/errors.ts";

export interface ListenerStats {
  /** Connections open now. */
  open: number;
  /** Connections ever accepted. */
  accepted: number;
  /** Connections closed because there were too many, or because the peer may not speak the dialect. */
  refused: number;
  /** Connections closed because nothing came, or nothing was read, for too long. */
  expired: number;
  requests: number;
  /** Bytes of requests that have not come whole, all connections together. */
  bytesPending: number;
  bytesIn: number;
  bytesOut: number;
  /** Error replies, by their code. */
  readonly errors: Record<ErrorCode, number>;
  /** ECONNRESET, EPIPE and their like. */
  socketErrors: number;
}

export function createStats(): ListenerStats {
  return {
    open: 0,
    accepted: 0,
    refused: 0,
    expired: 0,
    requests: 0,
    bytesPending: 0,
    bytesIn: 0,
    bytesOut: 0,
    errors: Object.fromEntries(ERROR_CODES.map((code) => [code, 0])) as Record<ErrorCode, number>,
    socketErrors: 0,
  };
}
