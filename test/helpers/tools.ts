import { execFile, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** False when the command is there; else why its test is skipped. In CI, where it has to be there, the test runs and fails. */
export function missing(command: string, debianPackage: string): string | false {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  if (process.env["CI"] === "true" || folders.some((folder) => isExecutable(join(folder, command)))) return false;
  return `${command} is not installed: apt-get install ${debianPackage}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts node as a user does, by `env` with an empty environment: the test runner puts its loaders and its coverage into every process it can, and coverage
 * of lines that another loader laid out differently spoils that of the tests. The process is node itself: `env` gives its place to it.
 */
export function plainNode(args: readonly string[]): readonly [command: string, args: readonly string[]] {
  return ["env", ["-i", `PATH=${process.env["PATH"] ?? ""}`, process.execPath, ...args]];
}

/** What a command prints when `input` is all it is given, one character per byte. Its exit code does not matter. */
export function run(command: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, [...args], { encoding: "latin1", timeout: 20_000 }, (error, stdout) => {
      if (error?.killed === true || error?.code === "ENOENT") reject(new Error(`${command} failed: ${error.message}`));
      else resolve(stdout);
    });
    child.stdin?.end(input, "latin1");
  });
}

/** What a command prints until the other end closes, its input staying open as a terminal's does. */
export function type(command: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { timeout: 20_000 });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString("latin1");
    });
    child.on("error", reject);
    child.on("close", () => {
      resolve(printed);
    });
    child.stdin.write(input);
  });
}
