import { getSystemErrorMap } from "node:util";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";

/** The system calls Node has no function for. They throw IO with the system's word for it. */
export interface Libc {
  /** `ioctl` with a structure; 0, or the error number. */
  ioctl(fd: number, request: number, structure: Buffer): number;
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
  const koffi = await import("koffi").then(
    (module) => module.default,
    (thrown: unknown) => {
      throw new AgentError(
        "NOT_READY",
        `package koffi does not load on linux-${process.arch} (${messageOf(thrown)}); run: npm install koffi`,
        { cause: thrown },
      );
    },
  );
  // The running program itself: Node is linked to the C library, whichever that is.
  const library = koffi.load(null);
  const ioctl: (fd: number, request: number, structure: Buffer) => number = library.func(
    "int ioctl(int fd, unsigned long request, void *structure)",
  );
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

  function control(epollFd: number, operation: number, fd: number, token: number): void {
    event.writeUInt32LE(EPOLLIN | EPOLLONESHOT, 0);
    event.writeUInt32LE(token, EPOLL_EVENT.tokenAt);
    checked("epoll_ctl", epollControl(epollFd, operation, fd, event));
  }

  return {
    ioctl: (fd, request, structure) => (ioctl(fd, request, structure) < 0 ? koffi.errno() : 0),
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

/** `EBUSY` for 16. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `error ${errno}`;
}

/** `EBUSY, resource busy or locked` for 16. */
export function errnoText(errno: number): string {
  const known = getSystemErrorMap().get(-errno);
  return known === undefined ? `error ${errno}` : known.join(", ");
}
