import { closeSync, readSync } from "node:fs";

import { AgentError, messageOf, toAgentError } from "../../../agent/contract/errors.ts";
import type { DigitalInput, DigitalOutputs, InputOptions, Pull } from "../../../agent/contract/board.ts";
import type { Cancel } from "../../../agent/contract/clock.ts";
import { readChips, readLineInfo, withChip } from "./chips.ts";
import {
  createLineValues,
  decodeLineEvent,
  decodeLineFd,
  encodeLineConfig,
  encodeLineRequest,
  FLAG,
  IOCTL,
  MAX_LINES,
  readFirstLevel,
  SIZE,
  writeLevels,
  type LineConfig,
} from "./gpio-abi.ts";
import { createEdgeListeners, createOutputs, keysOf, MAX_DEBOUNCE_US, type BackendLine, type GpioBackend } from "./gpio-backend.ts";
import { errnoName, errnoText, type Libc } from "./libc.ts";
import { findLine, lineKey, type PinMap } from "./line-lookup.ts";
import { createPoller, type Poller } from "./poller.ts";
import { systemCode, type Roots } from "./sysfs-file.ts";

/** Edges the kernel keeps per line while this process is busy; the most it allows is 1024. */
const EVENT_BUFFER_EVENTS = 256;

/** Edges taken from the kernel per read. */
const READ_EVENTS = 32;

const PULL_FLAGS: Readonly<Record<Pull, number>> = { none: FLAG.biasDisabled, up: FLAG.pullUp, down: FLAG.pullDown };

/** Lines through the GPIO character devices, version 2 of the interface (Linux 5.10 and later). */
export function createCdevBackend(libc: Libc, roots: Roots, pins: PinMap): GpioBackend {
  const poller = createPoller(libc);
  return {
    kind: "linux-cdev",
    chips: () => readChips(libc, roots).chips,
    find(ref) {
      const { chips, refused } = readChips(libc, roots);
      try {
        const found = findLine(ref, chips, pins);
        return { key: lineKey(found, chips), ...found };
      } catch (thrown) {
        const missed = refused[0];
        if (missed === undefined) throw thrown;
        // The line may well be on the chip that could not be looked at.
        throw new AgentError(missed.code, `${toAgentError(thrown).message}; ${missed.message}`, { cause: thrown });
      }
    },
    async openOutputs(owner, lines, initial) {
      if (lines.length > MAX_LINES)
        throw new AgentError("LIMIT", `${owner} asks for ${lines.length} lines at once; ${MAX_LINES} is the most`);
      const fd = requestLines(libc, owner, lines, { flags: FLAG.output, initial });
      return openOutputs(libc, fd, lines, initial);
    },
    async openInput(owner, line, options) {
      const config = inputConfig(line, options);
      const fd = requestLines(libc, owner, [line], config);
      libc.setNonBlocking(fd);
      return openInput(libc, poller, fd, line, config);
    },
  };
}

function inputConfig({ key }: BackendLine, { pull, debounceUs }: InputOptions): LineConfig {
  const flags = FLAG.input | (pull === undefined ? 0 : PULL_FLAGS[pull]);
  if (debounceUs === undefined || debounceUs === 0) return { flags };
  if (!Number.isInteger(debounceUs) || debounceUs < 0 || debounceUs > MAX_DEBOUNCE_US) {
    throw new AgentError("ARGUMENT", `${key}: debounce of ${debounceUs} µs; it is a whole number from 0 to ${MAX_DEBOUNCE_US}`);
  }
  return { flags, debounceUs };
}

/** The descriptor of the lines, set up as `config` says from the moment they are held. */
function requestLines(libc: Libc, owner: string, lines: readonly BackendLine[], config: LineConfig): number {
  const [first] = lines;
  if (first === undefined) throw new AgentError("ARGUMENT", `${owner} asks for no lines; name at least one`);
  const { path } = first.chip;
  return withChip(path, (chipFd) => {
    const offsets = lines.map(({ offset }) => offset);
    const request = encodeLineRequest(offsets, `virgo ${owner}`, config, EVENT_BUFFER_EVENTS);
    const errno = libc.ioctl(chipFd, IOCTL.getLine, request);
    if (errno === 0) return decodeLineFd(request);
    if (errnoName(errno) === "EBUSY") throw inUseError(libc, chipFd, owner, lines);
    throw new AgentError("IO", `${keysOf(lines)}: ${path} refused the request of ${owner}: ${errnoText(errno)}`);
  });
}

