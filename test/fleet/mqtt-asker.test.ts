import t from "tap";

import { createAsker } from "../../agent/fleet/mqtt-asker.ts";
import { createFakeBroker } from "../mqtt/fake-broker.ts";
import { createFakeClock } from "../helpers/fake-clock.ts";
import { createFleetTopics } from "../../agent/fleet/mqtt-topics.ts";

t.test("a network that takes nothing is waited for no longer than an answer", async (t) => {
  const clock = createFakeClock();
  const broker = { ...createFakeBroker(), connected: true, publish: () => new Promise<void>(() => undefined) };
  const asker = createAsker({ broker, topics: createFleetTopics("virgo"), self: "garage", boot: "b", maxOpen: 1, clock });
  const asked = asker.ask("shed", { call: "lamp.on" }, 500);
  await t.rejects(asker.ask("shed", { call: "lamp.on" }, 500), { code: "FULL" }, "it is open meanwhile");
  await clock.advance(500);
  t.equal(await asked, undefined);
  t.match(asker.figures(), { unanswered: 1, open: 0 });
  asker.close();
});
