import { closeSync, constants, openSync, writeSync } from "node:fs";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";
import { errnoName, errnoText, loadLibc } from "./libc.ts";
import { systemCode } from "./sysfs-file.ts";

/** The machine's watchdog: it restarts the machine when it is not kicked in time. */
export interface HardwareWatchdog {
  /** What it calls itself: `Broadcom BCM2835 Watchdog timer`. */
  readonly identity: string;
  /** The time it was set to; the hardware may have chosen another than was asked for, seconds. */
  readonly timeoutS: number;
  /** The machine has this long again. Throws IO. */
  kick(): void;
  /** Disarms it: a clean end. Where the kernel was built or booted with nowayout it runs on all the same, and the machine restarts. */
  disarm(): void;
  /** Lets go of it armed: the machine restarts unless somebody else opens it in time. */
  abandon(): void;
}

// include/uapi/linux/watchdog.h
const WDIOC_GETSUPPORT = 0x80285700;
const WDIOC_SETTIMEOUT = 0xc0045706;
const WDIOC_GETTIMEOUT = 0x80045707;
const WDIOF_MAGICCLOSE = 0x0100;
/** `struct watchdog_info`: options, firmware version, identity. */
const INFO = { bytes: 40, identityAt: 8 };

const KICK = Buffer.from("\0");
/** Documentation/watchdog/watchdog-api.rst, "Magic Close feature". */
const MAGIC_CLOSE = Buffer.from("V");

/**
 * Opens and thereby arms the watchdog. Rejects UNKNOWN when there is no such device, DENIED, IN_USE when another program has it, LIMIT for a time the
 * hardware cannot do, and IO. When it rejects the watchdog is disarmed again.
 */
export async function openHardwareWatchdog(device: string, timeoutS: number): Promise<HardwareWatchdog> {
  // First: between opening and setting up nothing may be waited for.
  const libc = await loadLibc();
  let fd = openDevice(device);
  /** Until then it may be anything, and nothing is written to it. */
  let isWatchdog = false;

  function control(request: number, structure: Buffer, what: string): void {
    const errno = libc.ioctl(fd, request, structure);
    if (errno === 0) return;
    const code = errnoName(errno) === "EINVAL" ? "LIMIT" : "IO";
    throw new AgentError(code, `${device}: ${what}: ${errnoText(errno)}`);
  }

  function write(bytes: Buffer): void {
    try {
      writeSync(fd, bytes);
    } catch (thrown) {
      throw new AgentError("IO", `${device} cannot be kicked: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  function abandon(): void {
    if (fd < 0) return;
    closeSync(fd);
    fd = -1;
  }

  function disarm(): void {
    if (fd < 0) return;
    try {
      if (isWatchdog) write(MAGIC_CLOSE);
    } finally {
      abandon();
    }
  }

  try {
    const info = Buffer.alloc(INFO.bytes);
    control(WDIOC_GETSUPPORT, info, "it is no watchdog");
    isWatchdog = true;
    if ((readUint32(info, 0) & WDIOF_MAGICCLOSE) === 0) {
      throw new AgentError("LIMIT", `${device} cannot be disarmed by a clean end (no magic close); leave it out of the configuration`);
    }
    const time = Buffer.from(new Int32Array([timeoutS]).buffer);
    control(WDIOC_SETTIMEOUT, time, `a time of ${timeoutS} s is refused`);
    control(WDIOC_GETTIMEOUT, time, "it does not say its time");
    const end = info.indexOf(0, INFO.identityAt);
    return {
      identity: info.toString("latin1", INFO.identityAt, end < 0 ? INFO.bytes : end),
      timeoutS: readUint32(time, 0),
      kick() {
        write(KICK);
      },
      disarm,
      abandon,
    };
  } catch (thrown) {
    disarm();
    throw thrown;
  }
}

function readUint32(structure: Buffer, offset: number): number {
  return new Uint32Array(new Uint8Array(structure).buffer)[offset / 4] ?? 0;
}

function openDevice(device: string): number {
  try {
    return openSync(device, constants.O_WRONLY);
  } catch (thrown) {
    throw openError(thrown, device);
  }
}

function openError(thrown: unknown, device: string): AgentError {
  const cause = { cause: thrown };
  switch (systemCode(thrown)) {
    case "ENOENT":
      return new AgentError("UNKNOWN", `there is no watchdog ${device}; ls /dev/watchdog* shows those there are`, cause);
    case "EACCES":
    case "EPERM":
      return new AgentError("DENIED", `${device} may not be opened by this user; give its group the right, or leave it to systemd`, cause);
    case "EBUSY":
      return new AgentError("IN_USE", `${device} is in use by another program, as a rule systemd; see RuntimeWatchdogSec`, cause);
    default:
      return new AgentError("IO", `${device} cannot be opened: ${messageOf(thrown)}`, cause);
  }
}
