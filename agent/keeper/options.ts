import { z } from "zod";

/** How the device host's process is watched and started again. */
export const keeperSchema = z
  .strictObject({
    heartbeatMs: z.int().min(10).max(5000).default(50).describe("the device host says this often that it is alive, milliseconds"),
    missedBeats: z
      .int()
      .min(2)
      .max(100)
      .default(3)
      .describe("periods in a row without a sign of life after which it is killed and everything made safe"),
    openMs: z.int().min(500).max(600_000).default(20_000).describe("time it has to open every device, milliseconds"),
    stopMs: z.int().min(100).max(60_000).default(6000).describe("time it has to end when it is asked to, milliseconds"),
    safeMs: z.int().min(10).max(60_000).default(1000).describe("time one device has to be made safe from outside, milliseconds"),
    restartMinMs: z.int().min(0).max(600_000).default(100).describe("wait before it is started again the first time, milliseconds"),
    restartMaxMs: z.int().min(0).max(600_000).default(5000).describe("each wait is twice the last, up to this, milliseconds"),
    healthyMs: z
      .int()
      .min(100)
      .max(3_600_000)
      .default(10_000)
      .describe("after having run this long the waits begin with the shortest again, milliseconds"),
    crashes: z.int().min(1).max(100).default(3).describe("ends within crashWindowMs after which it stays down, everything safe"),
    crashWindowMs: z.int().min(100).max(86_400_000).default(60_000).describe("milliseconds"),
  })
  .refine(({ restartMinMs, restartMaxMs }) => restartMinMs <= restartMaxMs, {
    path: ["restartMaxMs"],
    error: "restartMaxMs is below restartMinMs; make one of them smaller or the other larger",
  });

export type KeeperOptions = z.output<typeof keeperSchema>;
