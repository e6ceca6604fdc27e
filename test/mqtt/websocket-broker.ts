import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { answers, freePort } from "../helpers/mosquitto.ts";

/** Debian's nats-server with MQTT 3.1.1 over web sockets, which Debian's mosquitto is built without. */
export interface WebSocketBroker {
  /** Path and all: MQTT is at /mqtt there. */
  readonly url: string;
  close(): Promise<void>;
}

const PROGRAMS = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server", "/usr/bin/nats-server"];

/** With `tls`, files of its certificate and key, it speaks wss. */
export async function startWebSocketBroker(tls?: { readonly certificate: string; readonly key: string }): Promise<WebSocketBroker> {
  const program = PROGRAMS.find((path) => existsSync(path));
  if (program === undefined) throw new Error("there is no nats-server; apt-get install nats-server");
  const folder = mkdtempSync(join(tmpdir(), "virgo-nats-ws-"));
  const [port, client, mqtt] = [await freePort(), await freePort(), await freePort()];
  const file = join(folder, "nats.conf");
  const security = tls === undefined ? "no_tls: true" : `tls: { cert_file: "${tls.certificate}", key_file: "${tls.key}" }`;
  writeFileSync(
    file,
    `server_name: ws
listen: "127.0.0.1:${client}"
jetstream: { store_dir: "${join(folder, "store")}", max_mem: 64M, max_file: 64M }
mqtt: { listen: "127.0.0.1:${mqtt}" }
websocket: { listen: "127.0.0.1:${port}", ${security} }
`,
  );
  const child = spawn(program, ["-c", file], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => {
      resolve();
    });
  });
  while (!(await answers(port))) if (child.exitCode !== null) throw new Error("nats-server ended");
  return {
    url: `${tls === undefined ? "ws" : "wss"}://127.0.0.1:${port}/mqtt`,
    async close() {
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
