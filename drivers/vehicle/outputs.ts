import { AgentError, messageOf, toAgentError } from "../../agent/contract/errors.ts";
import { isPending } from "../../agent/contract/value.ts";
import type { Channel } from "./channel.ts";
import type { Eventually } from "../../agent/contract/value.ts";

/** One channel as the control loop writes to it: only what changed, and one write at a time. */
export interface Output {
  /** Drives `value`, unless that is driven already, or a write is still under way: then the next call does. Throws IO. */
  drive(value: number): void;
  /** Drives `value` whatever is under way: the bus keeps the order. Throws or rejects IO. */
  force(value: number): Eventually<void>;
  silence(): Eventually<void>;
  close(): Eventually<void>;
}

/** `failed` is told of a write that failed after the call. */
export function createOutput(channel: Channel, failed: (error: unknown) => void): Output {
  let driven = NaN;
  let underWay = 0;

  function write(value: number): Eventually<void> {
    // Until the write has succeeded nobody knows what is driven.
    driven = NaN;
    const done = channel.write(value);
    if (!isPending(done)) {
      driven = value;
      return undefined;
    }
    underWay += 1;
    return done.then(
      () => {
        underWay -= 1;
        driven = value;
      },
      (error: unknown) => {
        underWay -= 1;
        throw error;
      },
    );
  }

  return {
    drive(value) {
      if (value === driven || underWay > 0) return;
      const done = write(value);
      if (isPending(done)) done.catch(failed);
    },
    force: write,
    silence() {
      driven = NaN;
      return channel.silence();
    },
    close: () => channel.close(),
  };
}

/** Runs every step whatever the others do; the first error is thrown, or rejected where steps take time. */
export function runAll(steps: readonly (() => Eventually<void>)[]): Eventually<void> {
  const errors: unknown[] = [];
  const waiting: Promise<void>[] = [];
  for (const step of steps) {
    try {
      const done = step();
      if (isPending(done)) waiting.push(done);
    } catch (error) {
      errors.push(error);
    }
  }
  if (waiting.length === 0) {
    throwFirst(errors);
    return undefined;
  }
  return Promise.allSettled(waiting).then((results) => {
    for (const result of results) if (result.status === "rejected") errors.push(result.reason);
    throwFirst(errors);
  });
}

function throwFirst(errors: readonly unknown[]): void {
  if (errors.length > 0) throw toAgentError(errors[0]);
}

/** Opens ports one after the other; when one does not open, those before it are given back. */
export async function openAll<T>(open: (keep: <P extends { close(): Eventually<void> }>(port: P) => P) => Promise<T>): Promise<T> {
  const opened: { close(): Eventually<void> }[] = [];
  try {
    return await open((port) => {
      opened.push(port);
      return port;
    });
  } catch (error) {
    try {
      await runAll(opened.map((port) => () => port.close()));
    } catch (closeError) {
      throw new AgentError(toAgentError(error).code, `${messageOf(error)}; giving the ports back failed too: ${messageOf(closeError)}`, {
        cause: error,
      });
    }
    throw error;
  }
}
