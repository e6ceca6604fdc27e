import { closeSync } from "node:fs";
import { join } from "node:path";

import { AgentError } from "../../../agent/contract/errors.ts";
import { checkFrame, passes } from "../can-frame.ts";
import { didYouMean } from "../../../agent/contract/nearest.ts";
import { createListeners } from "../listeners.ts";
import {
  CAN_RAW,
  CAN_RAW_ERR_FILTER,
  CAN_RAW_FILTER,
  dataViews,
  decodeId,
  decodeLength,
  decodeState,
  encodeAddress,
  encodeErrorFilter,
  encodeFilters,
  encodeFrame,
  FRAME_BYTES,
  isErrorFrame,
  isExtended,
  PF_CAN,
  SOCK_RAW,
  SOL_CAN_RAW,
} from "./can-abi.ts";
import { errnoName, errnoText, type Libc } from "./libc.ts";
import { readFolder, readText, type Roots } from "./sysfs-file.ts";
import type { CanChannel, CanFilter, CanFrame, CanState } from "../../../agent/contract/can.ts";
import type { Poller } from "./poller.ts";

/** ARPHRD_CAN of linux/if_arp.h, in /sys/class/net/NAME/type. */
const CAN_TYPE = "280";
/** IFF_UP of linux/if.h, in /sys/class/net/NAME/flags. */
const UP = 1;

/** An interface that went down says so by itself; that it came up again has to be looked for. */
const LOOK_MS = 500;

/** CAN_RAW_FILTER_MAX of linux/can/raw.h. */
const MAX_FILTERS = 512;

/** Frames taken from the kernel before other work gets its turn. */
const READ_FRAMES = 64;

interface Subscription {
  readonly filters: readonly CanFilter[];
  readonly listener: (frame: CanFrame) => void;
}

/** A name of the kernel's interfaces: up to 15 characters, none of them a slash. */
export function findCanInterface(name: string, roots: Roots): number {
  const folder = join(roots.sys, "class/net");
  const isName = /^[^\s/]{1,15}$/.test(name) && !/^\.+$/.test(name);
  if (isName && readText(join(folder, name, "type")) === CAN_TYPE) return Number(readText(join(folder, name, "ifindex")));
  const names = readFolder(folder).filter((one) => readText(join(folder, one, "type")) === CAN_TYPE);
  const known =
    names.length === 0
      ? "there are none; is the controller's overlay loaded, as dtoverlay=mcp2515-can0,… on a Raspberry Pi?"
      : `there are ${names.join(", ")}`;
  throw new AgentError("UNKNOWN", `no can interface is called ${name}${didYouMean(name, names)}; ${known}`);
}

