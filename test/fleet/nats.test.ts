// Nodes of one fleet at three brokers that are one: Debian's nats-server, MQTT 3.1.1.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import t from "tap";

import { freePort } from "../helpers/mosquitto.ts";
import { createNatsNode, takesMqtt, type NatsNode } from "../helpers/nats.ts";
import { eventually, startAgent, type RunningAgent } from "../helpers/start-agent.ts";

t.test("nodes at different brokers of a cluster find each other, clone, and go on when a broker dies", { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "virgo-nats-"));
  const host = "127.0.0.1";
  const names = ["one", "two", "three"];
  const ports = await Promise.all(names.map(async () => ({ client: await freePort(), cluster: await freePort(), mqtt: await freePort() })));
  const routes = ports.map(({ cluster }) => `${host}:${cluster}`);
  const brokers = names.map((name, i) => createNatsNode({ name, folder, host, ports: ports[i]!, routes }));
  t.teardown(async () => {
    await Promise.all(brokers.map((broker) => broker.stop("SIGKILL")));
    rmSync(folder, { recursive: true, force: true });
  });
  for (const broker of brokers) broker.start();
  for (const { mqtt } of ports) await eventually(() => takesMqtt(host, mqtt));

  const urls = ports.map(({ mqtt }) => `mqtt://${host}:${mqtt}`);
  const agent = (node: string, first: number, devices: string): Promise<RunningAgent> => {
    const [url, ...fallback] = [...urls.slice(first), ...urls.slice(0, first)];
    return startAgent(
      t,
      `node: ${node}
board: sim
devices: ${devices}
mqtt: { url: "${url}", fallbackUrls: ${JSON.stringify(fallback)}, protocol: 4, retryMinMs: 50, retryMaxMs: 500, devices: { enabled: false } }
fleet: { mqtt: { enabled: true, checkMs: 100, renewMs: 1000, expireMs: 10000, confirmMs: 0 } }
`,
    );
  };
  const lamp = "{ lamp: { driver: relay, line: GPIO17 } }";
  const garage = await agent("garage", 0, "{}");
  const shed = await agent("shed", 1, lamp);
  await agent("attic", 2, lamp);
  const isUp = (count: number) => async () => (await garage.ask("INFO fleet")).includes(`broker_up:${count}\r\n`);
  await eventually(isUp(2));
  t.equal(await garage.ask("CLONE NODE shed lamp.on"), ":1\r\n");
  t.equal(shed.board.world.level("GPIO17"), true);

  await (brokers[1] as NatsNode).stop("SIGKILL");
  t.equal(await garage.ask("CLONE NODE ANY lamp.on"), ":1\r\n", "the node at the broker that died is not waited for");
  await eventually(async () => (await garage.ask("CLONE NODE shed lamp.on")) === ":1\r\n");
});
