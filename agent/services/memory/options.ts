import { z } from "zod";

const MIB = 1024 * 1024;

const poolSchema = z.strictObject({
  keys: z.string().min(1).max(256).describe("keys that belong to the pool, * stands for any characters"),
  durable: z.boolean().default(false).describe("acknowledged means on disk"),
  maxBytes: z
    .int()
    .min(1024)
    .max(64 * 1024 * MIB)
    .default(16 * MIB)
    .describe("bytes of keys, values and blocks in the pool"),
});

/** `memory` in the configuration. */
export const memoryOptionsSchema = z.strictObject({
  maxBytes: z
    .int()
    .min(1024)
    .max(64 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes of everything that is in no pool"),
  maxBytesPerCaller: z
    .int()
    .min(1024)
    .max(64 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes one caller may hold in blocks"),
  maxBlocks: z.int().min(1).max(10_000_000).default(100_000).describe("blocks allocated at once"),
  maxKeys: z.int().min(1).max(16_000_000).default(1_000_000).describe("keys kept at once"),
  maxValueBytes: z
    .int()
    .min(1024)
    .max(512 * MIB)
    .default(MIB)
    .describe("bytes of one value under a key, also when APPEND makes it longer"),
  maxReplyBytes: z
    .int()
    .min(1024)
    .max(512 * MIB)
    .default(4 * MIB)
    .describe("bytes of values or keys in one answer of MGET, KEYS or SCAN"),
  maxListed: z.int().min(1).max(1_000_000).default(10_000).describe("keys one KEYS or SCAN answers"),
  durable: z.boolean().default(false).describe("whether what is in no pool is on disk when acknowledged"),
  pools: z.record(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/), poolSchema).default({}),
  spread: z.boolean().default(false).describe("lay the chunks of an allocation on all nodes of the fleet, as virgo_malloc did"),
  chunkBytes: z.int().min(16).max(MIB).default(1000).describe("bytes of one chunk when allocations are spread"),
  maxChunks: z.int().min(2).max(65_536).default(4096).describe("chunks of one allocation"),
  chunkLeaseMs: z
    .int()
    .min(1000)
    .max(86_400_000)
    .default(600_000)
    .describe("how long other nodes keep a chunk whose owner is gone, milliseconds; renewed every third of it"),
  deadlineMs: z.int().min(10).max(60_000).default(2000).describe("time another node has for one chunk, milliseconds"),
  useAsKingcobraService: z.boolean().default(false).describe("put classic requests on the queue instead of answering them"),
});

export type MemoryOptions = z.output<typeof memoryOptionsSchema>;
