import { MAX_RANGE_M, RAYS } from "./lidar.ts";
import type { Random } from "./random.ts";

/** What may be wrong with a sensor for a while. */
export const FAULT_KINDS = ["stale", "stuck", "nan", "dropout", "sector", "burst", "short"] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface SensorFault {
  readonly kind: FaultKind;
  readonly fromS: number;
  readonly toS: number;
  /** How bad, 0 to 1. */
  readonly strength: number;
  readonly ray: number;
}

/** One or two, somewhere within the scenario. */
export function drawFaults(random: Random, seconds: number): readonly SensorFault[] {
  return Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => {
    const fromS = random.between(0.5, seconds - 1);
    return {
      kind: FAULT_KINDS[Math.floor(random.next() * FAULT_KINDS.length)] as FaultKind,
      fromS,
      toS: fromS + random.between(0.05, random.chance(0.2) ? 3 : 0.8),
      strength: random.next(),
      ray: Math.floor(random.next() * RAYS),
    };
  });
}

const NOISE_M = 0.02;
const DROPPED = 0.01;

/** Makes of true distances what the sensor says of them; `before` is what it said last. Undefined when it says nothing. */
export function sense(
  truth: Float64Array,
  fault: SensorFault | undefined,
  before: readonly number[],
  random: Random,
): readonly number[] | undefined {
  if (fault?.kind === "stale") return undefined;
  if (fault?.kind === "stuck") return before;
  const table: number[] = [];
  const noise = fault?.kind === "burst" ? 0.2 + fault.strength : NOISE_M;
  const dropped = fault?.kind === "dropout" ? 0.05 + 0.9 * fault.strength : DROPPED;
  for (let ray = 0; ray < RAYS; ray++) {
    const range = truth[ray] as number;
    if (random.next() < dropped) table.push(0);
    else table.push(range >= MAX_RANGE_M ? MAX_RANGE_M : Math.max(0.05, Math.min(MAX_RANGE_M, range + noise * random.normal())));
  }
  return fault === undefined ? table : spoiled(table, fault);
}

function spoiled(table: number[], { kind, strength, ray }: SensorFault): readonly number[] {
  if (kind === "nan") table.fill(Number.NaN, 0, Math.ceil(RAYS * strength));
  if (kind === "short") return table.slice(0, Math.floor(RAYS * strength));
  if (kind === "sector") for (let i = 0; i < 5 + 60 * strength; i++) table[(ray + i) % RAYS] = 0;
  return table;
}
