// Opening devices in the place of a host that ended without taking them to their exit states.
import t from "tap";
import { z } from "zod";

import { defineDriver, MOTION_LEASE, STILL_LEASE, type DeviceSpec } from "../../agent/contract/device.ts";
import { openHost, type HostOptions } from "../../agent/host/host.ts";
import { createJournal } from "../../agent/host/journal.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";

/** What happens, in order. */
async function open(over: Partial<HostOptions>) {
  const did: string[] = [];
  const clock = createFakeClock();
  const driverOf = (name: string, moves: boolean) =>
    defineDriver({
      name,
      summary: "writes down what happens to it",
      options: z.strictObject({}),
      moves,
      lease: moves ? MOTION_LEASE : STILL_LEASE,
      claims: () => [],
      async open({ id }) {
        did.push(`open ${id}`);
        if (id === "broken") throw new Error("no");
        return {
          functions: {},
          failsafe: (to) => void did.push(`${id} ${typeof to === "string" ? to : to.value}`),
          close: () => undefined,
        };
      },
    });
  const [still, moving] = [driverOf("still", false), driverOf("moving", true)];
  const policy = { enabled: true, onLoss: "off", onExit: "off", exclusive: false, callMs: 1000 } as const;
  const specs: DeviceSpec[] = [
    { id: "lamp", driver: still, options: {}, policy },
    { id: "broken", driver: moving, options: {}, policy },
    { id: "winch", driver: moving, options: {}, policy },
  ];
  const limits = { maxVariables: 100, maxVariableBytes: 1000 };
  const variables = createVariableStore({ clock, limits, declared: {}, defaultStaleMs: 2000 });
  const journal = createJournal(clock);
  const [board, log] = [createSimBoard({ clock }), createFakeLog()];
  const beforeOpening = async (): Promise<void> => void did.push("ports taken");
  const host = await openHost({ node: "n", specs, board, clock, variables, journal, log, beforeOpening, ...over });
  return { did, host, journal };
}

t.test("what moves is opened first and taken to its safe state at once, and the journal says so", async (t) => {
  const { did, host, journal } = await open({ afterDeath: true });
  t.strictSame(did, ["ports taken", "open broken", "open winch", "winch safe", "open lamp"]);
  t.match(
    journal.latest(10).map(({ kind, subject, caller }) => `${kind} ${subject} ${caller}`.trim()),
    ["open winch", "safe winch restart", "open lamp"],
  );
  await host.stop();
});

t.test("at any other start devices are opened in the order of the configuration, in the state their drivers open them in", async (t) => {
  const { did, host } = await open({});
  t.strictSame(did, ["ports taken", "open lamp", "open broken", "open winch"]);
  await host.stop();
});
