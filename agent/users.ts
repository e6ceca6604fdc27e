import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";

import type { ByteString } from "./contract/request.ts";
import type { Peer } from "./conversation.ts";

/** Who may authenticate, as the configuration has it. */
export interface User {
  readonly name: string;
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly tokenSha256: string;
  /** Highest priority the user may ask for, 0–255. */
  readonly priority: number;
}

export interface Users {
  readonly count: number;
  /** The user of that token, undefined when there is none; any user when `name` is undefined. Takes the same time whoever it is not. */
  find(name: string | undefined, token: ByteString): User | undefined;
}

export function createUsers(users: readonly User[]): Users {
  const digests = users.map((user) => Buffer.from(user.tokenSha256, "hex"));
  return {
    count: users.length,
    find(name, token) {
      const digest = createHash("sha256").update(token, "latin1").digest();
      let found: User | undefined;
      users.forEach((user, i) => {
        const same = timingSafeEqual(digest, digests[i] as Buffer);
        if (same && (name === undefined || name === user.name)) found ??= user;
      });
      return found;
    },
  };
}

/** Whether a peer may speak the classic dialect: loopback always, others when an entry (`192.168.2.80`, `192.168.2.0/24`, `fd00::/8`) covers them. */
export function createAllowList(entries: readonly string[]): (peer: Peer) => boolean {
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
