import { messageOf } from "../agent/contract/errors.ts";
import { DRIVING_VARIABLES, type DrivingOptions } from "./driving/options.ts";
import { createPlanner, type Plan } from "./driving/plan.ts";
import type { Cancel, Clock } from "../agent/contract/clock.ts";
import type { Log } from "../agent/contract/log.ts";
import type { Variable, Variables } from "../agent/contract/variable.ts";

/** How long what is published may be relied on, milliseconds: the lease of a vehicle's command. Nobody else may set these names. */
const FRESH_MS = 200;

/** Who sets the variables, as `virgo vars` shows it. */
const SOURCE = "driving";

const PUBLISHED = Object.keys(DRIVING_VARIABLES) as readonly (keyof typeof DRIVING_VARIABLES)[];

export interface StartDrivingOptions {
  readonly options: DrivingOptions;
  readonly variables: Variables;
  readonly clock: Clock;
  readonly log: Log;
}

/** How it goes, for the metrics. */
export interface DrivingState {
  /** Tables that were looked at. */
  readonly tables: number;
  /** Plans that were made without a table, because none came. */
  readonly blind: number;
  readonly ok: boolean;
  /** What keeps the vehicle from going faster, or what is wrong. */
  readonly reason: string;
  /** The longest time one plan took, milliseconds. */
  readonly slowestMs: number;
  /** Why the latest plan could not be published, if so. */
  readonly lastError: string | undefined;
}

export interface Driving {
  state(): DrivingState;
  /** Publishes nothing any more: what is published goes stale, and the leases of what it drives end. */
  close(): void;
}

/**
 * Plans a vehicle's motion from the distance tables among the variables: with every new horizontal table, and as long as none comes. Publishes
 * `driving.accelerator`, `.brake`, `.clutch` (percent), `.gear`, `.velocity` (m/s), `.direction` (degrees, left positive), `.fuel` (`on`, `cut`), `.ok` and
 * `.reason`, each good for 200 ms. Rules hand them to devices.
 */
export function startDriving({ options, variables, clock, log }: StartDrivingOptions): Driving {
  const { trust } = options;
  const planner = createPlanner(options);
  let tables = 0;
  let blind = 0;
  let slowestMs = 0;
  let lastTableMs = clock.monotonicMs();
  let last: Readonly<Plan> | undefined;
  let lastError: string | undefined;
  let cancelWatch: Cancel = clock.after(2 * options.periodMs, watch);
  const unsubscribe = variables.onChange((names) => {
    if (names.has(options.horizontal)) see();
  });

  function fresh(name: string | undefined, ageMs: number): Variable | undefined {
    const variable = name === undefined ? undefined : variables.get(name);
    return variable === undefined || variable.stale || variable.ageMs > ageMs ? undefined : variable;
  }

  function number(name: string | undefined, ageMs: number): number | undefined {
    const value = fresh(name, ageMs)?.value;
    return typeof value === "number" ? value : undefined;
  }

  function list(name: string, ageMs: number): readonly number[] {
    const value = fresh(name, ageMs)?.value;
    return typeof value === "object" ? value : [];
  }

  /** A demand that was there and is fresh no more is a demand to stop. */
  function demand(): number | undefined {
    return options.demandedSpeed === undefined ? undefined : (number(options.demandedSpeed, trust.speedStaleMs) ?? 0);
  }

  function verticalTable(): readonly number[] | "lost" | undefined {
    if (options.vertical === undefined) return undefined;
    const table = list(options.vertical, trust.staleMs);
    return table.length === 0 ? "lost" : table;
  }

  function plan(horizontal: readonly number[] | undefined): void {
    const nowMs = clock.monotonicMs();
    last = planner.plan({
      nowMs,
      horizontal,
      vertical: verticalTable(),
      speedMps: number(options.speed, trust.speedStaleMs),
      demandedMps: demand(),
      goalDeg: number(options.goal, trust.speedStaleMs) ?? 0,
    });
    publish(last);
    slowestMs = Math.max(slowestMs, clock.monotonicMs() - nowMs);
  }

  function publish(made: Readonly<Plan>): void {
    try {
      for (const field of PUBLISHED) variables.set(DRIVING_VARIABLES[field], made[field], SOURCE, FRESH_MS);
      lastError = undefined;
    } catch (error) {
      if (lastError === undefined) log.error({ err: error }, `driving cannot publish: ${messageOf(error)}`);
      lastError = messageOf(error);
    }
  }

  function see(): void {
    tables += 1;
    lastTableMs = clock.monotonicMs();
    plan(list(options.horizontal, trust.staleMs));
  }

  function watch(): void {
    cancelWatch = clock.after(2 * options.periodMs, watch);
    if (clock.monotonicMs() - lastTableMs < 2 * options.periodMs) return;
    blind += 1;
    plan(undefined);
  }

  return {
    state: () => ({ tables, blind, ok: last?.ok ?? false, reason: last?.reason ?? "no table yet", slowestMs, lastError }),
    close() {
      unsubscribe();
      cancelWatch();
    },
  };
}
