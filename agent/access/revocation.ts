import { DER, derAt, derParts, derTimeMs } from "./der.ts";

/** What a file of revocation lists says. */
export interface Revocations {
  /** Issuer and serial number of each revoked certificate, as `certificateKey` has them. */
  readonly keys: ReadonlySet<string>;
  /** When the first of the lists stops being valid; Infinity when none says. From then on no certificate is let in. */
  readonly untilMs: number;
}

/** Issuer and serial number of a certificate in DER: what a revocation list names it by. Throws RangeError when it is none. */
export function certificateKey(der: Buffer): string {
  const [tbs] = derParts(derAt(der).content);
  const parts = derParts(tbs?.content ?? Buffer.alloc(0));
  // An explicit version stands before the serial number in every certificate that has extensions.
  const at = parts[0]?.tag === 0xa0 ? 1 : 0;
  const serial = parts[at];
  const issuer = parts[at + 2];
  if (serial?.tag !== DER.integer || issuer?.tag !== DER.sequence) throw new RangeError("it is no certificate");
  return keyOf(issuer.whole, serial.content);
}

/** Reads every list of a PEM text. Throws RangeError when one is none, or there is none at all. */
export function readRevocations(pem: string): Revocations {
  const lists = [...pem.matchAll(/-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g)];
  if (lists.length === 0) throw new RangeError("there is no X509 CRL in it");
  const keys = new Set<string>();
  let untilMs = Infinity;
  for (const [, base64 = ""] of lists) {
    const list = readList(Buffer.from(base64, "base64"));
    for (const key of list.keys) keys.add(key);
    untilMs = Math.min(untilMs, list.untilMs);
  }
  return { keys, untilMs };
}

/** CertificateList of RFC 5280, section 5.1: version, signature, issuer, this update, next update, revoked certificates. */
function readList(der: Buffer): { readonly keys: readonly string[]; readonly untilMs: number } {
  const [tbs] = derParts(derAt(der).content);
  const parts = derParts(tbs?.content ?? Buffer.alloc(0));
  if (parts[0]?.tag === DER.integer) parts.shift();
  const [, issuer, , ...rest] = parts;
  if (issuer?.tag !== DER.sequence) throw new RangeError("it is no revocation list");
  const next = rest[0];
  const hasNext = next?.tag === DER.utcTime || next?.tag === DER.generalizedTime;
  const revoked = rest[hasNext ? 1 : 0];
  const entries = revoked?.tag === DER.sequence ? derParts(revoked.content) : [];
  const keys = entries.map(({ content }) => keyOf(issuer.whole, derAt(content).content));
  return { keys, untilMs: hasNext ? derTimeMs(next) : Infinity };
}

function keyOf(issuer: Buffer, serial: Buffer): string {
  return `${issuer.toString("base64")}:${serial.toString("hex")}`;
}
