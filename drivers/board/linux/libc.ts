import { getSystemErrorMap } from "node:util";

import { AgentError } from "../../../agent/contract/errors.ts";
import { loadKoffi } from "./koffi.ts";

/** The system calls Node has no function for. They throw IO with the system's word for it. */
export interface Libc {
  /** `ioctl` with a structure; 0, or the error number. */
  ioctl(fd: number, request: number, structure: Buffer): number;
  /** The same for calls that take their time, on Node's thread pool. `structure` and what it points to must stay as they are until then. */
  ioctlAsync(fd: number, request: number, structure: Buffer): Promise<number>;
  /** `ioctl` with a number; 0, or the error number. */
  ioctlNumber(fd: number, request: number, value: number): number;
  /** Where the bytes lie, for a structure that points to others. They must not move: take a Buffer over an ArrayBuffer of its own. */
  addressOf(bytes: Buffer): bigint;
  /**
   * Locks one byte of an open file for its descriptor, against every other descriptor of this and other processes; false when somebody has it.
   * Closing the descriptor, or dying, gives it back.
   */
  lockByte(fd: number, offset: number): boolean;
  /** The descriptor, or the negative error number; non-blocking, and closed in programs that are started. */
  socket(domain: number, type: number, protocol: number): number;
  /** 0, or the error number. */
  bind(fd: number, address: Buffer): number;
  setSocketOption(fd: number, level: number, name: number, value: Buffer): void;
  /** The number of bytes, or the negative error number. */
  read(fd: number, bytes: Buffer): number;
  write(fd: number, bytes: Buffer): number;
  /** Reads of `fd` answer EAGAIN instead of waiting. */
  setNonBlocking(fd: number): void;
  /** A counter that wakes whoever waits for its descriptor. */
  eventfd(): number;
  epollCreate(): number;
  /** Waits for input on `fd` once; `epollRearm` waits again. Whoever waits on `epollFd` gets `token`. */
  epollAdd(epollFd: number, fd: number, token: number): void;
  epollRearm(epollFd: number, fd: number, token: number): void;
  epollRemove(epollFd: number, fd: number): void;
}

const F_SETFL = 4;
/** Locks of the open file, not of the process: fcntl(2). */
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
/** `struct flock` with 64-bit offsets: type, whence, start, length, process. */
const FLOCK = { bytes: 32, startAt: 8, lengthAt: 16 };
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const O_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x001;
const EPOLLONESHOT = 1 << 30;

/** `struct epoll_event` is packed on x86 and aligned elsewhere. */
export const EPOLL_EVENT = process.arch === "x64" || process.arch === "ia32" ? { bytes: 12, tokenAt: 4 } : { bytes: 16, tokenAt: 8 };

