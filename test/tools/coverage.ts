// Runs after `npm test`: holds what tap measured against the thresholds below.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import ts from "typescript";

import { productFiles } from "./files.ts";

interface Counter {
  readonly total: number;
  readonly covered: number;
  readonly pct: number;
}

type Summary = Readonly<Record<string, { readonly lines: Counter; readonly branches: Counter }>>;

/** Lines of the whole product that the tests run, percent. */
const OVERALL_LINES_PERCENT = 95;
/** Files in which every line and every branch is run: the gate every movement passes, and the limits a vehicle is held to. */
const COMPLETE = /^(agent\/host\/(supervisor.*|lease|claim)|drivers\/vehicle\/limits)\.ts$/;
/** Code that only runs on a Linux kernel with GPIO lines: the virtual board tests it (`npm run test:board`), not tap. */
const ON_THE_BOARD = /^drivers\/board\/linux\//;
/** Two lines that the tests run in processes of their own, as users do. */
const AS_A_PROCESS = "agent/main.ts";

const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true, removeComments: true };

/** Interfaces and types leave nothing to run. */
function isTypesOnly(source: string): boolean {
  return ts.transpileModule(source, { compilerOptions }).outputText.trim() === "export {};";
}

const summary = JSON.parse(readFileSync(".tap/report/coverage-summary.json", "utf8")) as Summary;
const complaints: string[] = [];
let total = 0;
let covered = 0;
for (const file of productFiles()) {
  if (ON_THE_BOARD.test(file) || file === AS_A_PROCESS) continue;
  const measured = summary[resolve(file)];
  if (measured !== undefined) {
    total += measured.lines.total;
    covered += measured.lines.covered;
    if (COMPLETE.test(file) && (measured.lines.pct < 100 || measured.branches.pct < 100)) {
      complaints.push(`${file}: ${measured.lines.pct} % of its lines and ${measured.branches.pct} % of its branches run; all must`);
    }
    continue;
  }
  const source = readFileSync(file, "utf8");
  if (isTypesOnly(source)) continue;
  total += source.split("\n").length - 1;
  complaints.push(`${file}: no test loads it`);
}
const percent = total === 0 ? 0 : (100 * covered) / total;
if (percent < OVERALL_LINES_PERCENT) complaints.push(`${percent.toFixed(1)} % of the lines run; at least ${OVERALL_LINES_PERCENT} % must`);

console.log(
  `coverage: ${percent.toFixed(1)} % of ${total} lines; at least ${OVERALL_LINES_PERCENT} %, and all of the supervisor and of the limits, must run`,
);
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) process.exitCode = 1;
