import t from "tap";

import { AgentError } from "../../agent/contract/errors.ts";
import { startMachineWatchdog } from "../../agent/keeper/machine-watchdog.ts";
import { watchdogSchema } from "../../agent/keeper/options.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";

function createScene(failing = false) {
  const calls: string[] = [];
  const fail = (): void => {
    if (failing) throw new AgentError("IO", "it broke");
  };
  return {
    calls,
    clock: createFakeClock(),
    log: createFakeLog(),
    options: watchdogSchema.parse({}),
    async open(device: string, timeoutS: number) {
      calls.push(`open ${device} ${timeoutS}`);
      return {
        identity: "Test",
        // Hardware chooses what it can do.
        timeoutS: 12,
        kick() {
          calls.push("kick");
          fail();
        },
        disarm() {
          calls.push("disarm");
          fail();
        },
      };
    },
  };
}

t.test("it is kicked three times in its time while the loop advances, and disarmed at a clean end", async (t) => {
  const scene = createScene();
  const watchdog = await startMachineWatchdog(scene);
  t.match(scene.log.lines, ["info /dev/watchdog0 (Test) restarts the machine when nothing moves for 12 s"]);
  for (let i = 0; i < 3; i++) {
    watchdog.advance();
    await scene.clock.advance(4000);
  }
  t.strictSame(scene.calls, ["open /dev/watchdog0 15", "kick", "kick", "kick"]);
  await scene.clock.advance(60_000);
  t.equal(scene.calls.length, 4, "the loop stands still");
  watchdog.stop();
  t.equal(scene.calls.at(-1), "disarm");
  t.equal(scene.clock.pending(), 0);
});

t.test("one that does not take it is said once, and tried again", async (t) => {
  const scene = createScene(true);
  const watchdog = await startMachineWatchdog(scene);
  for (let i = 0; i < 2; i++) {
    watchdog.advance();
    await scene.clock.advance(4000);
  }
  watchdog.stop();
  t.strictSame(scene.log.lines.slice(1), ["error the machine will restart: it broke", "error the machine may restart: it broke"]);
  t.equal(scene.calls.filter((call) => call === "kick").length, 2);
});

t.test("an agent that shall have one does not start without", async (t) => {
  const scene = createScene();
  await t.rejects(startMachineWatchdog({ ...scene, open: () => Promise.reject(new AgentError("IN_USE", "systemd has it")) }), {
    code: "IN_USE",
  });
  t.equal(watchdogSchema.safeParse({ device: "watchdog0" }).success, false);
});
