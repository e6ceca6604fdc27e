import { AgentError, messageOf, toAgentError } from "../../agent/contract/errors.ts";
import type { Eventually } from "../../agent/contract/value.ts";

/** What `start` makes of a port just opened. When it fails the port is given back first; a failure of that is added to the error. */
export async function startOn<T>(port: { close(): Eventually<void> }, start: () => Eventually<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    try {
      await port.close();
    } catch (closeError) {
      throw new AgentError(toAgentError(error).code, `${messageOf(error)}; giving the port back failed too: ${messageOf(closeError)}`, {
        cause: error,
      });
    }
    throw error;
  }
}
