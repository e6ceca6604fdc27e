import { z } from "zod";

/** `fleet` in the configuration. */
export const fleetOptionsSchema = z.strictObject({
  nodes: z
    .record(
      z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
      z.strictObject({
        address: z.string().min(3).describe("host:port of the node's gateway, or of its TLS listener with tls: true"),
        tls: z.boolean().default(false).describe("speak TLS with the certificate of `tls`"),
        user: z.string().min(1).max(64).optional(),
        tokenFile: z.string().min(1).optional().describe("a file that holds the token to authenticate with"),
      }),
    )
    .default({})
    .describe("the other nodes, each under the name it calls itself"),
  balancer: z
    .enum(["prg", "least-load", "capability"])
    .default("capability")
    .describe("how CLONE NODE ANY and spread memory choose a node"),
  seed: z.int().min(0).max(0xffff_ffff).optional().describe("makes the draws of prg repeatable"),
  deadlineMs: z.int().min(10).max(60_000).default(2000).describe("time another node has to answer, milliseconds"),
  refreshMs: z
    .int()
    .min(50)
    .max(600_000)
    .default(2000)
    .describe("age at which load and devices of a node are asked for again before one is chosen, milliseconds"),
  backOffMs: z.int().min(10).max(600_000).default(500).describe("a node that is down is tried again after this, milliseconds; it doubles"),
  maxBackOffMs: z.int().min(10).max(3_600_000).default(30_000).describe("up to this, milliseconds"),
  connections: z
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe("connections to one node: what concerns one device, block or file keeps its order on one of them"),
  maxWaiting: z.int().min(1).max(100_000).default(1000).describe("requests that wait for a connection to one node"),
  idleMs: z.int().min(1000).max(86_400_000).default(60_000).describe("an unused connection is closed after this, milliseconds"),
  clientConf: z.string().min(1).optional().describe("a virgo_client.conf whose addresses are nodes too"),
  cloudConf: z.string().min(1).optional().describe("a virgo_cloud.conf; logged, as the original did"),
});

export type FleetOptions = z.output<typeof fleetOptionsSchema>;
