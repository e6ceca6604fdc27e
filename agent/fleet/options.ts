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
    .describe("the other nodes"),
  balancer: z
    .enum(["prg", "least-load", "capability"])
    .default("capability")
    .describe("how CLONE NODE ANY and spread memory choose a node"),
  seed: z.int().min(0).max(0xffff_ffff).optional().describe("makes the draws of prg repeatable"),
  deadlineMs: z.int().min(10).max(60_000).default(2000).describe("time another node has to answer, milliseconds"),
  clientConf: z.string().min(1).optional().describe("a virgo_client.conf whose addresses are nodes too"),
  cloudConf: z.string().min(1).optional().describe("a virgo_cloud.conf; logged, as the original did"),
});

export type FleetOptions = z.output<typeof fleetOptionsSchema>;
