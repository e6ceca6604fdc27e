import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { createLinuxSerial, type LinuxSerial } from "../../../drivers/board/linux/serial.ts";
import { createPoller } from "../../../drivers/board/linux/poller.ts";
import { createPtyPort } from "../../../test/helpers/pty-port.ts";
import { createSimBoard } from "../../../drivers/board/sim/sim-board.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { loadLibc } from "../../../drivers/board/linux/libc.ts";
import { openSubject } from "./open-subject.ts";
import { trial } from "./trial.ts";
import { FAST_SUBJECTS, type Subject } from "./subjects.ts";
import type { Board } from "../../../agent/contract/board.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { PoweredInstrument } from "../../../drivers/board/sim/serial.ts";
import type { SerialStream } from "../../../agent/contract/serial.ts";

/** What was found on the kernel's own ports. */
export interface PtyFindings {
  cuts: number;
  /** Cuts after which not everything was there again. */
  unrecovered: number;
  invented: number;
  faults: number;
}

const LOOK_MS = 5;
const WAIT_MS = 10_000;
/** So many cuts in vain, and its subject has failed: the rest would only be waiting. */
const MAX_UNRECOVERED = 5;

/** An instrument on a pseudo terminal, with a plug that can be pulled after any byte. */
interface Cable {
  /** `cutBytes`: so many get through to whoever has the port open. */
  plug(cutBytes?: number): Promise<void>;
  /** As many as were to get through have. */
  isCut(): boolean;
  unplug(): Promise<void>;
}

function createCable(subject: Subject, clock: Clock, path: string, isOpen: () => boolean): Cable {
  const instrument = subject.instrument();
  let powered: PoweredInstrument | undefined;
  let leftBytes = 0;
  const pty = createPtyPort(path, (bytes) => powered?.receive(bytes));

  function send(bytes: Uint8Array): void {
    // What nobody has a port open for is lost, as it is with a port of the kernel.
    if (!isOpen() || leftBytes <= 0) return;
    const passed = bytes.subarray(0, leftBytes);
    leftBytes -= passed.length;
    pty.send(passed);
  }

  return {
    async plug(cutBytes = Infinity) {
      await pty.plug();
      leftBytes = cutBytes;
      powered ??= instrument.start({ clock, send });
    },
    isCut: () => leftBytes <= 0,
    async unplug() {
      powered?.stop();
      powered = undefined;
      await pty.unplug();
    },
  };
}

/** Looks until `condition` holds; false when it does not in time. */
async function until(condition: () => boolean): Promise<boolean> {
  const startMs = performance.now();
  while (!condition()) {
    if (performance.now() - startMs > WAIT_MS) return false;
    await delay(LOOK_MS);
  }
  return true;
}

/** Rejects when it does not end in time. */
async function bounded<Result>(work: Promise<Result>, what: string): Promise<Result> {
  let isDone = false;
  const settled = Promise.allSettled([work]).then(() => {
    isDone = true;
  });
  if (await until(() => isDone)) await settled;
  else throw new Error(`${what} on a pseudo terminal did not end within ${WAIT_MS} ms`);
  return work;
}

interface Bench {
  readonly folder: string;
  readonly clock: Clock;
  readonly progress: (line: string) => void;
  /** Ports of this computer, which no other subject can have: the kernel gives a terminal's number to the next one at once. */
  createPorts(): LinuxSerial;
}

async function cutSubject(subject: Subject, stepBytes: number, bench: Bench): Promise<PtyFindings> {
  const { clock, folder, progress } = bench;
  const found: PtyFindings = { cuts: 0, unrecovered: 0, invented: 0, faults: 0 };
  const clean = await trial(subject, {});
  const isFlag = (text: string): boolean => subject.flags.includes(text.split("=")[0] ?? "");
  const steady = [...clean.afterwards].filter((text) => !isFlag(text));
  const path = join(folder, subject.name.replaceAll(" ", "-"));
  const ports = bench.createPorts();
  let stream: SerialStream | undefined;
  const board: Board = {
    ...createSimBoard({ clock }),
    async openSerial(owner, name, options) {
      stream = await ports.open(owner, name, options);
      return stream;
    },
  };
  const cable = createCable(subject, clock, path, () => stream?.state() === "open");
  await cable.plug();
  const opened = await bounded(openSubject(subject, board, clock, path), `opening ${subject.name}`);
  try {
    const seen = new Set<string>();
    let from = 0;
    const isBack = (): boolean => {
      for (; from < opened.published.length; from++) seen.add(opened.published[from] as string);
      return steady.every((text) => seen.has(text));
    };
    for (let bytes = 0; bytes <= subject.cutBytes && found.unrecovered < MAX_UNRECOVERED; bytes += stepBytes) {
      await cable.unplug();
      await cable.plug(bytes);
      const isCut = await until(() => stream?.state() === "open" && cable.isCut());
      await delay(LOOK_MS);
      await cable.unplug();
      from = opened.published.length;
      seen.clear();
      await cable.plug();
      found.cuts += 1;
      if ((await until(isBack)) && isCut) continue;
      found.unrecovered += 1;
      const lost = steady.filter((text) => !seen.has(text));
      progress(
        `${subject.name} on a pseudo terminal, cut at byte ${bytes}${isCut ? "" : " that never came"}: lost ${lost.join(" ").slice(0, 200)}; ${stream?.reason() ?? ""}`,
      );
    }
    const wrong = opened.published.filter((text) => !clean.published.has(text) && !isFlag(text));
    found.invented = wrong.length;
    found.faults = opened.faults.length;
    if (wrong.length > 0) progress(`${subject.name} on a pseudo terminal: invented ${wrong.join(" ").slice(0, 200)}`);
    if (opened.faults.length > 0) progress(`${subject.name} on a pseudo terminal: faults ${opened.faults.map(String).join(" ")}`);
  } finally {
    try {
      await bounded(opened.close(), `closing ${subject.name}`);
    } finally {
      await cable.unplug();
    }
  }
  return found;
}

/**
 * Every instrument on a pseudo terminal made by socat, which is ended after each byte in turn that gets through: the kernel hangs the line up, the path is
 * gone, comes back, and leads to another terminal. All at the same time, because most of it is waiting.
 */
export async function cutPty(stepBytes: number, progress: (line: string) => void): Promise<PtyFindings> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-serial-"));
  const libc = await loadLibc();
  const poller = createPoller(libc);
  const clock = createSystemClock();
  const createPorts = (): LinuxSerial => createLinuxSerial({ clock, loadLibc: () => Promise.resolve(libc), poller: () => poller });
  const bench: Bench = { folder, clock, progress, createPorts };
  const total: PtyFindings = { cuts: 0, unrecovered: 0, invented: 0, faults: 0 };
  try {
    await Promise.all(
      FAST_SUBJECTS.map(async (subject) => {
        const startMs = performance.now();
        const found = await cutSubject(subject, stepBytes, bench);
        for (const kind of ["cuts", "unrecovered", "invented", "faults"] as const) total[kind] += found[kind];
        progress(`${subject.name} on a pseudo terminal: ${found.cuts} cuts in ${Math.round((performance.now() - startMs) / 1000)} s`);
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return total;
}
