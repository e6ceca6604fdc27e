import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { createFakeDeviceContext, openDevice } from "../../../test/helpers/fake-device-context.ts";
import { createLinuxSerial } from "../../../drivers/board/linux/serial.ts";
import { createPoller } from "../../../drivers/board/linux/poller.ts";
import { createPtyPort } from "../../../test/helpers/pty-port.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { loadLibc } from "../../../drivers/board/linux/libc.ts";
import { nmeaGpsDriver } from "../../../drivers/serial/nmea-gps.ts";
import { nmeaSentence } from "../../../drivers/board/sim/instruments/gps.ts";
import type { Board } from "../../../agent/contract/board.ts";

/** What was found on the kernel's own ports. */
export interface PtyFindings {
  readonly cuts: number;
  /** Cuts after which the receiver's position was not there again. */
  readonly unrecovered: number;
  readonly invented: number;
}

const LOOK_MS = 5;
const LOOKS = 1000;

const TRUE_VALUES = new Set(["x.fix=true", "x.fix=false", "x.latitude=48.1173", `x.longitude=${11 + 31 / 60}`]);

async function until(condition: () => boolean): Promise<boolean> {
  for (let look = 0; look < LOOKS; look++) {
    if (condition()) return true;
    await delay(LOOK_MS);
  }
  return condition();
}

/**
 * A receiver on a pseudo terminal made by socat, which is ended after each byte of a sentence in turn: the kernel hangs the line up, the path is gone, comes
 * back, and leads to another terminal.
 */
export async function cutPty(stepBytes: number): Promise<PtyFindings> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-serial-"));
  const path = join(folder, "tty");
  const pty = createPtyPort(path);
  const libc = await loadLibc();
  const poller = createPoller(libc);
  const serial = createLinuxSerial({ clock: createSystemClock(), loadLibc: () => Promise.resolve(libc), poller: () => poller });
  const context = createFakeDeviceContext({ id: "x" });
  const board = { ...context.board, openSerial: (owner, name, options) => serial.open(owner, name, options) } satisfies Board;
  const sentence = Buffer.from(nmeaSentence("GPGLL,4807.038,N,01131.000,E,123519,A,A"), "latin1");
  const found = { cuts: 0, unrecovered: 0, invented: 0 };
  await pty.plug();
  const device = await openDevice(nmeaGpsDriver, { ...context, board }, { path, retryMinMs: 10, retryMaxMs: 20, silentMs: 0 });
  try {
    for (let bytes = 0; bytes <= sentence.length; bytes += stepBytes) {
      pty.send(sentence.subarray(0, bytes));
      await delay(LOOK_MS);
      await pty.unplug();
      await pty.plug();
      const from = context.published.length;
      // Until the port is open again it waits in the terminal.
      pty.send(sentence);
      found.cuts += 1;
      if (!(await until(() => context.published.slice(from).some((text) => text.startsWith("x.latitude="))))) found.unrecovered += 1;
    }
    found.invented = context.published.filter((text) => !TRUE_VALUES.has(text)).length;
  } finally {
    await device.close();
    await pty.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return found;
}
