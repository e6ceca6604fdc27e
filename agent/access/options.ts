import { z } from "zod";

import { permitMistake } from "./permits.ts";

/** `lamp.*`, `vars:battery_*`, `files:logs/**`, `queue:orders`, `memory:settings:*`, `events:*`, `*` for everything. */
const permitSchema = z
  .string()
  .min(1)
  .max(256)
  .refine((permit) => permitMistake(permit) === undefined, { error: (issue) => permitMistake(String(issue.input)) ?? "no permit" });

export const userSchema = z
  .strictObject({
    name: z.string().regex(/^[^\s\p{Cc}]{1,64}$/u, { error: "a user is named by 1 to 64 characters without blanks" }),
    tokenSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, { error: "the SHA-256 of the token, 64 lower-case hex digits: printf %s TOKEN | sha256sum" })
      .optional(),
    certificate: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .describe(
        "common name of the client certificate the user is known by; * stands for any characters, and each certificate is then a caller of its own",
      ),
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
  maxRefused: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1000)
    .describe("requests refused by perSecond, less those let through, after which the connection is closed"),
  maxWrongTokens: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe("wrong tokens after which the connection is closed, and its address has to wait"),
  waitMs: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(1000)
    .describe("how long it has to wait then; twice as long after each further wrong token, milliseconds"),
  maxWaitMs: z.int().min(0).max(86_400_000).default(60_000).describe("the longest wait, milliseconds"),
  maxAddresses: z
    .int()
    .min(16)
    .max(1_000_000)
    .default(4096)
    .describe("addresses whose requests and wrong tokens are counted; the oldest are forgotten"),
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
  handshakeMs: z.int().min(100).max(60_000).default(5000).describe("time a client has for the handshake, milliseconds"),
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
  conflateMs: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(10_000)
    .describe("what is repeated again and again is written once in this time, with how often it was, milliseconds"),
  maxWaiting: z
    .int()
    .min(100)
    .max(1_000_000)
    .default(10_000)
    .describe("entries waiting for a disk that takes none; more are lost, and counted"),
});

export type AuditOptions = z.output<typeof auditOptionsSchema>;
