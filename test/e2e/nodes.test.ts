import t from "tap";

import { startAgent } from "../helpers/start-agent.ts";

const LAMP = "devices: { lamp: { driver: light, line: GPIO17 } }\n";
const PUMP = "devices: { pump: { driver: relay, line: GPIO27 } }\n";

const fleetOf = (name: string, address: string | undefined, more = "") =>
  `fleet: { nodes: { ${name}: { address: "${address ?? ""}" } }, deadlineMs: 1000${more} }\n`;

t.test("a device of another node is called through this one, by name or wherever there is one", async (t) => {
  const barn = await startAgent(t, `node: barn\n${PUMP}`);
  const garage = await startAgent(t, `node: garage\n${LAMP}${fleetOf("barn", barn.agent.addresses["gateway"])}`);
  t.equal(await garage.ask("CLONE NODE barn LEASE 5000 pump.on"), ":1\r\n");
  t.match(barn.agent.journal.latest(1), [{ kind: "actuate", subject: "pump", detail: "on" }]);
  t.equal(await garage.ask("CLONE NODE ANY LEASE 5000 pump.off"), ":0\r\n", "only the barn has a pump");
  t.match(await garage.ask("CLONE NODE ANY LEASE 5000 lamp.on"), /^:100\r\n/, "only the garage has a lamp");
  t.match(await garage.ask("CLONE NODE barm pump.on"), /^-UNKNOWN no node barm is known here \(did you mean barn\?\)/);
  t.match(await garage.ask("NODES"), /barn/);
  await barn.agent.stop();
  t.match(await garage.ask("CLONE NODE barn LEASE 5000 pump.on"), /^-IO .*barn/, "a node that is gone is named");
});
