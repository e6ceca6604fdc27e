/** The words an error may start with, on every wire, in every exit message and in the logs. PROTOCOL.md explains each. */
export const ERROR_CODES = [
  "SYNTAX",
  "UNKNOWN",
  "ARGUMENT",
  "LIMIT",
  "DENIED",
  "IN_USE",
  "NOT_READY",
  "FAULTED",
  "STALE",
  "TIMEOUT",
  "FULL",
  "IO",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** The only error that crosses a module. The message is one line, lower case, and names the thing, the value and what to do. */
export class AgentError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "AgentError";
    this.code = code;
  }
}

/** Whatever was thrown, as one line of text. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ");
}

/** What was thrown if it already is an AgentError, else the same text under `code`, with what was thrown as the cause. */
export function toAgentError(thrown: unknown, code: ErrorCode = "IO"): AgentError {
  if (thrown instanceof AgentError) return thrown;
  return new AgentError(code, messageOf(thrown), { cause: thrown });
}
