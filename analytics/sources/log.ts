import { messageOf } from "../../agent/contract/errors.ts";
import { createPairCounts } from "../pairs.ts";
import { createHeavyHitters } from "../statistics/heavy-hitters.ts";
import { createBandwidth } from "./log-bandwidth.ts";
import { createConfWriter } from "./log-conf.ts";
import { followFile } from "./log-follow.ts";
import { createLineSplitter } from "./log-lines.ts";
import type { Cancel, Clock } from "../../agent/contract/clock.ts";
import type { Log } from "../../agent/contract/log.ts";
import type { VariableStore } from "../store.ts";
import type { LogSourceOptions } from "./options.ts";
import type { Source } from "./source.ts";

export interface LogSourceStart {
  readonly options: LogSourceOptions;
  readonly variables: Pick<VariableStore, "set">;
  readonly clock: Clock;
  readonly log: Log;
}

/** What can be a value in a list of pairs parted by commas. */
const PLAIN = /^[^\s,='"\p{Cc}]{1,128}$/u;

/**
 * Mines a log file: of the lines that fit the pattern it publishes the most prominent key, of a firewall's log the address that most packets come from, and a limit for the
 * bandwidth that they use. Both may be written to a file that the original's kernel module reads. Lines count as they come; nothing is published without new ones, so
 * that both go stale. Nobody else may set them.
 */
export function startLogSource({ options, variables, clock, log }: LogSourceStart): Source {
  const { contains, key, size, as, bandwidth: limits, publishMs, staleMs, conf } = options;
  const name = `log ${options.log}`;
  const pattern = new RegExp(options.pattern, "u");
  const counts = createPairCounts();
  const hitters = createHeavyHitters(options);
  const bandwidth = createBandwidth(limits);
  let fresh = false;
  let errors = 0;
  let lastError: string | undefined;
  let lastRefusal: string | undefined;
  let confFails = false;
  let cancel: Cancel = clock.after(publishMs, publishAgain);

  function fail(error: unknown): void {
    errors += 1;
    lastError = messageOf(error);
  }

  function onLine(line: string): void {
    if (!line.includes(contains)) return;
    const groups = pattern.exec(line)?.groups;
    const text = groups?.[key];
    if (text === undefined || !PLAIN.test(text)) {
      counts.malformed += 1;
      return;
    }
    counts.pairs += 1;
    fresh = true;
    const nowMs = clock.monotonicMs();
    hitters.push(text, nowMs);
    const byteLength = Number(groups?.[size]);
    if (byteLength > 0) bandwidth.push(byteLength, nowMs);
  }

  function publishAgain(): void {
    cancel = clock.after(publishMs, publishAgain);
    if (fresh) publish();
    fresh = false;
  }

  function publish(): void {
    const nowMs = clock.monotonicMs();
    const top = hitters.top(nowMs);
    const limit = bandwidth.limit(nowMs);
    const pairs: [string, string | number][] = [];
    if (top !== undefined) pairs.push([as, top.key]);
    if (limit !== undefined) pairs.push([limits.as, limit]);
    for (const [variable, value] of pairs) {
      try {
        variables.set(variable, value, name, staleMs);
      } catch (error) {
        counts.refused += 1;
        lastRefusal = messageOf(error);
      }
    }
    writer?.offer(pairs);
  }

  function confFailed(error: unknown): void {
    fail(error);
    if (!confFails) log.error({ source: name, err: error }, `${name}: cannot write ${conf ?? ""}: ${messageOf(error)}`);
    confFails = true;
  }

  const writer = conf === undefined ? undefined : createConfWriter({ path: conf, minMs: options.confMs, clock, onError: confFailed });
  const lines = createLineSplitter({ maxLineBytes: options.maxLineBytes, onLine, counts });
  const follower = followFile({
    path: options.log,
    clock,
    lookMs: options.lookMs,
    onBytes(bytes) {
      counts.bytes += bytes.length;
      lines.push(bytes);
    },
    onStart() {
      lines.restart();
      log.info({ source: name }, `${name}: followed`);
    },
    onMissing(error) {
      fail(error);
      log.warn({ source: name }, `${name}: ${messageOf(error)}; waiting for it`);
    },
  });

  return {
    name,
    state() {
      const connected = follower.present();
      return { connected, connections: connected ? 1 : 0, ...counts, errors, lastError, lastRefusal };
    },
    async close() {
      cancel();
      await follower.close();
      await writer?.close();
    },
  };
}
