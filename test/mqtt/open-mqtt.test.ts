import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import { createBroker } from "../../agent/mqtt/broker.ts";
import { mqttOptionsSchema } from "../../agent/mqtt/options.ts";
import { createFakeLog } from "../helpers/fake-log.ts";
import { freePort, startMosquitto } from "../helpers/mosquitto.ts";
import { eventually, startAgent } from "../helpers/start-agent.ts";

t.test("an agent listens without its broker, and is known to it as soon as it is there", async (t) => {
  const port = await freePort();
  const { ask, agent } = await startAgent(t, `node: n1\nmqtt: { url: "mqtt://127.0.0.1:${port}", retryMinMs: 10, retryMaxMs: 20 }\n`);
  t.match(await ask("INFO mqtt"), /connected:0/);
  const server = await startMosquitto({ port });
  t.teardown(() => server.close());
  const watcher = createBroker(mqttOptionsSchema.parse({ url: server.url }), {
    node: "watcher",
    clock: createSystemClock(),
    log: createFakeLog(),
    readSecrets: () => Promise.resolve({}),
  });
  t.teardown(() => watcher.close());
  const states: string[] = [];
  watcher.subscribe("virgo/n1/status", ({ payload }) => {
    states.push(Buffer.from(payload).toString());
  });
  watcher.start();
  await eventually(() => states.includes("online"));
  t.match(await ask("INFO mqtt"), /connected:1\r\nbroker:mqtt:\/\/127\.0\.0\.1:\d+\r\nprotocol:5/);
  await agent.stop();
  await eventually(() => states.at(-1) === "offline");
});

t.test("the password is in a file, which is read with each connection", async (t) => {
  const folder = t.testdir({ password: "wrong\n" });
  const passwords = join(folder, "passwords");
  // mosquitto_passwd -b FILE virgo secret
  writeFileSync(
    passwords,
    "virgo:$7$101$8zysnK5MtTovjrLz$+NMiAx+YpBSzjUAwKP6CBhyqtLqtLfwacxG/c0Tveo6fk7DmzEWfp3e5cqzt7QqGe+y8pdHSgBeBPVzXISJ7Lw==\n",
  );
  const server = await startMosquitto({ lines: ["allow_anonymous false", `password_file ${passwords}`] });
  t.teardown(() => server.close());
  const file = join(folder, "password");
  const options = `url: "${server.url}", user: virgo, passwordFile: ${file}, retryMinMs: 10, retryMaxMs: 20`;
  const { ask } = await startAgent(t, `mqtt: { ${options} }\n`);
  await eventually(async () => (await ask("INFO mqtt")).includes("refuses the connection"));
  writeFileSync(file, "secret\n");
  await eventually(async () => (await ask("INFO mqtt")).includes("connected:1"));
  t.pass("connected");
});
