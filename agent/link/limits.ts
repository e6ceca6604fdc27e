/** What keeps both ends of the link bounded and old orders from being carried out. */
export interface LinkLimits {
  /** Calls of the front that the device host has not answered, 64 to 1,000,000; more are answered FULL. ESTOP always passes. */
  readonly maxOpenCalls: number;
  /** Bytes of calls that wait because the device host does not read, 65,536 to 1 GiB; more calls are answered FULL. */
  readonly maxHeldBytes: number;
  /** An order that was on its way for longer than this is refused STALE, milliseconds, 50 to 5000. */
  readonly maxOrderAgeMs: number;
}

/** The age is that of openpilot's joystick: 0.2 s without a command is a loss. */
export const LINK_LIMITS: LinkLimits = { maxOpenCalls: 65_536, maxHeldBytes: 16 * 1024 * 1024, maxOrderAgeMs: 200 };
