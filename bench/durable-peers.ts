import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { type Measured, plainEnvironment, startRedis } from "./processes.ts";

/** File systems in memory, on which nothing is ever synced (statfs). */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** A folder on a disk, the same for everything that is compared. */
export interface DiskFolder {
  readonly path: string;
  remove(): void;
}

/** Makes one where temporary files go, or in the working folder when those are in memory; `TMPDIR` names it until it is removed. */
export function takeDiskFolder(): DiskFolder {
  const parent = [tmpdir(), process.cwd()].find((folder) => !IN_MEMORY.has(statfsSync(folder).type));
  if (parent === undefined) throw new Error(`${tmpdir()} and ${process.cwd()} are in memory: set TMPDIR to a folder on a disk`);
  const path = mkdtempSync(join(parent, "virgo-bench-"));
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = path;
  return {
    path,
    remove() {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** A redis-server that has every write on disk before it answers. Its log is never rewritten: that would only slow it down. */
export function startDurableRedis(folder: string): Promise<Measured> {
  const path = join(folder, "redis");
  mkdirSync(path);
  return startRedis(["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--dir", path]);
}

/** How messages reach the disk. */
export type NatsSync = "always" | "default";

export interface Nats extends Measured {
  /** What makes every message be on disk when it is acknowledged, or that nothing does. */
  readonly syncedBy: string;
}

const START_LIMIT_MS = 10_000;

function natsConfig(folder: string, jetstream: string): string {
  return `listen: "127.0.0.1:-1"\nports_file_dir: "${folder}"\njetstream { store_dir: "${folder}/store"${jetstream} }\n`;
}

/** Why the server cannot be measured, or undefined. */
export function natsMissing(): string | undefined {
  const { error } = spawnSync("nats-server", ["--version"], { stdio: "ignore" });
  return error === undefined ? undefined : "nats-server is not installed: apt-get install nats-server";
}

/**
 * A nats-server with JetStream on files. Versions before 2.10 know no `sync_interval`: there the store's folder is marked so that the kernel writes
 * everything in it synchronously, which is the same for who waits for the acknowledgement.
 */
export async function startNats(parent: string, sync: NatsSync): Promise<Nats> {
  const folder = join(parent, `nats-${sync}`);
  mkdirSync(join(folder, "store"), { recursive: true });
  const config = join(folder, "nats.conf");
  const syncedBy = sync === "default" ? "nothing: synced every two minutes" : syncAlways(folder, config);
  if (syncedBy !== "sync_interval: always") writeFileSync(config, natsConfig(folder, ""));
  const startedMs = performance.now();
  const child = spawn("nats-server", ["-c", config], { stdio: "ignore", env: plainEnvironment() });
  const port = await portOf(folder, startedMs);
  return {
    port,
    pid: child.pid ?? 0,
    startMs: performance.now() - startedMs,
    syncedBy,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

function syncAlways(folder: string, config: string): string {
  writeFileSync(config, natsConfig(folder, ", sync_interval: always"));
  if (spawnSync("nats-server", ["-t", "-c", config], { stdio: "ignore" }).status === 0) return "sync_interval: always";
  execFileSync("chattr", ["+S", join(folder, "store")]);
  return "chattr +S";
}

/** Out of the file it writes when it listens. */
async function portOf(folder: string, startedMs: number): Promise<number> {
  for (;;) {
    const file = readdirSync(folder).find((name) => name.endsWith(".ports"));
    const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8");
    const port = /:(\d+)"/.exec(text)?.[1];
    if (port !== undefined) return Number(port);
    if (performance.now() - startedMs > START_LIMIT_MS) throw new Error("nats-server does not listen");
    await wait(20);
  }
}
