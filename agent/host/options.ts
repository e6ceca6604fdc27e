import { z } from "zod";

/** What bounds the device host. */
export const hostOptionsSchema = z.strictObject({
  openMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(5000)
    .describe("time limit of opening one device; beyond it that device failed, milliseconds"),
  loadMs: z.int().min(100).max(60_000).default(5000).describe("time limit of loading one module, milliseconds"),
  insmodFrom: z
    .array(z.string().min(1))
    .default(["modules", "node_modules"])
    .describe("folders, from the configuration's on, out of which INSMOD may load what the configuration does not list"),
});
