// The board's kernel: built once from Debian's package with the Linux source, then kept. `node --import tsx test/board/build.ts` builds it ahead of time.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

const SOURCE_PACKAGE = "linux-source-6.12";
const SOURCE = `/usr/src/${SOURCE_PACKAGE}.tar.xz`;
const DEFCONFIG = join(import.meta.dirname, "kernel.defconfig");
const BUILD_SCRIPT = join(import.meta.dirname, "build.sh");

/** Program, and the Debian package that has it. */
type Tool = readonly [program: string, debianPackage: string];

const BUILD_TOOLS: readonly Tool[] = [
  ["flex", "flex"],
  ["bison", "bison"],
  ["bc", "bc"],
  ["xz", "xz-utils"],
  ["make", "make"],
  ["gcc", "gcc"],
  ["strip", "binutils"],
  ["flock", "util-linux"],
];

/** For the runner, and for what the test files call inside the board. */
const RUN_TOOLS: readonly Tool[] = [
  ["dtc", "device-tree-compiler"],
  ["taskset", "util-linux"],
  ["setpriv", "util-linux"],
  ["ip", "iproute2"],
  ["insmod", "kmod"],
  ["gpioset", "gpiod"],
  ["i2cget", "i2c-tools"],
  ["candump", "can-utils"],
];

/** A built kernel. */
export interface BoardKernel {
  readonly linux: string;
  /** The kernel module behind the board's I2C bus; loaded by the tests with the addresses they need. */
  readonly i2cStub: string;
}

function hasProgram(program: string): boolean {
  // Administration programs are in sbin, which is not on everybody's path.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingOf(tools: readonly Tool[]): string[] {
  return tools.filter(([program]) => !hasProgram(program)).map(([, debianPackage]) => debianPackage);
}

function cacheFolder(): string {
  const cache = process.env["XDG_CACHE_HOME"];
  return join(cache === undefined || cache === "" ? join(homedir(), ".cache") : cache, "virgo-edge-agent", "board");
}

function configHash(): string {
  return createHash("sha256").update(readFileSync(DEFCONFIG)).digest("hex").slice(0, 12);
}

function sourceVersion(): string {
  const query = spawnSync("dpkg-query", ["--show", "--showformat=${Version}", SOURCE_PACKAGE], { encoding: "utf8" });
  return query.status === 0 ? query.stdout.trim() : "unpackaged";
}

function kernelIn(folder: string): BoardKernel {
  return { linux: join(folder, "linux"), i2cStub: join(folder, "i2c-stub.ko") };
}

/** Where the kernel of this configuration is, or will be: one folder for each configuration and source version. */
function targetFolder(): string {
  const prefix = `${configHash()}-`;
  if (existsSync(SOURCE)) return join(cacheFolder(), prefix + sourceVersion());
  // Without the source package a kept kernel of the same configuration still serves, whatever its version.
  const kept = existsSync(cacheFolder()) ? readdirSync(cacheFolder()).filter((name) => name.startsWith(prefix)) : [];
  return join(cacheFolder(), kept.sort().at(-1) ?? `${prefix}missing`);
}

/** The Debian packages without which the board can not be built and run here, each once; empty when all is there. */
export function missingPackages(): readonly string[] {
  const missing = missingOf(RUN_TOOLS);
  if (!existsSync(kernelIn(targetFolder()).linux)) {
    missing.push(...missingOf(BUILD_TOOLS));
    if (!existsSync("/usr/include/stdio.h")) missing.push("libc6-dev");
    if (!existsSync(SOURCE)) missing.push(SOURCE_PACKAGE);
  }
  return [...new Set(missing)].sort();
}

/** The command that gets them. */
export function installCommand(packages: readonly string[]): string {
  return `apt-get install --no-install-recommends -y ${packages.join(" ")}`;
}

/**
 * The kernel of this configuration, built first if it is not there: 4 to 10 minutes, with the progress on standard error.
 * Two calls at once build it once. Throws when the build fails; nothing is left behind then.
 */
export function ensureKernel(): BoardKernel {
  const folder = targetFolder();
  const kernel = kernelIn(folder);
  if (existsSync(kernel.linux)) return kernel;
  mkdirSync(cacheFolder(), { recursive: true });
  process.stderr.write(`board: no kernel for this configuration in ${cacheFolder()} yet; building it, or waiting for whoever builds it\n`);
  // The lock is the kernel's: it ends with its holder, however that ends.
  const lock = join(cacheFolder(), "lock");
  const build = spawnSync("flock", [lock, "bash", BUILD_SCRIPT, SOURCE, DEFCONFIG, folder], { stdio: ["ignore", 2, 2] });
  if (build.status !== 0) throw new Error(`the board's kernel could not be built (exit code ${build.status ?? build.signal})`);
  return kernel;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const missing = missingPackages();
  if (missing.length > 0) {
    process.stderr.write(`the board's kernel needs: ${installCommand(missing)}\n`);
    process.exitCode = 1;
  } else {
    process.stdout.write(`${ensureKernel().linux}\n`);
  }
}
