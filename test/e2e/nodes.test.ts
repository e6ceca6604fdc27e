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

t.test(
  "an allocation is laid over both nodes and read back whole; with one node gone only what lies there is lost, and said",
  async (t) => {
    const barn = await startAgent(t, "node: barn");
    const address = barn.agent.addresses["gateway"];
    const spread = "memory: { spread: true, chunkBytes: 1000, deadlineMs: 1000 }\n";
    const garage = await startAgent(t, `node: garage\n${spread}${fleetOf("barn", address, ", balancer: prg, seed: 7")}`);
    const value = Array.from({ length: 2500 }, (_, i) => String.fromCharCode(33 + (i % 90))).join("");
    const vuids: string[] = [];
    for (let i = 0; i < 6; i++) {
      const vuid = bulkOf(await garage.ask("MALLOC 2500"));
      t.match(vuid, /^garage:ffff88[0-9a-f]{10}$/, "pinned to the node that was asked");
      t.match(await garage.exchange("memory", arrayOf("SETM", vuid, value)), /^:\d+\r\n$/);
      t.equal(bulkOf(await garage.ask(`GETM ${vuid}`)), value, "whole, whoever has the chunks");
      vuids.push(vuid);
    }
    t.ok(Number(/# memory\r\n(?:.+\r\n)*?blocks:(\d+)/.exec(await barn.ask("INFO memory"))?.[1]) >= 6, "the barn has its share");
    const small = bulkOf(await garage.ask("MALLOC 100"));
    await garage.ask(`SETM ${small} here`);
    await barn.agent.stop();
    const replies = await Promise.all(vuids.map((vuid) => garage.ask(`GETM ${vuid}`)));
    const lost = replies.filter((reply) => reply.startsWith("-"));
    t.ok(lost.length > 0, "some had a chunk there");
    for (const reply of lost) t.match(reply, /^-IO .*barn/, "the node is named");
    t.equal(bulkOf(await garage.ask(`GETM ${small}`)), "here", "what lies here is not affected");
    t.match(await garage.ask("MALLOC 100"), /^\$/, "and neither is what is allocated next");
  },
);

function bulkOf(reply: string): string {
  return /^\$\d+\r\n([\s\S]*)\r\n$/.exec(reply)?.[1] ?? reply;
}

function arrayOf(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}
