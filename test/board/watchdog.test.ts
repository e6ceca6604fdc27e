// The kernel's software watchdog, which restarts this board when it is not kicked: a test that ends shows that it was.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import t from "tap";

import { expectCode } from "../contract/board.ts";
import { openHardwareWatchdog } from "../../drivers/board/linux/watchdog.ts";

const DEVICE = "/dev/watchdog0";
const TIMEOUT_S = 3;

t.test("it says what it is, and its time", async (t) => {
  const watchdog = await openHardwareWatchdog(DEVICE, 60);
  t.match(watchdog.identity, /^Software Watchdog$/);
  t.equal(watchdog.timeoutS, 60);
  watchdog.disarm();
  watchdog.disarm();
  watchdog.abandon();
});

t.test("kicked, the board goes on beyond the time; disarmed, it goes on without", async (t) => {
  const watchdog = await openHardwareWatchdog(DEVICE, TIMEOUT_S);
  for (let passed = 0; passed < (TIMEOUT_S + 1) * 1000; passed += 250) {
    await delay(250);
    watchdog.kick();
  }
  watchdog.disarm();
  await delay((TIMEOUT_S + 1) * 1000);
  t.pass("and this line is printed");
});

t.test("one that was abandoned can be taken over in time", async (t) => {
  (await openHardwareWatchdog(DEVICE, 30)).abandon();
  const again = await openHardwareWatchdog(DEVICE, 30);
  again.kick();
  again.disarm();
  t.throws(() => again.kick(), { code: "IO" });
});

t.test("a second one is refused by name, one that is not there too, and so is a time it cannot do", async (t) => {
  const watchdog = await openHardwareWatchdog(DEVICE, 60);
  await expectCode(t, "IN_USE", [DEVICE], async () => openHardwareWatchdog(DEVICE, 60));
  watchdog.disarm();
  await expectCode(t, "UNKNOWN", ["/dev/watchdog7"], async () => openHardwareWatchdog("/dev/watchdog7", 60));
  await expectCode(t, "LIMIT", [DEVICE, "10000000 s"], async () => openHardwareWatchdog(DEVICE, 10_000_000));
  const after = await openHardwareWatchdog(DEVICE, 60);
  after.disarm();
});

t.test("a file that is no watchdog is not written to", async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), "watchdog-")), "file");
  writeFileSync(file, "kept");
  await expectCode(t, "IO", [file, "it is no watchdog"], async () => openHardwareWatchdog(file, 60));
  t.equal(readFileSync(file, "utf8"), "kept");
});
