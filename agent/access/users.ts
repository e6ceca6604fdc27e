import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";

import { compilePermits } from "./permits.ts";
import { AgentError } from "../contract/errors.ts";
import type { ByteString, Permits } from "../contract/request.ts";

/** A user as the configuration and the users' file have it. */
export interface UserEntry {
  readonly name: string;
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly tokenSha256?: string | undefined;
  /** Common name of the client certificate; `*` stands for any characters. */
  readonly certificate?: string | undefined;
  /** Highest priority the user may ask for, 0–255. */
  readonly priority: number;
  /** What the user may touch; everything when absent. */
  readonly allow?: readonly string[] | undefined;
  /** Requests per second. */
  readonly perSecond?: number | undefined;
  readonly revoked?: boolean | undefined;
}

/** Somebody who was recognised. */
export interface User {
  /** What the user is called. For a certificate that a pattern covers: the user's name, a colon and the certificate's common name. */
  readonly name: string;
  readonly priority: number;
  /** Everything when undefined. */
  readonly permits: Permits | undefined;
  readonly perSecond: number | undefined;
  /** Known, and not let in. */
  readonly revoked: boolean;
}

export interface Users {
  /** Users there are, those that are revoked as well. */
  readonly count: number;
  /** Another number whenever users were replaced. */
  readonly revision: number;
  /** The user whose token has that digest, whoever it is when `name` is undefined. Takes the same time whoever it is not. */
  withToken(name: string | undefined, digest: Buffer): User | undefined;
  /** The user whose certificate has that common name, else the first whose pattern covers it. The name alone proves nothing: the handshake has. */
  withCertificate(commonName: string): User | undefined;
  /** Takes these users beside the first ones, instead of those it was given the last time. Throws ARGUMENT for a name that is there twice: nothing changes then. */
  replace(more: readonly UserEntry[]): void;
}

interface Known extends User {
  readonly digest: Buffer | undefined;
  readonly certificate: string | undefined;
}

/** Users of the configuration, which stay, and others that may be replaced. */
export function createUsers(fixed: readonly UserEntry[]): Users {
  const first = fixed.map(known);
  let all: readonly Known[] = first;
  let revision = 0;
  return {
    get count() {
      return all.length;
    },
    get revision() {
      return revision;
    },
    withToken(name, digest) {
      let found: User | undefined;
      for (const user of all) {
        if (user.digest === undefined) continue;
        const same = timingSafeEqual(digest, user.digest);
        if (same && (name === undefined || name === user.name)) found ??= user;
      }
      return found;
    },
    withCertificate(commonName) {
      const named = all.find((user) => user.certificate === commonName);
      if (named !== undefined) return named;
      const covering = all.find((user) => user.certificate?.includes("*") === true && covers(user.certificate, commonName));
      // Each is a caller of its own: whoever holds a device is not to be taken for another.
      return covering === undefined ? undefined : { ...covering, name: `${covering.name}:${commonName}` };
    },
    replace(more) {
      const next = [...fixed, ...more];
      const twice = next.find(({ name }, i) => next.findIndex((other) => other.name === name) < i);
      if (twice !== undefined) throw new AgentError("ARGUMENT", `two users are called ${twice.name}; give each a name of its own`);
      all = [...first, ...more.map(known)];
      revision += 1;
    },
  };
}

/** What is kept of a token. Tokens are random and long, so one round of a fast hash is enough. */
export function tokenDigest(token: ByteString): Buffer {
  return createHash("sha256").update(token, "latin1").digest();
}

function known(entry: UserEntry): Known {
  return {
    name: entry.name,
    priority: entry.priority,
    permits: entry.allow === undefined || entry.allow.includes("*") ? undefined : compilePermits(entry.allow),
    perSecond: entry.perSecond,
    revoked: entry.revoked === true,
    digest: entry.tokenSha256 === undefined ? undefined : Buffer.from(entry.tokenSha256, "hex"),
    certificate: entry.certificate,
  };
}

/** The parts between the stars, each looked for after the one before: the leftmost place is always good enough. */
function covers(pattern: string, name: string): boolean {
  const parts = pattern.split("*");
  const start = parts[0] ?? "";
  const end = parts.at(-1) ?? "";
  if (name.length < start.length + end.length || !name.startsWith(start) || !name.endsWith(end)) return false;
  let from = start.length;
  for (const part of parts.slice(1, -1)) {
    const at = name.indexOf(part, from);
    if (at < 0 || at + part.length > name.length - end.length) return false;
    from = at + part.length;
  }
  return true;
}

/** Whether a peer may speak the classic dialect: loopback always, others when an entry (`192.168.2.80`, `192.168.2.0/24`, `fd00::/8`) covers them. */
export function createAllowList(entries: readonly string[]): (peer: { readonly address: string; readonly loopback: boolean }) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", prefix] = entry.split("/");
    if (prefix === undefined) list.addAddress(address, family(address));
    else list.addSubnet(address, Number(prefix), family(address));
  }
  return (peer) => peer.loopback || list.check(peer.address, family(peer.address));
}

function family(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
