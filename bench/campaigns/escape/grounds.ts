import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a file below the root holds that an honest client may read. */
export const INSIDE = "inside";

/** In every file that nobody may reach; no agent makes this up. */
export const SECRET = `secret-${randomBytes(12).toString("hex")}`;

/** A folder of files that the agent is given, and one beside it that no path leads to. */
export interface Grounds {
  readonly root: string;
  readonly outside: string;
  /** Device nodes could be made: the campaign runs as root. */
  readonly devices: boolean;
  /** The file system notes when a file is read. */
  readonly readsAreNoted: boolean;
  /** What is outside and differs from how it was laid out; empty when nothing does. */
  readonly changed: () => readonly string[];
  readonly clear: () => void;
}

const LONG_AGO_S = 86_400;

/** Lays out everything that leads out of a folder. */
export async function layOut(): Promise<Grounds> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "virgo-escape-")));
  const root = join(folder, "root");
  const outside = join(folder, "outside");
  for (const each of [root, join(root, "inner/deep"), join(root, "race"), outside, join(outside, SECRET)])
    mkdirSync(each, { recursive: true });
  for (const each of [join(outside, "canary"), join(outside, SECRET, "canary"), `${root}-beside`]) writeFileSync(each, SECRET);
  writeFileSync(join(root, "inner/plain"), INSIDE);
  layLinks(root, outside);
  linkSync(join(outside, "canary"), join(root, "hard"));
  execFileSync("mkfifo", [join(root, "fifo")]);
  const server = await listenOn(join(root, "socket"));
  const devices = makeDevices(root);
  const readsAreNoted = notesReads(join(folder, "probe"));
  const files = [join(outside, "canary"), join(outside, SECRET, "canary"), `${root}-beside`];
  for (const file of files) utimesSync(file, LONG_AGO_S, LONG_AGO_S);
  const before = stateOf(folder, files);

  return {
    root,
    outside,
    devices,
    readsAreNoted,
    changed() {
      const now = stateOf(folder, files);
      const differing = before.filter((line) => !now.includes(line)).map((line) => `was ${line}`);
      return [...differing, ...now.filter((line) => !before.includes(line)).map((line) => `is ${line}`)];
    },
    clear() {
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function layLinks(root: string, outside: string): void {
  const links: Readonly<Record<string, string>> = {
    absolute: outside,
    relative: "../outside",
    "inner/up": "../../outside",
    "inner/deep/up": "../../../outside",
    "through-root": `${root}/../outside`,
    "through-inner": "inner/../../outside",
    parent: "..",
    top: "/",
    chain: "inner/chain",
    "inner/chain": "deep/chain",
    "inner/deep/chain": "up",
    file: join(outside, "canary"),
    "file-relative": "../outside/canary",
    beside: `${root}-beside`,
    dangling: join(outside, "made"),
    "dangling-deep": join(outside, "made/by/agent"),
    loop: "loop",
    "loop-a": "loop-b",
    "loop-b": "loop-a",
    "loop-folder": "loop-folder/x",
    "proc-root": "/proc/self/root",
    "proc-cwd": "/proc/self/cwd",
    "proc-fd": "/proc/self/fd",
    "proc-exe": "/proc/self/exe",
    "proc-one": "/proc/1/root",
    "proc-environ": "/proc/self/environ",
    "dev-null": "/dev/null",
    "dev-zero": "/dev/zero",
    "dev-stdin": "/dev/stdin",
    "dev-tty": "/dev/tty",
    etc: "/etc",
    passwd: "/etc/passwd",
    sys: "/sys",
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name));
}

async function listenOn(path: string): Promise<Server> {
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  server.unref();
  return server;
}

function makeDevices(root: string): boolean {
  try {
    execFileSync("mknod", [join(root, "null"), "c", "1", "3"], { stdio: "ignore" });
    execFileSync("mknod", [join(root, "zero"), "c", "1", "5"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function notesReads(probe: string): boolean {
  writeFileSync(probe, "x");
  utimesSync(probe, LONG_AGO_S, LONG_AGO_S);
  readFileSync(probe);
  const noted = statSync(probe).atimeMs > 2000 * LONG_AGO_S;
  rmSync(probe);
  return noted;
}

/** One line for every name, and for every file that nobody may reach: what it is, when it was last read, and what it holds. */
function stateOf(folder: string, files: readonly string[]): readonly string[] {
  const lines = readdirSync(folder).map((name) => join(folder, name));
  const outside = join(folder, "outside");
  for (const name of readdirSync(outside, { recursive: true, encoding: "utf8" })) lines.push(join(outside, name));
  for (const file of files) {
    const { mode, nlink, size, uid, ino, atimeMs, mtimeMs } = lstatSync(file);
    const content = readFileSync(file, "utf8");
    utimesSync(file, atimeMs / 1000, mtimeMs / 1000);
    lines.push([file, mode, nlink, size, uid, ino, atimeMs, mtimeMs, content].join(" "));
  }
  return lines;
}
