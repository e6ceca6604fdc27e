import { z } from "zod";

const MIB = 1024 * 1024;
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
    .describe("size of one file"),
  maxTotalBytes: z
    .int()
    .min(1)
    .max(1024 * GIB)
    .default(4 * GIB)
    .describe("size of all files under the root together"),
  maxFiles: z.int().min(1).max(10_000_000).default(10_000).describe("files and folders under the root"),
  maxReadBytes: z
    .int()
    .min(512)
    .max(64 * MIB)
    .default(MIB)
    .describe("bytes of one read"),
});

export type FilesOptions = z.output<typeof filesOptionsSchema>;
