import { z } from "zod";

const MIB = 1024 * 1024;

/** Every bound of the network side, each with its default; PROTOCOL.md says what happens at each. */
export const limitsSchema = z.strictObject({
  maxConnections: z.int().min(1).max(100_000).default(12_000).describe("connections open at once, per listener"),
  maxRequestBytes: z
    .int()
    .min(3000)
    .max(512 * MIB)
    .default(MIB)
    .describe("bytes of one modern request"),
  maxRequestArgs: z.int().min(8).max(1_048_576).default(4096).describe("arguments of one modern request"),
  maxPendingBytes: z
    .int()
    .min(64 * 1024)
    .max(16 * 1024 * MIB)
    .default(64 * MIB)
    .describe("bytes of requests that have not come whole, all connections of a listener together"),
  maxOutputBytes: z
    .int()
    .min(64 * 1024)
    .max(512 * MIB)
    .default(8 * MIB)
    .describe("bytes a client may leave unread before it is disconnected"),
  maxPipeline: z.int().min(1).max(1_000_000).default(10_000).describe("requests of one connection waiting for their answers"),
  idleMs: z.int().min(1000).max(86_400_000).default(300_000).describe("silence after which a connection is closed, milliseconds"),
  classicSilenceMs: z.int().min(5).max(5000).default(50).describe("silence that ends a classic request, milliseconds"),
  classicMaxBytes: z.int().min(500).max(65_536).default(3000).describe("bytes of one classic request"),
  drainBytes: z
    .int()
    .min(0)
    .max(16 * MIB)
    .default(65_536)
    .describe("bytes read and dropped after a classic reply, before the connection is closed"),
  drainMs: z.int().min(0).max(10_000).default(200).describe("time for that, milliseconds"),
  maxVariables: z.int().min(1).max(1_000_000).default(4096).describe("variables kept"),
  maxVariableBytes: z.int().min(16).max(MIB).default(65_536).describe("bytes of one variable's value"),
});

export type Limits = z.output<typeof limitsSchema>;
