import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { endChild } from "./end-child.ts";

/** One nats-server of a cluster that speaks MQTT 3.1.1: a real broker of Debian, several of which are one. */
export interface NatsNode {
  readonly name: string;
  /** What it wrote, for a test that fails. */
  log(): string;
  start(): void;
  /** `SIGKILL`: without a goodbye. What it keeps on disk is there when it is started again. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface NatsNodeOptions {
  readonly name: string;
  readonly folder: string;
  /** Where it listens. */
  readonly host: string;
  readonly ports: NatsPorts;
  /** Every node of the cluster: `host:port`. */
  readonly routes: readonly string[];
  /** What it is started with in front: `ip netns exec name`. */
  readonly prefix?: readonly string[];
}

export interface NatsPorts {
  readonly client: number;
  readonly cluster: number;
  readonly mqtt: number;
}

const PROGRAMS = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"];

/** Sessions and retained messages are streams of JetStream, so it needs one. */
function configOf({ name, folder, host, ports, routes }: NatsNodeOptions): string {
  return `server_name: ${name}
listen: "${host}:${ports.client}"
jetstream: { store_dir: "${join(folder, name)}", max_mem: 64M, max_file: 256M }
cluster: { name: virgo, listen: "${host}:${ports.cluster}", routes: [${routes.map((route) => `"nats://${route}"`).join(", ")}] }
mqtt: { listen: "${host}:${ports.mqtt}" }
`;
}

/** A node that is not started yet. */
export function createNatsNode(options: NatsNodeOptions): NatsNode {
  const program = PROGRAMS.find((path) => existsSync(path));
  if (program === undefined) throw new Error("there is no nats-server; apt-get install nats-server");
  const { name, folder, prefix = [] } = options;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.conf`);
  writeFileSync(file, configOf(options));
  let child: ChildProcess | undefined;
  let written = "";
  return {
    name,
    log: () => written,
    start() {
      const [command = program, ...inFront] = prefix;
      const args = prefix.length === 0 ? ["-c", file] : [...inFront, program, "-c", file];
      const started = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
      child = started;
      started.stderr.on("data", (bytes: Buffer) => {
        written = `${written}${bytes.toString()}`.slice(-65_536);
      });
    },
    async stop(signal = "SIGTERM") {
      const running = child;
      child = undefined;
      await endChild(running, signal);
    },
  };
}

/** Whether an MQTT client is welcome there: a node takes none before the cluster has found itself. */
export function takesMqtt(host: string, port: number): Promise<boolean> {
  // CONNECT of MQTT 3.1.1 with a clean session, 10 s of keep-alive and the client id `probe` (section 3.1).
  const hello = Buffer.from([0x10, 17, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 10, 0, 5, 0x70, 0x72, 0x6f, 0x62, 0x65]);
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const settle = (welcome: boolean): void => {
      socket.destroy();
      resolve(welcome);
    };
    socket.once("connect", () => socket.write(hello));
    socket.once("data", (bytes: Buffer) => settle(bytes[0] === 0x20 && bytes[3] === 0));
    socket.once("error", () => settle(false));
    socket.once("close", () => settle(false));
    socket.setTimeout(5000, () => settle(false));
  });
}
