import { z } from "zod";

/** `fleet.mqtt` in the configuration: nodes that find each other through the broker of `mqtt`. */
export const brokerFleetOptionsSchema = z.strictObject({
  enabled: z.boolean().default(false).describe("announce this node to the broker, take orders from nodes found there, and give them some"),
  renewMs: z.int().min(100).max(3_600_000).default(10_000).describe("this node announces itself again this often, milliseconds"),
  expireMs: z
    .int()
    .min(200)
    .max(86_400_000)
    .default(30_000)
    .describe("a node that has not announced itself for so long is not chosen, milliseconds; more than twice the others' renewMs"),
  checkMs: z
    .int()
    .min(50)
    .max(60_000)
    .default(1000)
    .describe("this node's load and devices are looked at, and what has changed is announced, this often at the most, milliseconds"),
  loadStep: z.number().min(0.01).max(1000).default(0.5).describe("a change of this node's load that is announced before it is time"),
  maxNodes: z.int().min(1).max(100_000).default(1000).describe("nodes that are kept; others are left out and counted"),
  maxBirthBytes: z.int().min(256).max(1_048_576).default(65_536).describe("larger announcements are left out and counted"),
  claimMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(500)
    .describe("time a node has to say whether it may be given orders; then another is tried, milliseconds; at most half of the deadline"),
  confirmMs: z
    .int()
    .min(0)
    .max(60_000)
    .default(200)
    .describe("a claim on a device is used without asking again for so long, milliseconds; 0: it is asked for before every order"),
  maxOpen: z.int().min(1).max(100_000).default(1000).describe("requests over the broker without an answer; more are refused"),
  priority: z.int().min(0).max(254).default(100).describe("the highest priority that orders of other nodes have here"),
  allow: z.array(z.string().min(1)).max(1000).default(["*"]).describe("what other nodes may use here, as in a user's allow list"),
  addresses: z
    .array(z.string().min(3).max(256))
    .max(16)
    .default([])
    .describe("where this node can be reached otherwise, announced as they are"),
});

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
  mqtt: brokerFleetOptionsSchema.prefault({}),
  idleMs: z.int().min(1000).max(86_400_000).default(60_000).describe("an unused connection is closed after this, milliseconds"),
  clientConf: z.string().min(1).optional().describe("a virgo_client.conf whose addresses are nodes too"),
  cloudConf: z.string().min(1).optional().describe("a virgo_cloud.conf; logged, as the original did"),
});

export type BrokerFleetOptions = z.output<typeof brokerFleetOptionsSchema>;
export type FleetOptions = z.output<typeof fleetOptionsSchema>;
