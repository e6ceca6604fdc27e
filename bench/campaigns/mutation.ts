// Whether the tests of the safety code notice when it is wrong: every mutant is one small change, and the tests must fail on it.
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import ts from "typescript";

import { row, type Row, type SuiteOptions } from "../report.ts";

/** A file that must not be wrong, and the tests that say so. */
export interface MutationTarget {
  readonly file: string;
  readonly tests: readonly string[];
}

const HOST_TESTS = [
  "lease",
  "claim",
  "supervisor-leases",
  "supervisor-calls",
  "supervisor-faults",
  "supervisor-estop",
  "supervisor-front",
  "supervisor-ending",
].map((name) => `test/host/${name}.test.ts`);

/** Who may actuate, and for how long. */
const HOST_TARGETS: readonly MutationTarget[] = [
  { file: "agent/host/lease.ts", tests: HOST_TESTS },
  { file: "agent/host/claim.ts", tests: HOST_TESTS },
  { file: "agent/host/supervisor.ts", tests: HOST_TESTS },
  { file: "agent/host/supervisor-recovery.ts", tests: HOST_TESTS },
  { file: "agent/host/supervisor-refusal.ts", tests: HOST_TESTS },
];

/** What may be written to a vehicle, and when. */
export const VEHICLE_TARGETS: readonly MutationTarget[] = ["limits", "arming", "loss"].map((name) => ({
  file: `drivers/vehicle/${name}.ts`,
  tests: [`test/drivers/vehicle/${name}.test.ts`],
}));

const COPIED = ["agent", "analytics", "drivers", "test/host", "test/drivers/vehicle", "test/helpers", "package.json", "tsconfig.json"];

/** Mutants of a quick run. */
const QUICK_MUTANTS = 24;

/** A mutant whose tests take this long hangs: noticed. */
const TEST_LIMIT_MS = 60_000;

/** Mutants tested at once. */
const WORKERS = 2;

interface Mutant {
  readonly file: string;
  readonly tests: readonly string[];
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

const SWAPPED_OPERATORS: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.LessThanToken, "<="],
  [ts.SyntaxKind.LessThanEqualsToken, "<"],
  [ts.SyntaxKind.GreaterThanToken, ">="],
  [ts.SyntaxKind.GreaterThanEqualsToken, ">"],
  [ts.SyntaxKind.EqualsEqualsEqualsToken, "!=="],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken, "==="],
  [ts.SyntaxKind.AmpersandAmpersandToken, "||"],
  [ts.SyntaxKind.BarBarToken, "&&"],
  [ts.SyntaxKind.PlusToken, "-"],
  [ts.SyntaxKind.MinusToken, "+"],
  [ts.SyntaxKind.QuestionQuestionEqualsToken, "="],
]);

/** Every single change of the file that should make a test fail. */
function mutantsOf({ file, tests }: MutationTarget): Mutant[] {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2023, true);
  const mutants: Mutant[] = [];
  const replace = (node: ts.Node, replacement: string): void => {
    mutants.push({ file, tests, start: node.getStart(), end: node.getEnd(), replacement });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node)) return;
    if (ts.isBinaryExpression(node)) {
      const swapped = SWAPPED_OPERATORS.get(node.operatorToken.kind);
      if (swapped !== undefined) replace(node.operatorToken, swapped);
    } else if (node.kind === ts.SyntaxKind.TrueKeyword) replace(node, "false");
    else if (node.kind === ts.SyntaxKind.FalseKeyword) replace(node, "true");
    else if (ts.isNumericLiteral(node)) replace(node, `(${node.text} + 1)`);
    else if (ts.isIfStatement(node)) {
      replace(node.expression, "true");
      replace(node.expression, "false");
    } else if (ts.isExpressionStatement(node)) replace(node, ";");
    ts.forEachChild(node, visit);
  };
  visit(source);
  return mutants;
}

function describe({ file, start, end, replacement }: Mutant): string {
  const text = readFileSync(file, "utf8");
  const line = text.slice(0, start).split("\n").length;
  return `${file}:${line}: ${text.slice(start, end).replaceAll(/\s+/g, " ").slice(0, 60)} → ${replacement}`;
}

/** A copy of the sources in which mutants are tried, one after the other. */
function createBench(folder: string): { try(mutant: Mutant): Promise<boolean> } {
  rmSync(folder, { recursive: true, force: true });
  for (const path of COPIED) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    cpSync(path, join(folder, path), { recursive: true });
  }
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  return {
    async try({ file, tests, start, end, replacement }) {
      const original = readFileSync(file, "utf8");
      writeFileSync(join(folder, file), original.slice(0, start) + replacement + original.slice(end));
      try {
        for (const test of tests) if (!(await passes(folder, test))) return true;
        return false;
      } finally {
        writeFileSync(join(folder, file), original);
      }
    },
  };
}

function passes(folder: string, test: string): Promise<boolean> {
  return new Promise((settle) => {
    const child = spawn(process.execPath, ["--import", "tsx", test], {
      cwd: folder,
      stdio: "ignore",
      env: { ...process.env, TAP_BAIL: "1" },
    });
    const limit = setTimeout(() => child.kill("SIGKILL"), TEST_LIMIT_MS);
    child.once("close", (code) => {
      clearTimeout(limit);
      settle(code === 0);
    });
  });
}

/** A generator of numbers from 0 to below 1 (Mulberry32), the same for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Mutation {
  /** What is mutated, as the figures call it. */
  readonly what: string;
  readonly targets: readonly MutationTarget[];
}

/** Tries every mutant of the targets; of a quick run, some of them. */
export async function mutate({ what, targets }: Mutation, { quick, seed, progress }: SuiteOptions): Promise<readonly Row[]> {
  const all = targets.flatMap(mutantsOf);
  const random = createRandom(seed);
  const order = all.map((mutant) => ({ mutant, key: random() })).toSorted((a, b) => a.key - b.key);
  const queue = order.slice(0, quick ? QUICK_MUTANTS : all.length).map(({ mutant }) => mutant);
  const tried = queue.length;
  const survivors: Mutant[] = [];
  const root = resolve(".tap", `mutants-${process.pid}`);
  const work = async (worker: number): Promise<void> => {
    const bench = createBench(join(root, String(worker)));
    for (let mutant = queue.pop(); mutant !== undefined; mutant = queue.pop()) {
      if (!(await bench.try(mutant))) {
        survivors.push(mutant);
        progress(`not noticed: ${describe(mutant)}`);
      }
      if (queue.length % 25 === 0) progress(`${tried - queue.length} of ${tried} mutants tried`);
    }
  };
  try {
    await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return [
    row({ name: `mutants of ${what} tried`, value: tried, unit: "mutants" }),
    row({ name: "noticed by their tests", value: (100 * (tried - survivors.length)) / tried, unit: "%", goal: "≥ 95" }),
  ];
}

export function run(options: SuiteOptions): Promise<readonly Row[]> {
  return mutate({ what: "the leases, the supervisor and the vehicle's limits", targets: [...HOST_TARGETS, ...VEHICLE_TARGETS] }, options);
}
