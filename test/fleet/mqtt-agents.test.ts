// Whole agents that know each other through a real broker only.
import t from "tap";

import { createFakeIo } from "../helpers/fake-io.ts";
import { nodesCommand } from "../../agent/cli/nodes.ts";
import { eventually, startAgent, type RunningAgent } from "../helpers/start-agent.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";

interface Teardown {
  teardown(handler: () => unknown): void;
}

function yamlOf(name: string, url: string, devices: string, more = ""): string {
  return `node: ${name}
board: sim
devices: ${devices}
mqtt: { url: "${url}", protocol: 4, retryMinMs: 10, devices: { enabled: false } }
fleet: { mqtt: { enabled: true, checkMs: 50, ${more} } }
`;
}

async function startAgents(t: Teardown, url: string): Promise<Readonly<Record<"garage" | "shed" | "attic", RunningAgent>>> {
  const garage = await startAgent(t, yamlOf("garage", url, "{}"));
  const shed = await startAgent(t, yamlOf("shed", url, "{ lamp: { driver: relay, line: GPIO17 }, fan: { driver: relay, line: GPIO27 } }"));
  const attic = await startAgent(t, yamlOf("attic", url, "{ lamp: { driver: relay, line: GPIO17 } }"));
  return { garage, shed, attic };
}

/** What the command prints. */
async function virgoNodes({ stateFolder }: RunningAgent, known = false): Promise<string> {
  const io = createFakeIo();
  await nodesCommand({ state: stateFolder, known }, io);
  return io.printed.out;
}

const knows = async (agent: RunningAgent, ...texts: readonly string[]) => {
  const nodes = await agent.ask("NODES KNOWN");
  return texts.every((text) => nodes.includes(text));
};

t.test("agents find each other through a broker, and clone to each other by name and to any", async (t) => {
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  const { garage, shed, attic } = await startAgents(t, mosquitto.url);
  await eventually(() => knows(garage, "shed", "attic", "fan", "lamp"));
  t.equal(await garage.ask("CLONE NODE shed fan.on"), ":1\r\n");
  t.equal(shed.board.world.level("GPIO27"), true);
  t.match(shed.agent.journal.latest(1), [{ kind: "actuate", subject: "fan", caller: "mqtt garage", detail: "on" }]);
  t.equal(await garage.ask("CLONE NODE ANY fan.on"), ":1\r\n");
  for (let i = 0; i < 10; i++) t.equal(await garage.ask("CLONE NODE ANY lamp.on"), ":1\r\n");
  t.ok(shed.board.world.level("GPIO17") || attic.board.world.level("GPIO17"));
  t.match(await garage.ask("CLONE NODE shed lamp.dim 7"), /^-UNKNOWN no function lamp\.dim/);
  t.match(await garage.ask("CLONE NODE cellar lamp.on"), /^-UNKNOWN no node cellar/);
  t.match(await garage.ask("CLONE NODE ANY pump.on"), /^-UNKNOWN/);
  t.match(await garage.ask("INFO fleet"), /broker_up:2/);

  const nodes = await virgoNodes(garage);
  t.match(nodes, /^NODE +ADDRESS +HEALTH +LOAD +VERSION +HEARD +ANSWERS +ASKED +FAILED +DEVICES\n/);
  t.match(nodes, /\nshed +mqtt +up +[\d.]+ +0\.0\.0-test +\d+ s ago +in \d+ ms +\d+ +0 +lamp fan\n/);
  t.match(await virgoNodes(garage, true), /\nattic +mqtt +up +[\d.]+ +0\.0\.0-test +\d+ s ago +\d+ +\d+ +lamp\n/, "nobody was asked");

  await shed.agent.stop();
  await eventually(() => knows(garage, "it is offline"));
  t.match(await virgoNodes(garage), /\nshed +mqtt +down: it is offline +[\d.]+ +0\.0\.0-test +\d+ s ago, offline +no +/);
  t.match(await garage.ask("CLONE NODE shed fan.on"), /^-NOT_READY node shed is not reached over the broker: it is offline/);
  for (let i = 0; i < 5; i++) t.equal(await garage.ask("CLONE NODE ANY lamp.on"), ":1\r\n");

  await mosquitto.stop("SIGKILL");
  await eventually(() => knows(garage, "no connection to the broker"));
  t.match(await garage.ask("CLONE NODE attic lamp.on"), /^-NOT_READY/);
  await mosquitto.start();
  await eventually(async () => (await garage.ask("CLONE NODE attic lamp.on")) === ":1\r\n");
});