function inUseError(libc: Libc, chipFd: number, owner: string, lines: readonly BackendLine[]): AgentError {
  for (const { key, offset, chip } of lines) {
    const { used, consumer } = readLineInfo(libc, chipFd, chip.path, offset);
    if (!used) continue;
    const holder = consumer === "" ? "the kernel or another program" : consumer;
    return new AgentError("IN_USE", `${key} is in use by ${holder}; ${owner} cannot open it too`);
  }
  return new AgentError("IN_USE", `${keysOf(lines)} was in use a moment ago; ${owner} may try again`);
}

function openOutputs(libc: Libc, fd: number, lines: readonly BackendLine[], initial: readonly boolean[]): DigitalOutputs {
  const what = keysOf(lines);
  const values = createLineValues(lines.length);
  return createOutputs(what, initial, {
    drive(levels, driven) {
      writeLevels(values, levels);
      const errno = libc.ioctl(fd, IOCTL.setValues, values);
      if (errno !== 0) throw new AgentError("IO", `${what} cannot be written: ${errnoText(errno)}`);
      for (let i = 0; i < levels.length; i++) driven[i] = levels[i] === true;
    },
    release() {
      closeSync(fd);
    },
  });
}

function openInput(libc: Libc, poller: Poller, fd: number, line: BackendLine, config: LineConfig): DigitalInput {
  const { key } = line;
  const values = createLineValues(1);
  const events = Buffer.alloc(SIZE.lineEvent * READ_EVENTS);
  const listeners = createEdgeListeners(watch, unwatch);
  let stopWatching: Cancel | undefined;
  let open = true;

  /** The error number, 0 for none. */
  function configure(flags: number): number {
    return libc.ioctl(fd, IOCTL.setConfig, encodeLineConfig({ ...config, flags }, 1));
  }

  /** Bytes of the events that were waiting; 0 for none. */
  function readEvents(): number {
    try {
      return readSync(fd, events);
    } catch (thrown) {
      if (systemCode(thrown) === "EAGAIN") return 0;
      throw new AgentError("IO", `${key} reports no more edges: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  function ready(): void {
    let bytes: number;
    try {
      bytes = readEvents();
    } catch (thrown) {
      listeners.fail(toAgentError(thrown));
      return;
    }
    for (let at = 0; at < bytes; at += SIZE.lineEvent) {
      const { rising, timestampNs } = decodeLineEvent(events, at);
      listeners.emit({ rising, timestampNs, kernelStamp: true });
    }
  }

  /** Only a watched line interrupts the processor. */
  function watch(): void {
    // Edges of an earlier watch are nobody's.
    while (readEvents() > 0);
    const errno = configure(config.flags | FLAG.edgeRising | FLAG.edgeFalling);
    if (errno !== 0) throw new AgentError("IO", `${key} cannot report edges, its chip may have no interrupt: ${errnoText(errno)}`);
    stopWatching = poller.watch(fd, ready, (error) => {
      listeners.fail(error);
    });
  }

  function unwatch(): void {
    stopWatching?.();
    stopWatching = undefined;
    // Refused only by a chip that is gone, and then there are no edges either.
    configure(config.flags);
  }

  return {
    read() {
      if (!open) throw new AgentError("IO", `${key} is closed`);
      const errno = libc.ioctl(fd, IOCTL.getValues, values);
      if (errno !== 0) throw new AgentError("IO", `${key} cannot be read: ${errnoText(errno)}`);
      return readFirstLevel(values);
    },
    onEdge(edge, failed) {
      if (!open) throw new AgentError("IO", `${key} is closed`);
      return listeners.add(edge, failed);
    },
    close() {
      if (!open) return;
      open = false;
      listeners.clear();
      closeSync(fd);
    },
  };
}
