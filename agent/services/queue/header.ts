import { isIPv4 } from "node:net";

import type { ByteString } from "../../contract/request.ts";

/** How the header names a sender without an IPv4 address: a rule, a UNIX socket, an IPv6 peer. */
const NO_ADDRESS = "0";

const REPLY_START = "REPLY#";

/** A reply as the original sends it: the header of the request it is to, then text. */
export interface ReplyToken {
  readonly ip: string;
  /** `sec:nsec` */
  readonly stamp: string;
  readonly text: ByteString;
}

/** An address as the header has it: an IPv4 address in host order, hexadecimal without leading zeros. 127.0.0.1 is `7f000001`. */
export function addressHex(address: string | undefined): string {
  if (address === undefined) return NO_ADDRESS;
  if (address === "::1") return "7f000001";
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  if (!isIPv4(plain)) return NO_ADDRESS;
  return plain
    .split(".")
    .reduce((sum, part) => sum * 256 + Number(part), 0)
    .toString(16);
}

/** Whether a payload is meant as a reply, well formed or not. */
export function isReplyToken(payload: ByteString): boolean {
  return payload.startsWith(REPLY_START);
}

/** Takes `REPLY#<ip>#<sec>:<nsec>` apart, and what follows after a `#` or blanks. Undefined for what has no such header. */
export function readReplyToken(payload: ByteString): ReplyToken | undefined {
  const [header, ip, stamp] = /^REPLY#([0-9a-f]{1,16})#(\d+:\d+)/.exec(payload) ?? [];
  if (header === undefined || ip === undefined || stamp === undefined) return undefined;
  const rest = payload.slice(header.length);
  return { ip, stamp, text: rest.startsWith("#") ? rest.slice(1) : rest.trimStart() };
}
