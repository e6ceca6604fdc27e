import { z } from "zod";

const DAY_MS = 86_400_000;
const MIB = 1024 * 1024;

const patterns = z
  .array(
    z.string().regex(/^!?[^\s=,"']{1,128}$/, {
      error: "a pattern is a variable's name, * for anything, ? for one character, ! in front for none of these",
    }),
  )
  .min(1);

const pace = {
  rateHz: z
    .number()
    .min(0.001)
    .max(1000)
    .optional()
    .describe("of one variable at most so often, the latest value; every update where absent"),
  deadband: z
    .number()
    .min(0)
    .optional()
    .describe("a number is sent when it differs by more from what was sent, 0: when it differs; every update where absent"),
  repeatMs: z
    .int()
    .min(10)
    .max(DAY_MS)
    .optional()
    .describe("an update within the deadband is sent all the same after so long, milliseconds"),
  batchMs: z.int().min(0).max(60_000).default(0).describe("values are collected for so long and sent together, milliseconds"),
};

/** How often what is sent. The first that has a pattern for a variable decides. */
export const paceSchema = z.strictObject({ variables: patterns.describe("names, with * and ?"), ...pace });

const selected = {
  variables: patterns.default(["*"]).describe("names, with * and ?; ! in front leaves out"),
  ...pace,
  paces: z.array(paceSchema).default([]).describe("variables with a pace of their own; the first that fits decides"),
};

const backlog = z
  .int()
  .min(1024)
  .max(256 * MIB)
  .default(MIB)
  .describe("bytes waiting to be taken; beyond them only the latest values wait");

/** `host:port` as elsewhere in the configuration. */
export function tcpSinkSchema(address: z.ZodType<string>) {
  return z.strictObject({
    tcp: address.describe("host:port of a collector of name=value lines, or where readers connect"),
    listen: z.boolean().default(false).describe("listen there for readers instead of connecting out"),
    maxReaders: z.int().min(1).max(10_000).default(64).describe("readers at once, with listen; more are turned away"),
    maxBacklogBytes: backlog,
    minRetryMs: z.int().min(10).max(DAY_MS).default(100).describe("pause before connecting again, twice as long each time, milliseconds"),
    maxRetryMs: z.int().min(10).max(DAY_MS).default(5000).describe("up to this, milliseconds"),
    ...selected,
  });
}

const rotateSchema = z.strictObject({
  maxBytes: z
    .int()
    .min(1024)
    .max(1024 * 1024 * MIB)
    .default(64 * MIB)
    .describe("a file that has become larger is put aside"),
  maxAgeMs: z
    .int()
    .min(1000)
    .max(366 * DAY_MS)
    .optional()
    .describe("a file that has become older is put aside, milliseconds"),
  keep: z.int().min(0).max(1000).default(5).describe("files put aside that are kept, FILE.1 the newest"),
});

export const fileSinkSchema = z.strictObject({
  file: z.string().min(1).describe("lines of time=…,name=value,… are added to it"),
  rotate: rotateSchema.prefault({}),
  fsync: z
    .enum(["never", "rotate", "always"])
    .default("rotate")
    .describe("when it is made sure that lines are on the disk: never, when a file is put aside, after each write"),
  maxBacklogBytes: backlog.describe("bytes waiting for the disk; beyond them lines are left out and counted"),
  retryMs: z.int().min(10).max(DAY_MS).default(5000).describe("pause after a write that failed, as on a full disk, milliseconds"),
  ...selected,
});

export const mqttSinkSchema = z.strictObject({
  mqtt: z
    .string()
    .regex(/^[^\s#+/]+(\/[^\s#+/]+)*$/, {
      error: "a topic is words with / between them, without # and +; {name} stands for the variable's",
    })
    .describe("a topic of the broker; with {name} in it each variable has a message of its own"),
  policy: z
    .enum(["latest", "queue", "drop"])
    .default("latest")
    .describe(
      "without a connection: latest: everything once as it is afterwards; queue: every message is kept, on disk, and sent in order; drop: none",
    ),
  qos: z.literal([0, 1]).default(0).describe("quality of service; what is queued has 1"),
  retain: z.boolean().default(false).describe("the broker keeps the last message for who subscribes later"),
  format: z.enum(["pairs", "json"]).default("pairs").describe("name=value lines, or a JSON object with the time in Unix milliseconds"),
  ...selected,
});

export type Selected = Pick<z.output<typeof fileSinkSchema>, "variables" | "rateHz" | "deadband" | "repeatMs" | "batchMs" | "paces">;
export type FileSinkOptions = z.output<typeof fileSinkSchema>;
export type MqttSinkOptions = z.output<typeof mqttSinkSchema>;
