import { z } from "zod";

import { VARIABLE_NAME } from "../../agent/contract/variable.ts";

const DAY_MS = 86_400_000;

/**
 * What Linux's netfilter logs of a packet, `… SRC=1.2.3.4 DST=192.168.2.80 LEN=60 TOS=0x00 … DPT=22 …` (net/netfilter/nf_log_syslog.c), with the addresses of
 * IPv4 or IPv6.
 */
export const NETFILTER_PATTERN = String.raw`\bSRC=(?<src>[\da-fA-F.:]{2,45}) DST=(?<dst>[\da-fA-F.:]{2,45}) LEN=(?<len>\d{1,7}) (?:.* DPT=(?<dpt>\d{1,5}) )?`;

const variableName = z
  .string()
  .regex(VARIABLE_NAME, { error: "a variable is named by 1 to 128 characters without blanks, = , and quotes" });

const bandwidthSchema = z.strictObject({
  as: variableName.default("MaxNetworkBandwidth").describe("the variable, bytes per second"),
  overS: z.int().min(2).max(3600).default(60).describe("seconds that are looked at"),
  percent: z.number().min(0).max(100).default(95).describe("so many of these seconds had less than the limit before headroom, percent"),
  headroom: z.number().min(0.01).max(100).default(1.5).describe("the limit is so many times that"),
  min: z.number().min(0).default(1000).describe("never below, bytes per second"),
  max: z.number().min(1).default(125_000_000).describe("never above, bytes per second; the default is 1 Gbit/s"),
});

export const logSourceSchema = z
  .strictObject({
    log: z.string().min(1).describe("a log file, for example /var/log/kern.log; followed through rotation"),
    contains: z.string().max(200).default("[UFW BLOCK]").describe("lines without this text are passed over"),
    pattern: z
      .string()
      .max(1000)
      .default(NETFILTER_PATTERN)
      .refine(isPattern, { error: "a regular expression with named groups, for example SRC=(?<src>[0-9.]+)" })
      .describe("regular expression with named groups; netfilter's lines where absent"),
    key: z.string().default("src").describe("the group whose most prominent text is published"),
    as: variableName.default("SRC").describe("as this variable"),
    size: z.string().default("len").describe("the group with the bytes of what was logged, for bandwidth"),
    bandwidth: bandwidthSchema.prefault({}),
    counters: z.int().min(2).max(4096).default(256).describe("texts counted at once: what has more than one line in so many is among them"),
    halfLifeMs: z.number().min(100).max(DAY_MS).default(60_000).describe("after this a line weighs half, milliseconds"),
    publishMs: z.int().min(50).max(DAY_MS).default(1000).describe("what is new is published so often, milliseconds"),
    staleMs: z.int().min(100).max(DAY_MS).default(120_000).describe("how long it may be relied on without new lines, milliseconds"),
    conf: z.string().min(1).optional().describe("a file that is written as virgo_kernel_analytics.conf is: SRC=…,MaxNetworkBandwidth=…"),
    confMs: z.int().min(100).max(DAY_MS).default(5000).describe("at most so often, milliseconds"),
    lookMs: z.int().min(20).max(60_000).default(250).describe("the log is looked at so often, milliseconds"),
    maxLineBytes: z.int().min(128).max(65_536).default(4096).describe("longer lines are passed over and counted"),
  })
  .superRefine(({ pattern, key, bandwidth }, context) => {
    if (isPattern(pattern) && !pattern.includes(`(?<${key}>`)) {
      context.addIssue({ code: "custom", path: ["key"], message: `name a group of the pattern: it has no (?<${key}>` });
    }
    if (bandwidth.min > bandwidth.max) {
      context.addIssue({ code: "custom", path: ["bandwidth", "min"], message: `a number up to bandwidth.max, ${bandwidth.max}` });
    }
  });

export type LogSourceOptions = z.output<typeof logSourceSchema>;

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "u").source !== "";
  } catch {
    return false;
  }
}
