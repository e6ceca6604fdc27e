import { z } from "zod";

import { faceOptionsSchema } from "./face-options.ts";

const MIB = 1024 * 1024;

/** A topic, or the beginning of one: no wildcards, no empty levels. */
const topicSchema = z.string().regex(/^[^\s#+/]+(\/[^\s#+/]+)*$/, { error: "a topic is words with / between them, without # and +" });

/** What waits on disk for the broker. */
const outboxOptionsSchema = z.strictObject({
  maxBytes: z
    .int()
    .min(8 * MIB)
    .max(64 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes on disk; beyond it the oldest eighth is dropped and counted"),
  maxAgeS: z
    .int()
    .min(1)
    .max(366 * 86_400)
    .default(7 * 86_400)
    .describe("older messages are dropped and counted, seconds"),
  maxTopics: z.int().min(1).max(1_000_000).default(10_000).describe("topics whose newest message waits in memory"),
  maxInFlight: z
    .int()
    .min(1)
    .max(1000)
    .default(50)
    .describe("messages of the outbox sent and not acknowledged yet; others have room beside them"),
  maxPerS: z
    .int()
    .min(1)
    .max(100_000)
    .default(2000)
    .describe("messages sent each second while it catches up: receivers and live traffic keep up with it"),
});

/** `mqtt` in the configuration. */
export const mqttOptionsSchema = z.strictObject({
  url: z.url({ protocol: /^(mqtt|mqtts|ws|wss)$/ }).describe("the broker: mqtt://host:1883, mqtts://host:8883"),
  fallbackUrls: z
    .array(z.url({ protocol: /^(mqtt|mqtts|ws|wss)$/ }))
    .max(16)
    .default([])
    .describe("other brokers of the same cluster, tried in turn"),
  protocol: z.literal([4, 5]).default(5).describe("version of MQTT: 5, or 4 for 3.1.1"),
  clientId: z.string().min(1).max(64).optional().describe("virgo-<node> when absent; one name may be connected once"),
  user: z.string().min(1).max(64).optional(),
  passwordFile: z.string().min(1).optional().describe("a file that holds the password"),
  ca: z.string().min(1).optional().describe("certificate of who signed the broker's"),
  certificate: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
  base: topicSchema.default("virgo").describe("topics begin with it: <base>/<node>/<device>/state"),
  keepAliveS: z
    .int()
    .min(1)
    .max(3600)
    .default(10)
    .describe("the broker tells everybody that the node is offline after 1.5 times this without a sign of life, seconds"),
  connectMs: z.int().min(100).max(120_000).default(5000).describe("time the broker has to answer a connection, milliseconds"),
  retryMinMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(250)
    .describe("pause before the first attempt to connect again, milliseconds; doubled each time"),
  retryMaxMs: z.int().min(10).max(600_000).default(10_000).describe("up to this, milliseconds"),
  maxLosses: z
    .int()
    .min(2)
    .max(100)
    .default(5)
    .describe(
      "after so many connections that the broker ended with the same message unacknowledged it is taken for too large, and given up",
    ),
  maxWaiting: z.int().min(1).max(65_000).default(1000).describe("messages sent and not acknowledged yet; beyond it publishing is refused"),
  maxBacklogBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(8_388_608)
    .describe("bytes written and not taken by the network yet; beyond it publishing is refused"),
  maxMessageBytes: z.int().min(256).max(16_777_216).default(1_048_576).describe("larger messages are not taken"),
  devices: faceOptionsSchema.prefault({}),
  outbox: outboxOptionsSchema.prefault({}),
});

export type MqttOptions = z.output<typeof mqttOptionsSchema>;
export type OutboxOptions = z.output<typeof outboxOptionsSchema>;
