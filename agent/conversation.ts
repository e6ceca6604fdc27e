import type { CertificateIdentity } from "./access/certificate.ts";
import type { AgentError } from "./contract/errors.ts";
import type { Request, Reply } from "./contract/request.ts";
import type { Eventually, Value } from "./contract/value.ts";
import type { Codec } from "./wire/codec.ts";

/** Who is at the other end of a connection. */
export interface Peer {
  /** `127.0.0.1`, `fe80::1`; `local` for a UNIX socket. */
  readonly address: string;
  /** On this machine. */
  readonly loopback: boolean;
  /** Came over TLS: then being on this machine proves nothing. */
  readonly secure?: boolean;
  /** The certificate it showed and proved to be its own. */
  readonly certificate?: CertificateIdentity;
}

/** What a conversation may do with the connection it is held over. */
export interface Link {
  /** Differs from that of every other connection of this listener. */
  readonly id: number;
  readonly peer: Peer;
  /** Aborted when the connection is gone. */
  readonly signal: AbortSignal;
  /** Sends something the client subscribed to. From then on the connection may be silent for as long as it likes. */
  readonly push: (message: readonly Value[]) => void;
  /** Closes the connection once everything asked up to and including the present request is answered. */
  readonly end: () => void;
}

/** What is behind one connection: how its bytes are understood and who answers. */
export interface Conversation {
  readonly codec: Codec;
  /** Must not throw; what it throws or rejects with all the same is answered IO and logged. */
  handle(request: Request): Eventually<Reply>;
  /** Told of every error that is answered, just before it is; `request` is undefined when it answers none. Must not throw. */
  readonly failed?: (error: AgentError, request: Request | undefined) => void;
}
