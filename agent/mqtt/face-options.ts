import { z } from "zod";

/** What the face repeats for one device at the most, milliseconds, where the device moves. */
export const MAX_MOTION_KEEP_MS = 60_000;

const prefixSchema = z.string().regex(/^[^\s#+/]+(\/[^\s#+/]+)*$/, { error: "a topic is words with / between them, without # and +" });

const keepSchema = z
  .union([z.literal("while-connected"), z.int().min(0).max(MAX_MOTION_KEEP_MS)])
  .describe("while-connected, or milliseconds after the command; 0: one lease");

/** `mqtt.devices` in the configuration: devices over MQTT. */
export const faceOptionsSchema = z.strictObject({
  enabled: z.boolean().default(true).describe("whether devices are seen and commanded over MQTT"),
  name: z.string().min(1).max(32).default("mqtt").describe("who commands, in the journal and in refusals"),
  priority: z.int().min(0).max(254).default(100).describe("of its commands; rules have 10, operators 100"),
  allow: z.array(z.string().min(1)).max(1000).default(["*"]).describe("what may be used over MQTT, as in a user's allow list"),
  keep: keepSchema
    .default("while-connected")
    .describe("how long the command of a device that does not move is repeated, so that it outlasts its lease"),
  keepMotion: z
    .record(z.string().min(1), z.int().min(0).max(MAX_MOTION_KEEP_MS))
    .default({})
    .describe("the same for devices that move, by device, milliseconds; 0, one lease, for those not named"),
  stateMs: z.int().min(20).max(60_000).default(200).describe("a device's state is published this often at the most, milliseconds"),
  refreshS: z.int().min(1).max(3600).default(10).describe("and this often even if it is the same, seconds"),
  rememberedIds: z.int().min(16).max(100_000).default(1024).describe("ids of commands by which second comings are known"),
  homeAssistant: z
    .strictObject({
      enabled: z.boolean().default(true).describe("whether devices are announced to Home Assistant"),
      prefix: prefixSchema.default("homeassistant").describe("its discovery prefix"),
      birthDelayMs: z
        .int()
        .min(0)
        .max(60_000)
        .default(2000)
        .describe("when it has started, everything is announced again within this time, at random, milliseconds"),
    })
    .prefault({}),
});

export type FaceOptions = z.output<typeof faceOptionsSchema>;
