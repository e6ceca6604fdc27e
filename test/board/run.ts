// The board tests: `npm run test:board [-- FILE …]` runs the given test files, test/board/*.test.ts otherwise, each in a freshly booted virtual board.
//
// To look around inside: `node --import tsx test/board/run.ts --shell 'gpiodetect; node --import tsx some-file.ts'` boots a board, runs the command there with
// `sh` in the checkout, prints what it prints and exits as it exits. The machine's files are all there, read-only; /tmp, /run and /dev/shm are fresh and writable,
// and what the machine has under /tmp is under /run/outside/tmp. `--timeout SECONDS` bounds one boot, 180 otherwise.
import { readdirSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";

import { bootBoard, CHECKOUT } from "./boot.ts";
import type { BoardResult } from "./boot.ts";
import { ensureKernel, installCommand, missingPackages } from "./build.ts";
import type { BoardKernel } from "./build.ts";
import { readTap } from "./tap-result.ts";
import type { TapResult } from "./tap-result.ts";

/** Of what a failed test file printed, the end. */
const MAX_SHOWN_CHARS = 200_000;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function underCi(): boolean {
  const ci = process.env["CI"];
  return ci !== undefined && ci !== "";
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}

function testFiles(named: readonly string[]): string[] {
  if (named.length > 0) return named.map((file) => relative(CHECKOUT, resolve(file)));
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => relative(CHECKOUT, resolve(import.meta.dirname, name)));
}

/** Why a run that has nothing failed in its TAP failed all the same. */
function hiddenFailure(result: BoardResult, tap: TapResult): string | undefined {
  if (result.exitCode === undefined) return "the board went down before the test file ended";
  if (tap.problem !== undefined) return tap.problem;
  if (result.exitCode !== 0 && tap.failed.length === 0) return `the test file ended with exit code ${result.exitCode}`;
  return undefined;
}

async function runFile(kernel: BoardKernel, file: string, timeoutS: number): Promise<{ passed: number; failed: number }> {
  // A little before the board is switched off, so that a test file that hangs still says where.
  const environment: Record<string, string> = { BOARD_TEST: file, TAP_TIMEOUT: String(Math.max(1, timeoutS - 15)) };
  if (underCi()) environment["CI"] = "1";
  const startedMs = performance.now();
  const result = await bootBoard(kernel, { command: 'node --import tsx "$BOARD_TEST"', environment, timeoutS });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const tap = readTap(result.output);
  const hidden = hiddenFailure(result, tap);
  const failed = tap.failed.length + (hidden === undefined ? 0 : 1);
  print(`${failed === 0 ? "ok    " : "FAILED"} ${file} (${seconds} s)`);
  for (const title of tap.passed) print(`    ok      ${title}`);
  for (const title of tap.skipped) print(`    skipped ${title}`);
  for (const title of tap.failed) print(`    FAILED  ${title}`);
  if (hidden !== undefined) print(`    FAILED  ${hidden}`);
  if (failed > 0) {
    print(`  what it printed:\n${indented(result.output.slice(-MAX_SHOWN_CHARS))}`);
    print(`  what the kernel printed:\n${indented(result.console)}`);
  }
  return { passed: tap.passed.length, failed };
}

async function runFiles(kernel: BoardKernel, files: readonly string[], timeoutS: number): Promise<void> {
  let passed = 0;
  let failed = 0;
  for (const file of files) {
    const counts = await runFile(kernel, file, timeoutS);
    passed += counts.passed;
    failed += counts.failed;
  }
  // Tests that are not there have not passed.
  if (passed + failed === 0) failed = 1;
  print(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

async function runShell(kernel: BoardKernel, command: string, timeoutS: number): Promise<void> {
  const result = await bootBoard(kernel, { command, environment: {}, timeoutS, onLine: print });
  if (result.exitCode === undefined) process.stderr.write(`the board went down before the command ended\n${indented(result.console)}\n`);
  process.exitCode = result.exitCode ?? 1;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { shell: { type: "string" }, timeout: { type: "string", default: "180" } },
  });
  const timeoutS = Number(values.timeout);
  if (!(timeoutS > 0)) throw new Error(`--timeout ${values.timeout} is not a number of seconds`);
  const missing = missingPackages();
  if (missing.length > 0) {
    const mustRun = underCi() || values.shell !== undefined;
    print(`board tests ${mustRun ? "cannot run" : "skipped"}: they need Debian packages that are not installed. Get them as root with`);
    print(`  ${installCommand(missing)}`);
    process.exitCode = mustRun ? 1 : 0;
    return;
  }
  const kernel = ensureKernel();
  if (values.shell === undefined) await runFiles(kernel, testFiles(positionals), timeoutS);
  else await runShell(kernel, values.shell, timeoutS);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
await main();
