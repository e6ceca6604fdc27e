import { getSystemErrorMap } from "node:util";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";

/** The system calls Node has no function for. Each throws a `SystemFailure`-shaped AgentError of code IO, except where it says otherwise. */
export interface Libc {
  /** `ioctl` with a structure; 0, or the error number. */
  ioctl(fd: number, request: number, structure: Buffer): number;
  /** Reads of `fd` answer EAGAIN instead of waiting. */
  setNonBlocking(fd: number): void;
  /** A counter that wakes whoever waits for its descriptor. */
  eventfd(): number;
  epollCreate(): number;
  /** Waits for input on `fd` once; `epollRearm` waits again. `token` comes back from `epollWait`. */
  epollAdd(epollFd: number, fd: number, token: number): void;
  epollRearm(epollFd: number, fd: number, token: number): void;
  epollRemove(epollFd: number, fd: number): void;
  /** Blocks this thread until something is ready, at most `timeoutMs`; the tokens of what is. */
  epollWait(epollFd: number, timeoutMs: number): number[];
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
const EINTR = 4;

/** Ready descriptors taken up per wait. */
const WAIT_EVENTS = 64;

/** `struct epoll_event` is packed on x86 and aligned elsewhere. */
const EPOLL_EVENT = process.arch === "x64" || process.arch === "ia32" ? { bytes: 12, token: 4 } : { bytes: 16, token: 8 };

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
  const epollWait: (epollFd: number, events: Buffer, count: number, timeoutMs: number) => number = library.func(
    "int epoll_wait(int epollFd, void *events, int count, int timeoutMs)",
  );
  const event = Buffer.alloc(EPOLL_EVENT.bytes);
  const events = Buffer.alloc(EPOLL_EVENT.bytes * WAIT_EVENTS);

  function checked(call: string, result: number): number {
    if (result >= 0) return result;
    throw new AgentError("IO", `${call}: ${errnoText(koffi.errno())}`);
  }

  function control(epollFd: number, operation: number, fd: number, token: number): void {
    event.writeUInt32LE(EPOLLIN | EPOLLONESHOT, 0);
    event.writeUInt32LE(token, EPOLL_EVENT.token);
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
    epollWait(epollFd, timeoutMs) {
      const count = epollWait(epollFd, events, WAIT_EVENTS, timeoutMs);
      if (count < 0 && koffi.errno() !== EINTR) checked("epoll_wait", count);
      const tokens: number[] = [];
      for (let i = 0; i < count; i++) tokens.push(events.readUInt32LE(i * EPOLL_EVENT.bytes + EPOLL_EVENT.token));
      return tokens;
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
