import { z } from "zod";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** `files` in the configuration. */
export const filesOptionsSchema = z.strictObject({
  root: z.string().min(1).optional().describe("the folder everything is confined to; <state>/files when absent"),
  maxDescriptors: z.int().min(1).max(65_536).default(256).describe("files open at once"),
  descriptorIdleMs: z.int().min(1000).max(86_400_000).default(600_000).describe("an unused descriptor is closed after this, milliseconds"),
  maxFileBytes: z
    .int()
    .min(1)
    .max(1024 * GIB)
    .default(GIB)
    .describe("size of one file, holes included"),
  maxTotalBytes: z
    .int()
    .min(1)
    .max(1024 * GIB)
    .default(4 * GIB)
    .describe("size of all files under the root together"),
  maxFiles: z.int().min(1).max(10_000_000).default(10_000).describe("files and folders under the root"),
  maxDepth: z.int().min(1).max(256).default(32).describe("names of one path: folders within folders, and the file"),
  maxListed: z.int().min(1).max(100_000).default(1000).describe("entries of one FLIST; AFTER lists on"),
  maxReadBytes: z
    .int()
    .min(512)
    .max(64 * MIB)
    .default(MIB)
    .describe("bytes of one read"),
  maxWriteBytes: z
    .int()
    .min(512)
    .max(64 * MIB)
    .default(MIB)
    .describe("bytes of one write, the padding of a classic one included; limits.maxRequestBytes bounds the request"),
  maxInFlight: z
    .int()
    .min(1)
    .max(64)
    .default(3)
    .describe("operations at work at once: of Node's four threads for files one is left to everything else"),
  maxPendingBytes: z
    .int()
    .min(64 * KIB)
    .max(4 * GIB)
    .default(64 * MIB)
    .describe("bytes of reads and writes asked for and not done, at least 512 each"),
});

export type FilesOptions = z.output<typeof filesOptionsSchema>;
