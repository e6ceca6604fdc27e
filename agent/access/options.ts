import { z } from "zod";

/** `lamp.*`, `vars:battery_*`, `files:logs/**`, `queue:orders`, `memory:settings:*`, `events:*`, `*` for everything. */
const permitSchema = z.string().min(1).max(256);

export const userSchema = z
  .strictObject({
    name: z.string().min(1).max(64),
    tokenSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, { error: "the SHA-256 of the token, 64 lower-case hex digits: printf %s TOKEN | sha256sum" })
      .optional(),
    certificate: z.string().min(1).max(256).optional().describe("the common name of the client certificate the user is known by"),
    priority: z.int().min(0).max(255).default(100).describe("highest priority the user may ask for"),
    allow: z.array(permitSchema).optional().describe("what the user may touch; everything when absent"),
    perSecond: z.int().min(1).max(1_000_000).optional().describe("requests per second the user may send"),
    revoked: z.boolean().default(false).describe("true refuses the user's token and certificate"),
  })
  .refine((user) => user.tokenSha256 !== undefined || user.certificate !== undefined, {
    error: "a user has tokenSha256, certificate, or both",
  });

export type UserOptions = z.output<typeof userSchema>;

/** `auth` in the configuration. */
export const authOptionsSchema = z.strictObject({
  users: z.array(userSchema).default([]),
  usersFile: z
    .string()
    .min(1)
    .optional()
    .describe("more users, a YAML list; read again whenever it changes, so that a user can be revoked"),
  perSecond: z.int().min(1).max(10_000_000).optional().describe("requests per second of one peer that is not authenticated by name"),
});

export type AuthOptions = z.output<typeof authOptionsSchema>;

/** `tls` in the configuration: what `listen.secure` shows and demands, and what this node shows to others. */
export const tlsOptionsSchema = z.strictObject({
  certificate: z.string().min(1).describe("PEM file"),
  key: z.string().min(1).describe("PEM file, readable by the agent alone"),
  ca: z.string().min(1).describe("PEM file of the authority that signs clients and nodes"),
  revoked: z.string().min(1).optional().describe("PEM file of a revocation list"),
  clients: z
    .enum(["certificate", "any"])
    .default("certificate")
    .describe("certificate: who has none is not let in; any: AUTH may do instead"),
});

export type TlsOptions = z.output<typeof tlsOptionsSchema>;

/** `audit` in the configuration. */
export const auditOptionsSchema = z.strictObject({
  enabled: z.boolean().default(true),
  file: z.string().min(1).optional().describe("<state>/audit.log when absent"),
  maxBytes: z
    .int()
    .min(65_536)
    .default(64 * 1024 * 1024)
    .describe("a longer file is closed and a new one goes on with the chain"),
  maxFiles: z.int().min(1).max(1000).default(8).describe("files kept"),
});

export type AuditOptions = z.output<typeof auditOptionsSchema>;
