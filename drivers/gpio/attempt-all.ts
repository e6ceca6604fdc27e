import { isPending, type Eventually } from "../../agent/contract/value.ts";

/** Begins all of them at once, in order, also when some fail; then throws or rejects with the first error, if any. At once where nothing has to be waited for. */
export function attemptAll(runs: readonly (() => Eventually<void>)[]): Eventually<void> {
  const pending: Promise<void>[] = [];
  const errors: unknown[] = [];
  for (const run of runs) {
    try {
      const done = run();
      if (isPending(done)) pending.push(done);
    } catch (error) {
      errors.push(error);
    }
  }
  if (pending.length > 0) return finish(pending, errors);
  if (errors.length > 0) throw errors[0];
}

async function finish(pending: readonly Promise<void>[], errors: unknown[]): Promise<void> {
  const results = await Promise.allSettled(pending);
  for (const result of results) if (result.status === "rejected") errors.push(result.reason);
  if (errors.length > 0) throw errors[0];
}

/** One after the other, until one fails or `goOn` says no. At once where nothing has to be waited for. */
export function inOrder(runs: readonly (() => Eventually<void>)[], goOn: () => boolean, from = 0): Eventually<void> {
  for (let i = from; i < runs.length && goOn(); i++) {
    const done = runs[i]?.();
    if (isPending(done)) return done.then(() => inOrder(runs, goOn, i + 1));
  }
}
