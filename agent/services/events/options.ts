import { z } from "zod";

const MIB = 1024 * 1024;

/** `events` in the configuration. */
export const eventsOptionsSchema = z.strictObject({
  folder: z
    .string()
    .min(1)
    .optional()
    .describe("where EventNetVertices.txt, EventNetEdges.txt and EventNetOrdering.txt are; <state>/eventnet when absent"),
  duplicates: z.enum(["keep", "ignore"]).default("keep").describe("what an edge that is already there does"),
  maxVertices: z.int().min(1).max(16_000_000).default(1_000_000).describe("vertices kept"),
  maxEdges: z.int().min(1).max(64_000_000).default(4_000_000).describe("edges kept"),
  maxVertexBytes: z
    .int()
    .min(256)
    .max(256 * 1024)
    .default(65_536)
    .describe("bytes of the partakers and conversations of one vertex"),
  maxTextBytes: z
    .int()
    .min(1024)
    .max(4096 * MIB)
    .default(64 * MIB)
    .describe("bytes of all ids, partakers and conversations together"),
  maxCauses: z.int().min(1).max(100_000).default(1000).describe("causes EVENT.WHY answers at most"),
  maxReplyBytes: z
    .int()
    .min(MIB)
    .max(512 * MIB)
    .default(7 * MIB)
    .describe("bytes of one EVENT.GRAPH or EVENT.ORDER; must be below limits.maxOutputBytes"),
  fileMs: z
    .int()
    .min(10)
    .max(3_600_000)
    .default(1000)
    .describe("EventNetVertices.txt and EventNetOrdering.txt are rewritten at most so often, milliseconds"),
});

export type EventsOptions = z.output<typeof eventsOptionsSchema>;
