import { z } from "zod";

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;

const topicSchema = z.string().regex(/^[^\s\p{Cc}]{1,128}$/u, { error: "a topic is named by 1 to 128 characters without blanks" });

const handlerSchema = z
  .strictObject({
    topic: topicSchema,
    call: z.string().min(1).optional().describe("device.function, called with the payload's words as arguments"),
    run: z.string().startsWith("/").optional().describe("an executable of clone.executables, run with the payload as its argument"),
    inFlight: z.int().min(1).max(256).default(2).describe("messages handled at once"),
  })
  .refine((handler) => (handler.call === undefined) !== (handler.run === undefined), {
    error: "a handler has either call or run",
  });

export type QueueHandlerOptions = z.output<typeof handlerSchema>;

/** `queue` in the configuration. */
export const queueOptionsSchema = z.strictObject({
  maxMessages: z.int().min(1).max(10_000_000).default(100_000).describe("messages kept, all topics together"),
  maxBytes: z
    .int()
    .min(1024)
    .max(16 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes of their payloads"),
  maxMessageBytes: z.int().min(1).max(MIB).default(MIB).describe("bytes of one payload, or of one reply"),
  visibilityMs: z
    .int()
    .min(10)
    .max(DAY_MS)
    .default(30_000)
    .describe("a delivered message that is not acknowledged is delivered again after this, milliseconds"),
  maxVisibilityMs: z.int().min(10).max(DAY_MS).default(DAY_MS).describe("the most DEQUEUE may ask for as VISIBILITY, NACK as DELAY"),
  maxWaitMs: z.int().min(0).max(DAY_MS).default(300_000).describe("the most DEQUEUE and AWAIT may ask for as WAIT"),
  maxWaiting: z.int().min(1).max(1_000_000).default(10_000).describe("DEQUEUE and AWAIT requests waiting at once"),
  maxDeliveries: z.int().min(1).max(1000).default(5).describe("deliveries after which a message goes to its dead-letter topic"),
  deadLetter: z
    .string()
    .regex(/^[^\s\p{Cc}]{1,64}$/u, { error: "the dead-letter prefix is 1 to 64 characters without blanks" })
    .default("dead.")
    .describe("put before the name of the topic"),
  retryMs: z
    .int()
    .min(1)
    .max(DAY_MS)
    .default(1000)
    .describe("wait before a message that its handler failed on is handled again; doubles with every delivery, milliseconds"),
  replyMs: z.int().min(100).max(DAY_MS).default(600_000).describe("how long a reply is kept for AWAIT, milliseconds"),
  maxReplies: z.int().min(1).max(10_000_000).default(10_000).describe("replies kept; beyond it the oldest is dropped"),
  maxReplyBytes: z
    .int()
    .min(MIB)
    .max(16 * 1024 * MIB)
    .default(16 * MIB)
    .describe("bytes of all replies kept; beyond it the oldest are dropped"),
  handlers: z.array(handlerSchema).default([]),
  file: z
    .string()
    .min(1)
    .optional()
    .describe("REQUEST_REPLY.queue as the original wrote it; <state>/queue/REQUEST_REPLY.queue when absent"),
  fileBytes: z
    .int()
    .min(0)
    .max(1024 * MIB)
    .default(4 * MIB)
    .describe("size at which that file is set aside as .1; 0 writes none"),
});

export type QueueOptions = z.output<typeof queueOptionsSchema>;
