import t, { type Test } from "tap";
import { join } from "node:path";

import { createLinuxSerial } from "../drivers/board/linux/serial.ts";
import { createPoller } from "../drivers/board/linux/poller.ts";
import { createPtyPort } from "./helpers/pty-port.ts";
import { createSimArduino } from "../drivers/board/sim/instruments/firmata.ts";
import { createSystemClock } from "../agent/clock.ts";
import { eventually, startAgent } from "./helpers/start-agent.ts";
import { missing } from "./helpers/tools.ts";
import { loadLibc } from "../drivers/board/linux/libc.ts";
import type { PoweredInstrument } from "../drivers/board/sim/serial.ts";

async function lampComesAndGoes(t: Test): Promise<void> {
  const path = join(t.testdir(), "tty");
  // Timers of the clock keep no process alive.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => {
    clearInterval(alive);
  });
  const clock = createSystemClock();
  const arduino = createSimArduino(20);
  let powered: PoweredInstrument | undefined;
  const pty = createPtyPort(path, (bytes) => powered?.receive(bytes));
  const unplug = async (): Promise<void> => {
    powered?.stop();
    await pty.unplug();
  };
  const plug = async (): Promise<void> => {
    await pty.plug();
    powered = arduino.start({
      clock,
      send: (bytes) => {
        pty.send(bytes);
      },
    });
  };
  t.teardown(unplug);

  const libc = await loadLibc();
  const poller = createPoller(libc);
  const serial = createLinuxSerial({ clock, loadLibc: () => Promise.resolve(libc), poller: () => poller });
  const { ask } = await startAgent(
    t,
    `devices:
  lamp: { driver: light, line: "uno:13" }
  uno: { driver: firmata, path: ${path}, readyMs: 1000, replyMs: 20, retryMinMs: 10, retryMaxMs: 20 }
`,
    clock,
    (board) => ({ ...board, openSerial: (owner, name, options) => serial.open(owner, name, options) }),
  );
  t.match(await ask("CLONE lamp.on"), /NOT_READY lamp was failed: NOT_READY uno cannot be reached/);
  for (let time = 0; time < 2; time++) {
    const seen = arduino.trace.length;
    await plug();
    await eventually(async () => !/NOT_READY|FAULTED/.test(await ask("CLONE lamp.state")));
    t.notOk(arduino.trace.slice(seen).includes("13 output:high"), "nothing of before is carried out");
    await eventually(async () => !(await ask("CLONE lease 10000 lamp.on")).startsWith("-"));
    await eventually(() => arduino.pin(13).level);
    await unplug();
    await eventually(async () => /FAULTED lamp is faulted: uno cannot be reached/.test(await ask("CLONE lamp.on")));
  }
}

t.test(
  "an Arduino on a port of the kernel may come late, go and come back: its lamp is there with it, and dark",
  { skip: missing("socat", "socat") },
  lampComesAndGoes,
);