/** A raw socket on the interface. Throws UNKNOWN naming the interfaces there are, IO. */
export function openCanSocket(libc: Libc, poller: Poller, interfaceName: string, roots: Roots): CanChannel {
  const name = `can ${interfaceName}`;
  const index = findCanInterface(interfaceName, roots);
  const fd = libc.socket(PF_CAN, SOCK_RAW, CAN_RAW);
  if (fd < 0) throw new AgentError("IO", `${name}: the kernel has no CAN sockets, try: modprobe can_raw (${errnoText(-fd)})`);
  try {
    libc.setSocketOption(fd, SOL_CAN_RAW, CAN_RAW_FILTER, Buffer.alloc(0));
    libc.setSocketOption(fd, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, encodeErrorFilter());
    const errno = libc.bind(fd, encodeAddress(index));
    if (errno !== 0) throw new AgentError("IO", `${name} cannot be opened: ${errnoText(errno)}`);
    return createChannel(libc, poller, fd, interfaceName, roots);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

function createChannel(libc: Libc, poller: Poller, fd: number, interfaceName: string, roots: Roots): CanChannel {
  const name = `can ${interfaceName}`;
  const folder = join(roots.sys, "class/net", interfaceName);
  const subscriptions = new Set<Subscription>();
  const stateListeners = createListeners<[state: CanState, reason: string]>();
  const out = Buffer.alloc(FRAME_BYTES);
  const taken = Buffer.alloc(FRAME_BYTES);
  const data = dataViews(taken);
  let state = readState(folder);
  let looking: NodeJS.Timeout | undefined;
  let open = true;

  function setState(next: CanState, reason: string): void {
    if (next === state) return;
    state = next;
    stateListeners.tell(next, reason);
  }

  function downError(): AgentError {
    if (readText(join(folder, "flags")) === undefined) {
      return new AgentError("IO", `${name} is gone; plug it in again and open it anew`);
    }
    return new AgentError(
      "IO",
      `${name} is down; run: sudo ip link set ${interfaceName} up type can bitrate 500000 (the bitrate of your bus)`,
    );
  }

  function busOffError(): AgentError {
    const fix = `run: sudo ip link set ${interfaceName} type can restart, or once and for all: restart-ms 100`;
    return new AgentError("IO", `${name} is bus-off after too many errors, check wires and terminators; ${fix}`);
  }

  function lookWhileDown(): void {
    if (state !== "down" || looking !== undefined) return;
    looking = setInterval(() => {
      const now = readState(folder);
      if (now === "down") return;
      stopLooking();
      setState(now, "the interface is up again");
    }, LOOK_MS);
    looking.unref();
  }

  function stopLooking(): void {
    clearInterval(looking);
    looking = undefined;
  }

  /** The interface itself says it is not there any more, with an error instead of a frame. */
  function wentDown(errno: number): void {
    setState("down", errnoName(errno) === "ENODEV" ? "the interface is gone" : "the interface was taken down");
    if (open) lookWhileDown();
  }

  function takeError(): void {
    const change = decodeState(taken);
    if (change !== undefined) setState(change.state, change.reason);
  }

  function deliver(): void {
    const id = decodeId(taken);
    const extended = isExtended(taken);
    const frame: CanFrame = { id, extended, data: data[decodeLength(taken)] as Uint8Array };
    for (const subscription of [...subscriptions]) {
      // A listener may cancel or close from within: those it ends are not called any more.
      if (subscriptions.has(subscription) && passes(subscription.filters, id, extended)) subscription.listener(frame);
    }
  }

  function ready(): void {
    // What is left is reported again as soon as this returns.
    for (let i = 0; i < READ_FRAMES && open; i++) {
      const bytes = libc.read(fd, taken);
      if (bytes < 0) {
        const word = errnoName(-bytes);
        if (word === "ENETDOWN" || word === "ENODEV") wentDown(-bytes);
        else if (word !== "EAGAIN" && word !== "EINTR") setState("down", `frames can no longer be read: ${errnoText(-bytes)}`);
        return;
      }
      if (isErrorFrame(taken)) takeError();
      else if (bytes === FRAME_BYTES) deliver();
    }
  }

  const stopWatching = poller.watch(fd, ready, (error) => {
    setState("down", error.message);
  });
  lookWhileDown();

  /** The kernel sorts out what nobody listens for. */
  function updateFilters(): void {
    const filters = [...subscriptions].flatMap((subscription) => subscription.filters);
    if (filters.length > MAX_FILTERS) {
      throw new AgentError("LIMIT", `${name}: ${filters.length} filters on one socket; the kernel takes ${MAX_FILTERS}`);
    }
    libc.setSocketOption(fd, SOL_CAN_RAW, CAN_RAW_FILTER, encodeFilters(filters));
  }

  function mustBeOpen(): void {
    if (!open) throw new AgentError("IO", `${name} is closed`);
  }

  function sendError(errno: number): AgentError {
    const word = errnoName(errno);
    if (word === "ENOBUFS" || word === "EAGAIN") {
      return new AgentError("FULL", `the send queue of ${name} is full; is any other node on the bus, and at the same bitrate?`);
    }
    if (word === "ENETDOWN" || word === "ENXIO" || word === "ENODEV") {
      wentDown(errno);
      return downError();
    }
    return new AgentError("IO", `${name} does not send: ${errnoText(errno)}`);
  }

  return {
    send(frame) {
      mustBeOpen();
      checkFrame(name, frame);
      if (state === "bus-off") throw busOffError();
      encodeFrame(out, frame);
      const sent = libc.write(fd, out);
      if (sent < 0) throw sendError(-sent);
      if (state === "down") setState("active", "the interface is up again");
    },
    onFrame(filters, listener) {
      mustBeOpen();
      const subscription = { filters, listener };
      subscriptions.add(subscription);
      try {
        updateFilters();
      } catch (thrown) {
        subscriptions.delete(subscription);
        throw thrown;
      }
      return () => {
        if (subscriptions.delete(subscription)) updateFilters();
      };
    },
    state: () => state,
    onState(listener) {
      mustBeOpen();
      return stateListeners.add(listener);
    },
    close() {
      if (!open) return;
      open = false;
      stopLooking();
      subscriptions.clear();
      stateListeners.clear();
      stopWatching();
      closeSync(fd);
    },
  };
}

/** As far as the kernel's files tell: a controller that is bus-off has no carrier; which of the other states it is in it says with the next error. */
function readState(folder: string): CanState {
  const flags = Number(readText(join(folder, "flags")) ?? 0);
  if ((flags & UP) === 0) return "down";
  return readText(join(folder, "carrier")) === "0" ? "bus-off" : "active";
}
