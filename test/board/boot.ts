// One boot of the virtual board: a kernel that runs one job and powers off.
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

import type { BoardKernel } from "./build.ts";

const MEMORY_MIB = 1024;
/** A job that prints more than this is taken for a runaway. */
const MAX_OUTPUT_CHARS = 32 * 1024 * 1024;
/** From the end of the job to the end of the kernel; usually 10 ms. */
const POWER_OFF_MS = 5000;

/** The checkout the board tests run on. */
export const CHECKOUT = dirname(dirname(import.meta.dirname));

/** What one boot shall do. */
export interface BoardJob {
  /** For `sh`, in the checkout, with the variables of `environment` beside PATH, HOME and TMPDIR. */
  readonly command: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Seconds after which the kernel is killed. */
  readonly timeoutS: number;
  /** Called per line the job prints. */
  readonly onLine?: (line: string) => void;
}

/** What became of it. */
export interface BoardResult {
  /** The job's, or undefined when it never ended: the kernel hung, died, or did not get that far. */
  readonly exitCode: number | undefined;
  /** What the job printed, both streams together. */
  readonly output: string;
  /** What the kernel printed before, between and after, and why it was killed. */
  readonly console: string;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** The kernel's memory is a file: in shared memory where there is room for it and programs may run from it, which containers often deny. */
function memoryFolder(fallback: string): string {
  const mount = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .findLast(([, place, kind]) => place === "/dev/shm" && kind === "tmpfs");
  if (mount === undefined || (mount[3] ?? "").split(",").includes("noexec")) return fallback;
  const room = statfsSync("/dev/shm");
  return room.bavail * room.bsize > 1.5 * MEMORY_MIB * 1024 * 1024 ? "/dev/shm" : fallback;
}

/** One of the CPUs this process may use: a kernel that moves between them is three times slower. Undefined with a single one. */
function cpuToPinTo(): number | undefined {
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const cpus = allowed.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  // By process, so that runs at the same time spread.
  return cpus.length < 2 ? undefined : cpus[process.pid % cpus.length];
}

function writeJob(folder: string, kernel: BoardKernel, job: BoardJob): void {
  const variables = { HOME: "/tmp", TMPDIR: "/tmp", TERM: "dumb", NO_COLOR: "1", BOARD_I2C_STUB: kernel.i2cStub, ...job.environment };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`);
  const node = dirname(process.execPath);
  lines.push(
    `export PATH=${quoted(node)}:"$PATH"`,
    `cd ${quoted(CHECKOUT)} || exit 1`,
    // Test fixtures are written here, beside the package: into memory, not onto the disk.
    "mount -t tmpfs tmpfs .tap",
    job.command,
  );
  writeFileSync(join(folder, "job.sh"), `${lines.join("\n")}\n`);
  writeFileSync(join(folder, "needed"), [CHECKOUT, dirname(node), dirname(kernel.i2cStub), ""].join("\n"));
  mkdirSync(join(CHECKOUT, ".tap"), { recursive: true });
}

function writeDeviceTree(folder: string): void {
  const source = join(import.meta.dirname, "board.dts");
  const compiled = spawnSync("dtc", ["-q", "-I", "dts", "-O", "dtb", "-o", join(folder, "board.dtb"), source], { encoding: "utf8" });
  if (compiled.status !== 0) throw new Error(`${source} does not compile: ${compiled.stderr}`);
}

function startKernel(folder: string, mark: string, kernel: BoardKernel): ChildProcess {
  const cpu = cpuToPinTo();
  const parameters = [
    `mem=${MEMORY_MIB}M`,
    "root=/dev/root rootfstype=hostfs rootflags=/ ro",
    `init=${folder}/init.sh dtb=${folder}/board.dtb uml_dir=${folder}`,
    `board_dir=${folder} board_mark=${mark}`,
    "con=null con0=fd:0,fd:1 ssl=null quiet panic=-1",
  ];
  const pinned = cpu === undefined ? [] : ["taskset", "-c", String(cpu)];
  // It dies with this process, however that ends; and it is a process group, because user mode Linux is several processes that have to go together.
  return spawn("setpriv", ["--pdeathsig", "KILL", ...pinned, kernel.linux, ...parameters.flatMap((words) => words.split(" "))], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, TMPDIR: memoryFolder(folder) },
  });
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Boots the kernel, runs the job as told, and ends when the kernel has. Never rejects because of what happens inside. */
export async function bootBoard(kernel: BoardKernel, job: BoardJob): Promise<BoardResult> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-board-"));
  const mark = `board-${randomBytes(6).toString("hex")}`;
  let child: ChildProcess | undefined;
  const leaveNothing = (): void => {
    if (child !== undefined) killGroup(child);
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", leaveNothing);
  try {
    writeJob(folder, kernel, job);
    writeDeviceTree(folder);
    copyFileSync(join(import.meta.dirname, "init.sh"), join(folder, "init.sh"));
    child = startKernel(folder, mark, kernel);
    return await watch(child, mark, job);
  } finally {
    process.removeListener("exit", leaveNothing);
    leaveNothing();
  }
}

async function watch(child: ChildProcess, mark: string, job: BoardJob): Promise<BoardResult> {
  const markLine = new RegExp(String.raw`^(.*)${mark} (begin|end) ?(\d*)`);
  const output: string[] = [];
  const console: string[] = [];
  let stage: "booting" | "running" | "ended" = "booting";
  let exitCode: number | undefined;
  let room = MAX_OUTPUT_CHARS;
  let killed: string | undefined;

  const kill = (why: string): void => {
    killed ??= why;
    killGroup(child);
  };
  const limit = setTimeout(() => kill(`killed after ${job.timeoutS} s`), job.timeoutS * 1000);
  let powerOff: NodeJS.Timeout | undefined;

  const onLine = (raw: string): void => {
    room -= raw.length;
    if (room < 0) {
      kill(`killed: more than ${MAX_OUTPUT_CHARS} characters of output`);
      return;
    }
    const line = raw.replace(/\r$/, "");
    // The last line of the job may lack its end, and then stands before the mark.
    const [, before = line, word, code] = markLine.exec(line) ?? [];
    if (stage !== "running") console.push(before);
    else if (word === undefined || before !== "") {
      output.push(before);
      job.onLine?.(before);
    }
    if (word === "begin") stage = "running";
    if (word === "end") {
      stage = "ended";
      exitCode = Number(code);
      powerOff = setTimeout(() => kill("killed: it did not power off"), POWER_OFF_MS);
    }
  };

  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`the kernel could not be started: ${error.message}`));
    child.once("close", (code, signal) => resolve(`the kernel ended with ${code ?? signal}`));
  });
  for (const stream of [child.stdout, child.stderr]) if (stream !== null) createInterface({ input: stream }).on("line", onLine);
  const how = await ended;
  console.push(killed ?? how);
  clearTimeout(limit);
  clearTimeout(powerOff);
  return { exitCode, output: output.join("\n"), console: console.filter((line) => line !== "").join("\n") };
}
