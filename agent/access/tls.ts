import { constants, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { SecureContextOptions } from "node:tls";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { followFiles } from "./followed-files.ts";
import { readRevocations } from "./revocation.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { TlsOptions } from "./options.ts";
import type { Revocations } from "./revocation.ts";

/** What a secure listener shows and demands. Follows its files: certificates are renewed and revoked without a restart. */
export interface Tls {
  /** As the files are now. */
  readonly context: SecureContextOptions;
  /** Whether clients must show a certificate, or may authenticate otherwise. */
  readonly clients: TlsOptions["clients"];
  readonly handshakeMs: number;
  /** Whether the certificate of that issuer and serial number is on the revocation list. */
  isRevoked(key: string): boolean;
  /** Called after the files were read again. */
  onChange(listener: () => void): Cancel;
  close(): void;
}

export interface OpenTlsOptions extends TlsOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/** A certificate that ends sooner than this is worth a warning. */
const SOON_MS = 14 * 86_400_000;

interface Material {
  readonly context: SecureContextOptions;
  readonly revocations: Revocations;
  /** What will be trouble soon. */
  readonly warnings: readonly string[];
}

/** Throws ARGUMENT when a file cannot be read or does not fit the others. Later mistakes leave what was read before in force, and are logged. */
export function openTls(options: OpenTlsOptions): Tls {
  const { clock, log, clients, handshakeMs } = options;
  const listeners = new Set<() => void>();
  let material = read();

  function read(): Material {
    const now = readMaterial(options, clock.wallMs());
    for (const warning of now.warnings) log.warn({}, warning);
    return now;
  }

  function changed(): void {
    try {
      material = read();
      log.info({ certificate: options.certificate }, "certificates and revocations were read again");
    } catch (error) {
      log.error({ code: toAgentError(error).code }, `${messageOf(error)}; what was read before stays in force`);
      return;
    }
    for (const listener of listeners) listener();
  }

  const files = [options.certificate, options.key, options.ca, ...(options.revoked === undefined ? [] : [options.revoked])];
  const stop = followFiles({ files, clock, changed });
  return {
    get context() {
      return material.context;
    },
    clients,
    handshakeMs,
    isRevoked: (key) => material.revocations.keys.has(key),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: stop,
  };
}

function readMaterial(options: TlsOptions, nowMs: number): Material {
  const cert = readPem("tls.certificate", options.certificate);
  const key = readPem("tls.key", options.key);
  const ca = readPem("tls.ca", options.ca);
  const crl = options.revoked === undefined ? undefined : readPem("tls.revoked", options.revoked);
  const warnings: string[] = [];
  const shown = tried("tls.certificate", options.certificate, () => new X509Certificate(cert));
  const privateKey = tried("tls.key", options.key, () => createPrivateKey(key));
  if (!shown.checkPrivateKey(privateKey)) {
    throw new AgentError("ARGUMENT", `tls.key ${options.key} is not the key of tls.certificate ${options.certificate}`);
  }
  tried("tls.ca", options.ca, () => new X509Certificate(ca));
  const revocations = tried("tls.revoked", options.revoked ?? "", () =>
    crl === undefined ? { keys: new Set<string>(), untilMs: Infinity } : readRevocations(crl),
  );
  const context: SecureContextOptions = {
    cert,
    key,
    ca,
    ...(crl !== undefined && { crl }),
    minVersion: "TLSv1.3",
    // A resumed session would come in without its certificate being looked at again: revoked, expired or none at all.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
  tried("tls", "", () => createSecureContext(context));
  const mode = statSync(options.key).mode & 0o077;
  if (mode !== 0) warnings.push(`tls.key ${options.key} can be read by others than its owner; chmod 600 ${options.key}`);
  addExpiry(warnings, `tls.certificate ${options.certificate}`, Date.parse(shown.validTo), nowMs);
  addExpiry(warnings, `tls.revoked ${options.revoked ?? ""}`, revocations.untilMs, nowMs);
  return { context, revocations, warnings };
}

function addExpiry(warnings: string[], what: string, untilMs: number, nowMs: number): void {
  if (untilMs - nowMs > SOON_MS) return;
  const when = new Date(untilMs).toISOString();
  warnings.push(
    untilMs <= nowMs ? `${what} has expired at ${when}; nobody is let in until it is renewed` : `${what} expires at ${when}; renew it`,
  );
}

function readPem(option: string, file: string): string {
  return tried(option, file, () => readFileSync(file, "utf8"));
}

function tried<T>(option: string, file: string, attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    throw new AgentError("ARGUMENT", `${option} ${file} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}
