import { closeSync, constants, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

import { AgentError, messageOf, toAgentError } from "../../../agent/contract/errors.ts";
import { createI2cQueue, queueI2c, type I2cQueue, type I2cTiming } from "../i2c-queue.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { i2cText, type I2cBus, type I2cDevice, type I2cRef } from "../../../agent/contract/i2c.ts";
import { loadI2cBus, openPackageI2c } from "./i2c-package.ts";
import { openIoctlI2c } from "./i2c-ioctl.ts";
import { deniedError, linkName, readFolder, readText, systemCode, type Roots } from "./sysfs-file.ts";
import type { Libc } from "./libc.ts";
import type { Log } from "../../../agent/contract/log.ts";

/** A chip's place, found in /dev. */
export interface I2cPlace {
  readonly bus: number;
  readonly address: number;
  /** The name of the kernel's device, whether there is one or not: `1-0040`. */
  readonly device: string;
  /** What claims and errors call it, the same however its bus was named. */
  readonly key: string;
  /** /dev/i2c-N */
  readonly path: string;
}

/** Who does the transfers: the package i2c-bus, or the kernel's SMBus call through koffi, which any thread can make. */
export type I2cBackend = "i2c-bus" | "ioctl";

export interface LinuxI2cOptions {
  readonly roots: Roots;
  readonly log: Log;
  readonly timing: I2cTiming;
  /** The package in the process's main thread, the call in others, when absent. */
  readonly backend?: I2cBackend | undefined;
  loadLibc(): Promise<Libc>;
}

/** The I2C buses of the kernel. */
export interface LinuxI2c {
  /** Throws UNKNOWN naming the buses there are, ARGUMENT when several carry the name. */
  find(ref: I2cRef): I2cPlace;
  /** Rejects IN_USE when a driver of the kernel, another process or another thread has the address, DENIED naming the group, NOT_READY without the packages. */
  open(owner: string, place: I2cPlace, repeatWrites: boolean): Promise<I2cDevice>;
}

/** What controllers' drivers say when nobody acknowledges an address (Documentation/i2c/fault-codes.rst), and some for want of better. */
const NO_ANSWER = new Set(["ENXIO", "EREMOTEIO", "EIO", "ENODEV"]);

export function createLinuxI2c(options: LinuxI2cOptions): LinuxI2c {
  const { roots, log, timing, backend } = options;
  const queues = new Map<number, I2cQueue>();

  function queueOf(bus: number): I2cQueue {
    const queue = queues.get(bus) ?? createI2cQueue(timing, afterRealTime);
    queues.set(bus, queue);
    return queue;
  }

  /** The transfers themselves, by the backend asked for; by the other one where the package does not load. */
  async function openTransfers(libc: Libc, fd: number, { bus, address }: I2cPlace): Promise<I2cDevice> {
    if (backend === "ioctl" || (backend === undefined && !isMainThread)) return openIoctlI2c(libc, fd, address);
    try {
      return openPackageI2c(await loadI2cBus(), bus, address);
    } catch (thrown) {
      if (backend !== undefined) throw thrown;
      log.warn({ error: messageOf(thrown) }, "I2C goes through the kernel's call instead of the package");
      return openIoctlI2c(libc, fd, address);
    }
  }

  return {
    find({ bus, address }) {
      const number = findBus(bus, roots);
      const key = i2cText({ bus: number, address });
      const device = `${number}-${address.toString(16).padStart(4, "0")}`;
      return { bus: number, address, device, key, path: join(roots.dev, `i2c-${number}`) };
    },
    async open(owner, place, repeatWrites) {
      const { key, path } = place;
      const holder = kernelDriver(place, roots);
      if (holder !== undefined) throw kernelError(key, owner, holder);
      const libc = await options.loadLibc();
      const fd = openBus(path);
      let transfers: I2cDevice;
      try {
        if (!libc.lockByte(fd, place.address)) {
          throw new AgentError("IN_USE", `${key} is in use by another process or thread; ${owner} cannot open it too`);
        }
        transfers = await openTransfers(libc, fd, place);
      } catch (thrown) {
        closeSync(fd);
        throw explain(thrown, place, owner, roots);
      }
      const raw = explained(place, owner, roots, transfers, () => closeSync(fd));
      return queueI2c(key, raw, queueOf(place.bus), repeatWrites);
    },
  };
}

/** `transfers` with the system's errors in words. Closing waits until the transfer that is under way has ended: a descriptor is not taken from the kernel. */
function explained(place: I2cPlace, owner: string, roots: Roots, transfers: I2cDevice, closed: () => void): I2cDevice {
  let open = true;
  let transferring = false;
  let released = false;

  function releaseWhenDone(): void {
    if (open || transferring || released) return;
    released = true;
    transfers.close();
    closed();
  }

  async function run<T>(transfer: () => Promise<T>): Promise<T> {
    // What waited in the bus's queue while the chip was closed.
    if (!open) throw new AgentError("IO", `${place.key} is closed`);
    transferring = true;
    try {
      return await transfer();
    } catch (thrown) {
      throw explain(thrown, place, owner, roots);
    } finally {
      transferring = false;
      releaseWhenDone();
    }
  }

  return {
    readByte: (register) => run(() => transfers.readByte(register)),
    writeByte: (register, value) => run(() => transfers.writeByte(register, value)),
    readWord: (register) => run(() => transfers.readWord(register)),
    writeWord: (register, value) => run(() => transfers.writeWord(register, value)),
    readBlock: (register, length) => run(() => transfers.readBlock(register, length)),
    writeBlock: (register, bytes) => run(() => transfers.writeBlock(register, bytes)),
    close() {
      open = false;
      releaseWhenDone();
    },
  };
}

function explain(thrown: unknown, place: I2cPlace, owner: string, roots: Roots): AgentError {
  const code = systemCode(thrown) ?? "";
  const { key, bus } = place;
  const cause = { cause: thrown };
  if (thrown instanceof AgentError) {
    return thrown.message.includes(key) ? thrown : new AgentError(thrown.code, `${key}: ${thrown.message}`, cause);
  }
  if (NO_ANSWER.has(code)) return new AgentError("IO", `chip ${key} does not answer (${code}); is it wired and powered?`, cause);
  if (code === "ETIMEDOUT") {
    return new AgentError(
      "TIMEOUT",
      `${key}: the bus did not come free (${code}); SDA or SCL is held low, power its chips off and on`,
      cause,
    );
  }
  if (code === "EBUSY") return kernelError(key, owner, kernelDriver(place, roots) ?? "a driver of the kernel", thrown);
  if (code === "EOPNOTSUPP" || code === "ENOTSUP") {
    return new AgentError(
      "NOT_READY",
      `${key}: the adapter of bus ${bus}, ${adapterName(bus, roots) ?? "unnamed"}, cannot do this transfer`,
      cause,
    );
  }
  return new AgentError("IO", `${key} cannot be reached: ${messageOf(thrown)}`, cause);
}

function kernelError(key: string, owner: string, driver: string, thrown?: unknown): AgentError {
  const fix = "use what that driver offers, or take it off the device tree";
  return new AgentError("IN_USE", `${key} is in use by ${driver}; ${owner} cannot open it too; ${fix}`, { cause: thrown });
}

/** The kernel's driver that is bound to the address; undefined when there is none. */
export function kernelDriver({ device }: I2cPlace, roots: Roots): string | undefined {
  const driver = linkName(join(roots.sys, "bus/i2c/devices", device, "driver"));
  return driver === undefined ? undefined : `the kernel's driver ${driver}`;
}

function openBus(path: string): number {
  try {
    return openSync(path, constants.O_RDWR);
  } catch (thrown) {
    const code = systemCode(thrown);
    if (code === "EACCES" || code === "EPERM") throw deniedError(path, "i2c", thrown);
    throw toAgentError(thrown);
  }
}

function findBus(bus: I2cBus, roots: Roots): number {
  if (typeof bus === "number" && existsSync(join(roots.dev, `i2c-${bus}`))) return bus;
  const buses = busNumbers(roots);
  const named = buses.filter((number) => adapterName(number, roots) === bus);
  const [first] = named;
  if (named.length > 1)
    throw new AgentError("ARGUMENT", `i2c bus ${bus} is ambiguous: buses ${named.join(", ")} are called so; use a number`);
  if (first !== undefined) return first;
  const names = buses.map((number) => adapterName(number, roots) ?? "");
  const known =
    buses.length === 0
      ? "the kernel offers none"
      : `buses here: ${buses.map((number, i) => `${number} (${names[i] === "" ? "unnamed" : String(names[i])})`).join(", ")}`;
  const fix = "on a Raspberry Pi write dtparam=i2c_arm=on into config.txt; elsewhere try: modprobe i2c-dev";
  throw new AgentError("UNKNOWN", `there is no i2c bus ${bus}${didYouMean(String(bus), names)}; ${known}; ${fix}`);
}

function busNumbers(roots: Roots): number[] {
  return readFolder(roots.dev)
    .map((name) => /^i2c-(\d+)$/.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** As `i2cdetect -l` shows it. */
function adapterName(bus: number, roots: Roots): string | undefined {
  return readText(join(roots.sys, "bus/i2c/devices", `i2c-${bus}`, "name"));
}

/** Hardware hangs in real time. What ended while this thread was busy is heard first: a late thread is not a hung bus. */
function afterRealTime(delayMs: number, run: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    immediate = setImmediate(run);
  }, delayMs);
  return () => {
    clearTimeout(timer);
    clearImmediate(immediate);
  };
}
