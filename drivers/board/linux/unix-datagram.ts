import { closeSync } from "node:fs";

import { AgentError } from "../../../agent/contract/errors.ts";
import { loadKoffi } from "./koffi.ts";
import { errnoName, errnoText } from "./libc.ts";

/** Sends datagrams to one UNIX address; Node has no sockets of this kind. */
export interface UnixDatagram {
  /** False when the receiver's queue is full. Throws IO naming the address. */
  send(text: string): boolean;
  close(): void;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** `sun_path` of unix(7). */
const MAX_PATH_BYTES = 108;

/**
 * `struct sockaddr_un` for a path, or for an abstract name, which begins with @ and has no NUL at its end: unix(7). Throws ARGUMENT for what is no absolute
 * path and what is too long.
 */
export function encodeUnixAddress(address: string): Buffer {
  const abstract = address.startsWith("@");
  if (!abstract && !address.startsWith("/")) {
    throw new AgentError("ARGUMENT", `${address} is no UNIX address; it begins with / or, for an abstract name, with @`);
  }
  const name = Buffer.from(abstract ? `\0${address.slice(1)}` : `${address}\0`);
  if (name.length > MAX_PATH_BYTES) {
    throw new AgentError("ARGUMENT", `${address}: a UNIX address has up to ${MAX_PATH_BYTES - 1} bytes, this one ${name.length}`);
  }
  const family = Buffer.alloc(2);
  family[endianOffset()] = AF_UNIX;
  return Buffer.concat([family, name]);
}

/** Where the low byte of a 16-bit number of this machine lies. */
function endianOffset(): number {
  return new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;
}

/** Rejects NOT_READY without the package koffi, ARGUMENT for what is no address, IO when there is no descriptor. */
export async function openUnixDatagram(address: string): Promise<UnixDatagram> {
  const { koffi, library } = await loadKoffi();
  const to = encodeUnixAddress(address);
  const socket: (domain: number, type: number, protocol: number) => number = library.func("int socket(int domain, int type, int protocol)");
  const sendto: (fd: number, bytes: Buffer, size: number, flags: number, to: Buffer, toSize: number) => number = library.func(
    "long sendto(int fd, const void *bytes, size_t size, int flags, const void *to, unsigned int toSize)",
  );
  let fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new AgentError("IO", `no UNIX socket: ${errnoText(koffi.errno())}`);
  return {
    send(text) {
      const bytes = Buffer.from(text);
      if (sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, to, to.length) >= 0) return true;
      const errno = koffi.errno();
      if (errnoName(errno) === "EAGAIN") return false;
      throw new AgentError("IO", `${address} does not take what is sent: ${errnoText(errno)}`);
    },
    close() {
      if (fd < 0) return;
      closeSync(fd);
      fd = -1;
    },
  };
}
