import { AgentError } from "../contract/errors.ts";
import type { Cancel, Clock } from "../contract/clock.ts";

/** The promise's outcome, or TIMEOUT after `limitMs`: `what` took longer than that. What comes later is dropped. */
export async function within<T>(clock: Clock, limitMs: number, what: string, promise: Promise<T>): Promise<T> {
  let cancel: Cancel | undefined;
  const limit = new Promise<never>((_, reject) => {
    cancel = clock.after(limitMs, () => {
      reject(new AgentError("TIMEOUT", `${what} took longer than ${limitMs} ms`));
    });
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    cancel?.();
  }
}
