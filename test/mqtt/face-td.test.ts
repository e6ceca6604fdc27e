import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t from "tap";
import { z } from "zod";

import { createFakeIo } from "../helpers/fake-io.ts";
import { runCli } from "../../agent/cli/program.ts";

// Of validation/td-json-schema-validation.json of wot-thing-description 1.1: what is required, and what is used here.
const formSchema = z.strictObject({
  href: z.url(),
  op: z.union([z.string(), z.array(z.string())]),
  contentType: z.literal("application/json"),
  "mqv:controlPacket": z.enum(["publish", "subscribe"]),
  "mqv:topic": z.string().optional(),
  "mqv:filter": z.string().optional(),
  "mqv:qos": z.enum(["0", "1", "2"]),
  "mqv:retain": z.literal(true).optional(),
});
const forms = z.array(formSchema).min(1);
const dataSchema = z.looseObject({ type: z.enum(["boolean", "integer", "number", "string", "object", "array", "null"]).optional() });
const propertySchema = dataSchema.extend({ forms, readOnly: z.boolean(), observable: z.boolean() });
const actionSchema = z.strictObject({
  title: z.string(),
  description: z.string(),
  input: dataSchema,
  safe: z.boolean(),
  idempotent: z.boolean(),
  synchronous: z.boolean(),
  forms,
});
const eventSchema = z.strictObject({ title: z.string(), data: dataSchema, forms });
const tdSchema = z
  .strictObject({
    "@context": z.tuple([z.literal("https://www.w3.org/2022/wot/td/v1.1"), z.record(z.string(), z.string())]),
    "@type": z.string(),
    id: z.string().startsWith("urn:"),
    title: z.string().min(1),
    description: z.string(),
    version: z.strictObject({ instance: z.string() }),
    securityDefinitions: z.record(z.string(), z.looseObject({ scheme: z.string() })),
    security: z.array(z.string()).min(1),
    properties: z.record(z.string(), propertySchema),
    actions: z.record(z.string(), actionSchema),
    events: z.record(z.string(), eventSchema),
  })
  .refine(({ security, securityDefinitions }) => security.every((name) => name in securityDefinitions), "security is defined");

t.test("a node's Thing Description has what W3C requires of one, without an agent", async (t) => {
  const file = join(t.testdir(), "virgo.yaml");
  writeFileSync(
    file,
    [
      "node: garage",
      "board: sim",
      "mqtt: { url: mqtt://broker:1883 }",
      "devices:",
      "  lamp: { driver: light, pwm: { chip: sim, channel: 0 } }",
      "  bell: { driver: button, line: GPIO4 }",
      "  battery: { driver: ina219, bus: 1 }",
      "  gate: { driver: cover, open: GPIO6, close: GPIO7, openMs: 500, closeMs: 500 }",
      "  pump: { driver: relay, line: GPIO5, enabled: false }",
      "",
    ].join("\n"),
  );
  const io = createFakeIo();
  t.equal(await runCli(["td", "--offline", "--config", file], io), 0);
  t.equal(io.printed.error, "pump is not open: its functions are not described\n");
  const td: unknown = JSON.parse(io.printed.out);
  const parsed = tdSchema.safeParse(td);
  t.strictSame(parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`), []);
  t.match(td, {
    properties: {
      lamp: {
        type: "object",
        properties: { brightness: { oneOf: [{ type: "number", minimum: 0, maximum: 100, unit: "%" }, { type: "null" }] } },
        readOnly: true,
        forms: [{ href: "mqtt://broker:1883/virgo/garage/lamp/state", "mqv:filter": "virgo/garage/lamp/state" }],
      },
      "lamp.brightness": {
        type: "number",
        unit: "%",
        writeOnly: true,
        forms: [{ op: "writeproperty", "mqv:topic": "virgo/garage/lamp/set/brightness" }],
      },
      "gate.state": { enum: ["OPEN", "CLOSE", "STOP"] },
      gate: { properties: { state: { oneOf: [{ enum: ["open", "opening", "closed", "closing", "stopped", "unknown"] }] } } },
      battery: { readOnly: true, properties: { voltage: { oneOf: [{ type: "number", unit: "V" }] } } },
    },
    actions: {
      "lamp.brightness": {
        safe: false,
        input: { properties: { call: { const: "lamp.brightness" }, args: { items: [{ title: "percent", type: "number" }] } } },
      },
      "lamp.state": { safe: true, idempotent: true },
    },
    events: { "bell.press": { data: { properties: { event_type: { const: "press" } } } } },
  });
});

t.test("without a configuration, with a wrong one, and without an agent it says what is missing", async (t) => {
  const folder = t.testdir({ "bad.yaml": "devices: { lamp: { driver: lihgt } }\n", "good.yaml": "board: sim\n" });
  const bad = createFakeIo();
  t.equal(await runCli(["td", "--config", join(folder, "bad.yaml")], bad), 2);
  t.match(bad.printed.error, /lihgt/);
  const nobody = createFakeIo();
  t.equal(await runCli(["td", "--config", join(folder, "good.yaml"), "--host", "127.0.0.1", "--port", "1"], nobody), 3);
});