/** Loads the package koffi and binds the functions. Rejects NOT_READY naming the package when it is missing or does not run here. */
export async function loadLibc(): Promise<Libc> {
  const { koffi, library } = await loadKoffi();
  const ioctlFunction = library.func("int ioctl(int fd, unsigned long request, void *structure)");
  const ioctl: (fd: number, request: number, structure: Buffer) => number = ioctlFunction;
  const ioctlNumber: (fd: number, request: number, value: number) => number = library.func(
    "int ioctl(int fd, unsigned long request, unsigned long value)",
  );
  const fcntlPointer: (fd: number, command: number, lock: Buffer) => number = library.func("int fcntl(int fd, int command, void *lock)");
  const socket: (domain: number, type: number, protocol: number) => number = library.func("int socket(int domain, int type, int protocol)");
  const bind: (fd: number, address: Buffer, bytes: number) => number = library.func("int bind(int fd, void *address, unsigned int bytes)");
  const setsockopt: (fd: number, level: number, name: number, value: Buffer, bytes: number) => number = library.func(
    "int setsockopt(int fd, int level, int name, void *value, unsigned int bytes)",
  );
  const read: (fd: number, bytes: Buffer, count: number) => number = library.func("long read(int fd, void *bytes, size_t count)");
  const write: (fd: number, bytes: Buffer, count: number) => number = library.func("long write(int fd, void *bytes, size_t count)");
  const fcntl: (fd: number, command: number, value: number) => number = library.func("int fcntl(int fd, int command, int value)");
  const eventfd: (initial: number, flags: number) => number = library.func("int eventfd(unsigned int initial, int flags)");
  const epollCreate: (flags: number) => number = library.func("int epoll_create1(int flags)");
  const epollControl: (epollFd: number, operation: number, fd: number, event: Buffer) => number = library.func(
    "int epoll_ctl(int epollFd, int operation, int fd, void *event)",
  );
  const event = Buffer.alloc(EPOLL_EVENT.bytes);

  function checked(call: string, result: number): number {
    if (result >= 0) return result;
    throw new AgentError("IO", `${call}: ${errnoText(koffi.errno())}`);
  }

  /** As the kernel itself answers: what the call returned, or the negative error number. */
  function result(returned: number): number {
    return returned >= 0 ? returned : -koffi.errno();
  }

  function control(epollFd: number, operation: number, fd: number, token: number): void {
    event.writeUInt32LE(EPOLLIN | EPOLLONESHOT, 0);
    event.writeUInt32LE(token, EPOLL_EVENT.tokenAt);
    checked("epoll_ctl", epollControl(epollFd, operation, fd, event));
  }

  return {
    ioctl: (fd, request, structure) => (ioctl(fd, request, structure) < 0 ? koffi.errno() : 0),
    ioctlAsync: (fd, request, structure) =>
      new Promise((resolve, reject) => {
        ioctlFunction.async(fd, request, structure, (thrown: Error | null, result: number) => {
          // koffi keeps the error number of the thread that called, and shows it here.
          if (thrown !== null) reject(thrown);
          else resolve(result < 0 ? koffi.errno() : 0);
        });
      }),
    ioctlNumber: (fd, request, value) => -result(ioctlNumber(fd, request, value)),
    addressOf: (bytes) => koffi.address(bytes),
    lockByte(fd, offset) {
      const lock = Buffer.alloc(FLOCK.bytes);
      lock.writeUInt16LE(F_WRLCK, 0);
      lock.writeBigUInt64LE(BigInt(offset), FLOCK.startAt);
      lock.writeBigUInt64LE(1n, FLOCK.lengthAt);
      if (fcntlPointer(fd, F_OFD_SETLK, lock) >= 0) return true;
      const code = errnoName(koffi.errno());
      if (code === "EAGAIN" || code === "EACCES") return false;
      throw new AgentError("IO", `fcntl: ${errnoText(koffi.errno())}`);
    },
    socket: (domain, type, protocol) => result(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)),
    bind: (fd, address) => -result(bind(fd, address, address.length)),
    setSocketOption(fd, level, name, value) {
      checked("setsockopt", setsockopt(fd, level, name, value, value.length));
    },
    read: (fd, bytes) => result(read(fd, bytes, bytes.length)),
    write: (fd, bytes) => result(write(fd, bytes, bytes.length)),
    setNonBlocking(fd) {
      checked("fcntl", fcntl(fd, F_SETFL, O_NONBLOCK));
    },
    eventfd: () => checked("eventfd", eventfd(0, EFD_CLOEXEC)),
    epollCreate: () => checked("epoll_create1", epollCreate(EPOLL_CLOEXEC)),
    epollAdd(epollFd, fd, token) {
      control(epollFd, EPOLL_CTL_ADD, fd, token);
    },
    epollRearm(epollFd, fd, token) {
      control(epollFd, EPOLL_CTL_MOD, fd, token);
    },
    epollRemove(epollFd, fd) {
      control(epollFd, EPOLL_CTL_DEL, fd, 0);
    },
  };
}

/** Node makes it anew each time it is asked. */
const ERRORS = getSystemErrorMap();

/** `EBUSY` for 16. */
export function errnoName(errno: number): string {
  return ERRORS.get(-errno)?.[0] ?? `error ${errno}`;
}

/** `EBUSY, resource busy or locked` for 16. */
export function errnoText(errno: number): string {
  const known = ERRORS.get(-errno);
  return known === undefined ? `error ${errno}` : known.join(", ");
}
