import { z } from "zod";

const MIB = 1024 * 1024;

const handlerSchema = z
  .strictObject({
    topic: z.string().min(1).max(128),
    call: z.string().min(1).optional().describe("device.function, called with the payload's words as arguments"),
    run: z.string().startsWith("/").optional().describe("an executable of clone.executables, run with the payload as its argument"),
    inFlight: z.int().min(1).max(256).default(2).describe("messages handled at once"),
  })
  .refine((handler) => (handler.call === undefined) !== (handler.run === undefined), {
    error: "a handler has either call or run",
  });

/** `queue` in the configuration. */
export const queueOptionsSchema = z.strictObject({
  maxMessages: z.int().min(1).max(10_000_000).default(100_000).describe("messages kept, all topics together"),
  maxBytes: z
    .int()
    .min(1024)
    .max(16 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes of their payloads"),
  maxMessageBytes: z.int().min(1).max(MIB).default(MIB).describe("bytes of one payload"),
  visibilityMs: z
    .int()
    .min(10)
    .max(86_400_000)
    .default(30_000)
    .describe("a delivered message that is not acknowledged is delivered again after this, milliseconds"),
  maxDeliveries: z.int().min(1).max(1000).default(5).describe("deliveries after which a message goes to its dead-letter topic"),
  deadLetter: z.string().min(1).max(64).default("dead.").describe("put before the name of the topic"),
  replyMs: z.int().min(100).max(86_400_000).default(600_000).describe("how long a reply is kept for AWAIT, milliseconds"),
  handlers: z.array(handlerSchema).default([]),
  file: z
    .string()
    .min(1)
    .optional()
    .describe("REQUEST_REPLY.queue as the original wrote it; <state>/queue/REQUEST_REPLY.queue when absent"),
});

export type QueueOptions = z.output<typeof queueOptionsSchema>;
