import { isIP } from "node:net";

import { z } from "zod";

import { auditOptionsSchema, authOptionsSchema, tlsOptionsSchema } from "../access/options.ts";
import { limitsSchema } from "../contract/limits.ts";
import { fleetOptionsSchema } from "../fleet/options.ts";
import { motionLimitsSchema } from "../host/motion-limits.ts";
import { hostOptionsSchema } from "../host/options.ts";
import { keeperSchema } from "../keeper/options.ts";
import { linkLimitsSchema } from "../link/limits.ts";
import { mqttOptionsSchema } from "../mqtt/options.ts";
import { eventsOptionsSchema } from "../services/events/options.ts";
import { filesOptionsSchema } from "../services/files/options.ts";
import { memoryOptionsSchema } from "../services/memory/options.ts";
import { queueOptionsSchema } from "../services/queue/options.ts";
import { drivingSchema } from "../../analytics/driving/options.ts";
import { fileSinkSchema, mqttSinkSchema, tcpSinkSchema } from "../../analytics/sinks/options.ts";
import { logSourceSchema } from "../../analytics/sources/options.ts";
import { derivedVariablesSchema } from "../../analytics/statistics/options.ts";

/** `host:port`, `[v6]:port`; port 0 picks a free one. */
const addressSchema = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5}$/, { error: "an address is host:port, for example 127.0.0.1:10000", abort: true })
  .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, { error: "a port is 0 to 65535" })
  .describe("host:port");

/** `192.168.2.0/24`, `192.168.2.80`, `fd00::/8` */
const networkSchema = z.string().refine(isNetwork, { error: "an address or a network, for example 192.168.2.80 or 192.168.2.0/24" });

