import { mkdirSync, writeFileSync } from "node:fs";

/** One figure, beside what it is compared with. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the same was measured of, in the same run. */
  readonly peer: string | null;
  readonly peerValue: number | null;
  /** value / peerValue */
  readonly ratio: number | null;
  /** `≤ 80` is about the value, `≤ 1.25 ×` about the ratio. */
  readonly goal: string | null;
  readonly met: boolean | null;
}

/** What a suite is told. */
export interface SuiteOptions {
  /** A shorter run: fewer repetitions, same figures. */
  readonly quick: boolean;
  /** Where random numbers start: the same seed gives the same run. */
  readonly seed: number;
  /** Says how far it is. */
  readonly progress: (line: string) => void;
}

/** What files under bench/suites and bench/campaigns export as `run`. */
export type Suite = (options: SuiteOptions) => Promise<readonly Row[]>;

/** What a suite states of one figure; `row` adds the ratio and whether the goal is met. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: { readonly name: string; readonly value: number };
  readonly goal?: string;
}

const GOAL = /^([≤≥=]) ?([\d.]+)( ×)?$/;

/** Whether `goal` holds. Throws when the goal cannot be read, or is about a ratio that is not there. */
export function goalMet(goal: string, value: number, ratio: number | null): boolean {
  const [, relation, bound, times] = GOAL.exec(goal) ?? [];
  if (bound === undefined) throw new Error(`goal ${goal} is not of the form "≤ 80", "≥ 0.4 ×" or "= 0"`);
  const measured = times === undefined ? value : ratio;
  if (measured === null) throw new Error(`goal ${goal} is about a ratio, but there is no peer`);
  if (relation === "=") return measured === Number(bound);
  return relation === "≤" ? measured <= Number(bound) : measured >= Number(bound);
}

export function row(figure: Figure): Row {
  const { name, value, unit, peer, goal } = figure;
  const ratio = peer === undefined ? null : value / peer.value;
  return {
    name,
    value,
    unit,
    peer: peer?.name ?? null,
    peerValue: peer?.value ?? null,
    ratio,
    goal: goal ?? null,
    met: goal === undefined ? null : goalMet(goal, value, ratio),
  };
}

/** Three digits that say something. */
function numberText(value: number | null): string {
  if (value === null) return "";
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

function metText(met: boolean | null): string {
  if (met === null) return "";
  return met ? "met" : "NOT MET";
}

/** The rows as an aligned table. */
export function tableText(rows: readonly Row[]): string {
  const table = [
    ["figure", "value", "unit", "peer", "peer value", "ratio", "goal", ""],
    ...rows.map((line) => [
      line.name,
      numberText(line.value),
      line.unit,
      line.peer ?? "",
      numberText(line.peerValue),
      line.ratio === null ? "" : `${line.ratio.toFixed(2)} ×`,
      line.goal ?? "",
      metText(line.met),
    ]),
  ];
  const rightAligned = new Set([1, 4, 5]);
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((cells) => (cells[column] ?? "").length)));
  return table
    .map((cells) =>
      cells
        .map((cell, column) => (rightAligned.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Writes `reports/<kind>-<name>.json`; returns its path. */
export function writeReport(kind: "bench" | "campaign", name: string, rows: readonly Row[]): string {
  mkdirSync("reports", { recursive: true });
  const path = `reports/${kind}-${name}.json`;
  writeFileSync(path, `${JSON.stringify({ rows }, null, 2)}\n`);
  return path;
}

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which `share` (0–1) of the values lie, interpolated. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}
