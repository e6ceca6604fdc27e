import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { endChild } from "./end-child.ts";

/** A real broker, Debian's mosquitto, on its own port, in its own folder. */
export interface Mosquitto {
  readonly port: number;
  /** `mqtt://127.0.0.1:PORT` */
  readonly url: string;
  /** What it wrote, for a test that fails. */
  log(): string;
  /** Ends it, with everything it keeps; `signal` SIGKILL: without a goodbye. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** It runs and does nothing, until told to go on. */
  pause(): void;
  goOn(): void;
  /** Starts it again on the same port, remembering nothing. */
  start(): Promise<void>;
  /** Stopped for good, its folder removed. */
  close(): Promise<void>;
}

export interface MosquittoOptions {
  /** Further lines of its configuration, after the listener's. */
  readonly lines?: readonly string[];
  readonly port?: number;
}

const PROGRAMS = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const program = PROGRAMS.find((path) => existsSync(path));
  if (program === undefined) throw new Error("there is no mosquitto; apt-get install mosquitto");
  const folder = mkdtempSync(join(tmpdir(), "virgo-mosquitto-"));
  const port = options.port ?? (await freePort());
  const file = join(folder, "mosquitto.conf");
  // `user root` keeps it from changing to a user that may not read the folder, when tests run as root.
  const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", "persistence false", "user root", "log_dest stderr"];
  writeFileSync(file, `${[...lines, ...(options.lines ?? [])].join("\n")}\n`);
  let child: ChildProcess | undefined;
  let written = "";

  async function start(): Promise<void> {
    const started = spawn(program as string, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    child = started;
    started.stderr.on("data", (bytes: Buffer) => {
      written = `${written}${bytes.toString()}`.slice(-65_536);
    });
    while (!(await answers(port))) {
      if (started.exitCode !== null) throw new Error(`mosquitto ended: ${written}`);
    }
  }

  async function stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const running = child;
    child = undefined;
    await endChild(running, signal);
  }

  await start();
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    log: () => written,
    stop,
    pause() {
      child?.kill("SIGSTOP");
    },
    goOn() {
      child?.kill("SIGCONT");
    },
    start,
    async close() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Nobody listens there now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}

/** Whether somebody listens there; a no takes a moment, for whoever asks again. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      setTimeout(resolve, 10, false);
    });
  });
}
