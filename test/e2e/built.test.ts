// What is installed, as it is installed: the built program, with its packages bundled into it. `npm test` builds it first.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { createBroker } from "../../agent/mqtt/broker.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { eventually } from "../helpers/eventually.ts";
import { FREE_PORTS } from "../helpers/free-ports.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "dist", "agent", "main.js");

t.test("the built agent opens devices in a process of their own, takes orders from a broker, and says goodbye there", async (t) => {
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  const watching = createBroker(mqttOptionsSchema.parse({ url: mosquitto.url, retryMinMs: 10 }), {
    node: "watcher",
    clock: createSystemClock(),
    log: createFakeLog(),
    readSecrets: () => Promise.resolve({}),
  });
  t.teardown(() => watching.close());
  const latest = new Map<string, string>();
  watching.subscribe("virgo/#", ({ topic, payload }) => {
    latest.set(topic, Buffer.from(payload).toString());
  });
  watching.start();

  const folder = t.testdir();
  const config = join(folder, "virgo.yaml");
  writeFileSync(
    config,
    `node: built\nboard: sim\n${FREE_PORTS}log: { level: error }\nmqtt: { url: "${mosquitto.url}", retryMinMs: 10 }\ndevices: { lamp: { driver: light, line: GPIO17 } }\n`,
  );
  const agent = spawn(process.execPath, [PROGRAM, "agent", "--config", config, "--state", join(folder, "state")], {
    stdio: ["ignore", "ignore", "inherit"],
    // Coverage of what is built would be counted as another program's.
    env: { PATH: process.env["PATH"] },
  });
  t.teardown(() => agent.kill("SIGKILL"));
  const ended = once(agent, "exit");

  await eventually(() => latest.get("virgo/built/lamp/state")?.includes('"OFF"') === true);
  t.equal(latest.get("virgo/built/status"), "online");
  await watching.publish("virgo/built/lamp/set", "ON");
  await eventually(() => latest.get("virgo/built/lamp/state")?.includes('"ON"') === true);
  agent.kill("SIGTERM");
  t.same(await ended, [0, null]);
  await eventually(() => latest.get("virgo/built/status") === "offline");
});