function isNetwork(text: string): boolean {
  const [address = "", prefix, ...more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

function isFilter(text: string): boolean {
  const levels = text.split("/");
  return levels.every((level, i) => /^(\+|[^\s#+]+)$/.test(level) || (level === "#" && i === levels.length - 1));
}

const listenAddressSchema = z.union([addressSchema, z.literal(false)]);

const listenSchema = z.strictObject({
  clone: listenAddressSchema.default("127.0.0.1:10000").describe("virgo_clone, both dialects"),
  eventnet: listenAddressSchema.default("127.0.0.1:20000").describe("EventNet, both dialects"),
  memory: listenAddressSchema.default("127.0.0.1:30000").describe("memory, both dialects"),
  files: listenAddressSchema.default("127.0.0.1:50000").describe("files, both dialects"),
  queue: listenAddressSchema.default("127.0.0.1:60000").describe("queue, both dialects"),
  gateway: listenAddressSchema.default("127.0.0.1:6390").describe("all verbs, modern dialect only"),
  secure: listenAddressSchema.default(false).describe("all verbs, modern dialect, TLS 1.3 only; needs tls"),
});

const cloneSchema = z.strictObject({
  parameterIsExecutable: z
    .literal([0, 1, 2])
    .default(2)
    .describe("what a bare token is: 2 a device function, 1 an executable, 0 a plugin function"),
  executables: z
    .array(z.string().startsWith("/", { error: "an executable is an absolute path" }))
    .default([])
    .describe("allow-list of mode 1"),
  plugins: z.array(z.string().min(1)).default([]).describe("allow-list of mode 0: ES modules whose exported functions may be named"),
  timeLimitMs: z.int().min(10).max(3_600_000).default(10_000).describe("time limit of modes 1 and 0, milliseconds"),
  maxRunning: z.int().min(1).max(256).default(4).describe("executables and plugin calls running at once"),
  useAsKingcobraService: z.boolean().default(false).describe("put every classic token on the queue instead of running it"),
});

const classicSchema = z.strictObject({
  allow: z.array(networkSchema).default([]).describe("addresses and networks beside loopback that may speak the classic dialect"),
  addressWidth: z.literal([32, 64]).default(64).describe("bits of the addresses virgo_cloud_malloc answers: 64 is 16 hex digits, 32 is 8"),
  padWrites: z.boolean().default(true).describe("virgo_cloud_write fills up with NUL to its count, as the original's files are"),
  queueReply: z
    .enum(["ack", "nul"])
    .default("ack")
    .describe("what port 60000 answers: the 125-byte text, or 500 NULs as builds since 2015 did"),
});

const lossSchema = z.union([z.enum(["safe", "off", "hold"]), z.strictObject({ value: z.union([z.number(), z.boolean()]) })]);

const driverNameSchema = z.string().min(1).describe("the name of a driver, for example light");

/** What every device has beside its driver's own options. */
export const deviceCommonSchema = z.strictObject({
  driver: driverNameSchema,
  enabled: z.boolean().default(true).describe("false leaves the device closed; it is listed as skipped"),
  leaseMs: z.int().optional().describe("lease of a command that asks for none, milliseconds; the driver's default otherwise"),
  onLoss: lossSchema.default("safe").describe("what happens when the lease ends"),
  onExit: lossSchema.default("safe").describe("what happens when the agent stops"),
  exclusive: z
    .boolean()
    .default(false)
    .describe("a second caller of the same priority is refused while a lease is live; otherwise the latest command wins"),
  group: z.string().min(1).optional().describe("motion group: devices of one group go safe together"),
  callMs: z.int().min(1).max(60_000).default(1000).describe("time limit of one function call; beyond it the device faults, milliseconds"),
});

export type DeviceCommon = z.output<typeof deviceCommonSchema>;

const sourceSchema = z.union([
  z.strictObject({
    tcp: addressSchema.describe("host:port where `nc -l` or the analytics serves pairs"),
    listen: z.boolean().default(false).describe("listen there instead of connecting out"),
    idleMs: z.int().min(100).max(86_400_000).optional().describe("silence after which the connection is opened afresh, milliseconds"),
  }),
  z.strictObject({
    file: z.string().min(1).describe("a virgo_kernel_analytics.conf; watched"),
  }),
  z.strictObject({
    mqtt: z
      .string()
      .refine(isFilter, { error: "a topic filter is words, + or, at the end, # with / between them, for example virgo/analytics/#" })
      .describe("topics of the broker; values, pairs or JSON objects on them"),
    qos: z.literal([0, 1]).default(0).describe("quality of service"),
    retained: z.boolean().default(false).describe("take also what the broker has stored, however old it is"),
  }),
  logSourceSchema,
]);

const variableSchema = z.strictObject({
  unit: z.string().min(1).max(32).optional(),
  staleMs: z.int().min(1).max(86_400_000).default(2000).describe("older than this, nothing may be decided on it, milliseconds"),
  min: z.number().optional(),
  max: z.number().optional(),
});

const analyticsSchema = z.strictObject({
  sources: z.array(sourceSchema).default([]),
  variables: z.record(z.string(), variableSchema).default({}),
  staleMs: z.int().min(1).max(86_400_000).default(2000).describe("for variables that declare none, milliseconds"),
  derived: derivedVariablesSchema.default({}).describe("variables made of others: averages, rates, anomalies, predictions"),
  sinks: z
    .array(z.union([tcpSinkSchema(addressSchema), fileSinkSchema, mqttSinkSchema]))
    .default([])
    .describe("where variables are sent"),
  driving: drivingSchema.optional().describe("plan a vehicle's motion from distance tables"),
});

const watchdogSchema = z.strictObject({
  device: z
    .string()
    .startsWith("/dev/", { error: "a watchdog is a device, for example /dev/watchdog" })
    .default("/dev/watchdog")
    .describe("the watchdog's device"),
  timeoutS: z
    .int()
    .min(1)
    .max(3600)
    .default(15)
    .describe("the machine is reset when the control loop has stood still for so long, seconds"),
});

export const ruleSchema = z.strictObject({
  when: z.string().min(1).describe("CEL over variables and device values"),
  call: z.string().min(1).describe('device function, for example lamp.beam("low"); arguments are CEL too'),
  leaseMs: z.int().optional().describe("lease of each call, milliseconds; the device's otherwise"),
  priority: z.int().min(0).max(99).default(10).describe("below operators (100)"),
});

/** The file's outer shape. Devices are checked by `deviceCommonSchema` and then by their driver's options. */
export const configSchema = z.strictObject({
  node: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, { error: "a node is named by 1 to 64 letters, digits, - and _" })
    .default("virgo"),
  board: z.string().min(1).default("auto").describe("auto, sim, or a file of firmware-configs/boards"),
  isolation: z
    .enum(["process", "none"])
    .default("process")
    .describe("process: devices run in a process of their own, which stays safe when the rest dies; none: everything in one process"),
  modules: z
    .array(z.string().min(1))
    .default([])
    .describe("drivers of others: files (./fan.js), from the configuration's folder on, or npm packages"),
  listen: listenSchema.prefault({}),
  clone: cloneSchema.prefault({}),
  kingcobra: z
    .boolean()
    .default(true)
    .describe("a classic token on port 10000 that names nothing goes to the queue; false answers ERR UNKNOWN"),
  host: hostOptionsSchema.prefault({}),
  keeper: keeperSchema.prefault({}),
  link: linkLimitsSchema.prefault({}),
  motion: motionLimitsSchema.prefault({}),
  watchdog: watchdogSchema.optional().describe("the hardware watchdog; without it none is opened"),
  memory: memoryOptionsSchema.prefault({}),
  files: filesOptionsSchema.prefault({}),
  events: eventsOptionsSchema.prefault({}),
  queue: queueOptionsSchema.prefault({}),
  fleet: fleetOptionsSchema.prefault({}),
  mqtt: mqttOptionsSchema.optional().describe("a broker of messages; without it there is none"),
  classic: classicSchema.prefault({}),
  auth: authOptionsSchema.prefault({}),
  tls: tlsOptionsSchema.optional(),
  audit: auditOptionsSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  log: z.strictObject({ level: z.enum(["debug", "info", "warn", "error", "silent"]).default("info") }).prefault({}),
  devices: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: "a device is named by letters, digits and _, not starting with a digit" }),
      z.looseObject({ driver: driverNameSchema }),
    )
    .default({}),
  analytics: analyticsSchema.prefault({}),
  rules: z.record(z.string().min(1).max(64), ruleSchema).default({}),
});

export type RawConfig = z.output<typeof configSchema>;
