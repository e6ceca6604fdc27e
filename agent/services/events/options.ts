import { z } from "zod";

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
});

export type EventsOptions = z.output<typeof eventsOptionsSchema>;
