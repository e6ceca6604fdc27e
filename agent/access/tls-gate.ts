import { createServer } from "node:tls";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

import { messageOf } from "../contract/errors.ts";
import { certificateKey } from "./revocation.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { CertificateIdentity } from "./certificate.ts";
import type { Tls } from "./tls.ts";

/** What becomes of a connection that wants to come in over TLS; exactly one of the two is called. */
export interface Admission {
  /** The handshake is done, and the certificate, if there is one, is good. */
  admitted(socket: TLSSocket, certificate: CertificateIdentity | undefined): void;
  /** `socket` is there when the handshake is done: it can still be told why. It is destroyed otherwise. */
  refused(reason: string, socket: TLSSocket | undefined): void;
}

/** Holds TLS 1.3 handshakes on sockets that a listener accepted. */
export interface TlsGate {
  open(socket: Socket, admission: Admission): void;
  /** Ends the handshakes that are in progress. */
  close(): void;
}

/** What OpenSSL says of a certificate, for people. */
const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is the clock of this machine right?",
  CERT_REVOKED: "its certificate is revoked",
  CRL_HAS_EXPIRED: "its certificate cannot be checked: the revocation list has expired",
  CRL_NOT_YET_VALID: "its certificate cannot be checked: the revocation list is not valid yet; is the clock of this machine right?",
  UNABLE_TO_GET_CRL: "its certificate cannot be checked: there is no revocation list of its authority",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not of the authority in tls.ca",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not of the authority in tls.ca",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate is not of the authority in tls.ca",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is not of the authority in tls.ca",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not of the authority in tls.ca",
  CERT_SIGNATURE_FAILURE: "its certificate is not of the authority in tls.ca",
  INVALID_PURPOSE: "its certificate is not one for clients",
};

interface Pending {
  readonly socket: Socket;
  readonly admission: Admission;
  readonly cancelTimer: Cancel;
}

export function createTlsGate(tls: Tls, clock: Clock): TlsGate {
  const pending = new Map<string, Pending>();
  // Refusals are decided here and not by Node, which would close without a word of why.
  const server = createServer({ ...tls.context, requestCert: true, rejectUnauthorized: false, allowHalfOpen: true });
  const stopFollowing = tls.onChange(() => {
    server.setSecureContext(tls.context);
  });

  /** The admission of a socket, once. */
  function take(key: string): Admission | undefined {
    const found = pending.get(key);
    pending.delete(key);
    found?.cancelTimer();
    return found?.admission;
  }

  server.on("secureConnection", (socket) => {
    const admission = take(keyOf(socket));
    if (admission === undefined) {
      socket.destroy();
      return;
    }
    const shown = identityOf(socket, tls);
    if (typeof shown === "string") admission.refused(shown, socket);
    else admission.admitted(socket, shown);
  });
  server.on("tlsClientError", (error, socket) => {
    socket.on("error", () => socket.destroy());
    take(keyOf(socket))?.refused(`no TLS 1.3 handshake: ${reasonOf(error)}`, undefined);
    socket.destroy();
  });

  return {
    open(socket, admission) {
      const key = keyOf(socket);
      const cancelTimer = clock.after(tls.handshakeMs, () => {
        take(key)?.refused(`no TLS handshake within tls.handshakeMs, ${tls.handshakeMs} ms`, undefined);
        socket.destroy();
      });
      pending.set(key, { socket, admission, cancelTimer });
      socket.on("close", () => {
        take(key)?.refused("it left during the TLS handshake", undefined);
      });
      server.emit("connection", socket);
    },
    close() {
      stopFollowing();
      for (const { socket } of pending.values()) socket.destroy();
    },
  };
}

/** Few words, and always the same ones: OpenSSL's message names a thread. */
function reasonOf(error: Error & { readonly reason?: string; readonly code?: string }): string {
  return error.reason ?? error.code ?? messageOf(error);
}

/** Of all connections that are open, only one has that address and port. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ""} ${socket.remotePort ?? 0}`;
}

/** Who the peer has shown to be, undefined when it showed nothing and need not, or why it is not let in. */
function identityOf(socket: TLSSocket, tls: Tls): CertificateIdentity | undefined | string {
  const shown = socket.getPeerX509Certificate();
  if (shown === undefined) return tls.clients === "any" ? undefined : "it shows no client certificate";
  if (!socket.authorized) {
    const code = String(socket.authorizationError);
    return REASONS[code] ?? `its certificate is not accepted: ${code}`;
  }
  const key = certificateKey(shown.raw);
  if (tls.isRevoked(key)) return "its certificate is revoked";
  const commonName: unknown = shown.toLegacyObject().subject.CN;
  if (typeof commonName !== "string" || commonName === "") return "its certificate has not one common name";
  return {
    commonName,
    altNames: shown.subjectAltName ?? "",
    fingerprint: shown.fingerprint256.replaceAll(":", "").toLowerCase(),
    key,
  };
}
