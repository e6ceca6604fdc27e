import { z } from "zod";

/** What keeps both ends of the link bounded and old orders from being carried out. */
export const linkLimitsSchema = z.strictObject({
  maxOpenCalls: z
    .int()
    .min(64)
    .max(1_000_000)
    .default(65_536)
    .describe("calls that the device host has not answered; more are answered FULL, ESTOP always passes"),
  maxHeldBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(16_777_216)
    .describe("bytes of calls that wait because the device host does not read; more calls are answered FULL"),
  maxOrderAgeMs: z
    .int()
    .min(50)
    .max(5000)
    .default(200)
    .describe(
      "an order that was on its way for longer is refused STALE (openpilot: 0.2 s without a joystick command is a loss), milliseconds",
    ),
});

export type LinkLimits = z.output<typeof linkLimitsSchema>;

export const LINK_LIMITS: LinkLimits = linkLimitsSchema.parse({});
