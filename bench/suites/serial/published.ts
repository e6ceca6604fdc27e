// From bytes on the kernel's terminals, through the built agent in both its processes, to messages that somebody receives.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { connectAsync } from "mqtt";

import { cpuMs, FREE_PORTS, startAgentWith, startPrintingPort, type Measured } from "../../processes.ts";
import { createPtyPort, type PtyPort } from "../../../test/helpers/pty-port.ts";
import { createSimRplidar } from "../../../drivers/board/sim/instruments/rplidar.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { row, type Row, type SuiteOptions } from "../../report.ts";
import { startMosquitto } from "../../../test/helpers/mosquitto.ts";

const TURN_HZ = 100;
const NAMES = ["horizontal", "vertical"];
const DURATION_MS = { full: 20_000, quick: 4000 };
const WARM_UP_MS = 2000;

/** A scanner on a terminal of its own, in a room that changes a little from turn to turn. */
async function plugScanner(path: string): Promise<PtyPort> {
  const clock = createSystemClock();
  const scanner = createSimRplidar({ turnHz: TURN_HZ });
  scanner.see((angleDeg) => 3 + 2 * Math.sin((angleDeg * Math.PI) / 90) + (clock.monotonicMs() % 100) / 100);
  const pty = createPtyPort(path, (bytes) => {
    powered.receive(bytes);
  });
  const powered = scanner.start({
    clock,
    send: (bytes) => {
      pty.send(bytes);
    },
  });
  await pty.plug();
  return {
    ...pty,
    async close() {
      powered.stop();
      await pty.close();
    },
  };
}

interface Load {
  /** Of whoever reads and publishes, percent of one core. */
  readonly cpuPercent: number;
  readonly tablesPerS: number;
}

/** Both scanners, whoever `start` starts to read them, and a subscriber that counts what arrives. */
async function measure(url: string, durationMs: number, start: (paths: readonly string[]) => Promise<Measured>): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-bench-"));
  const paths = NAMES.map((name) => join(folder, name));
  const scanners = await Promise.all(paths.map(plugScanner));
  const subscriber = await connectAsync(url, { protocolVersion: 5 });
  let tables = 0;
  subscriber.on("message", (_topic, payload) => {
    // 360 distances, each of a digit at least and a blank.
    if (payload.length > 720) tables += 1;
  });
  await subscriber.subscribeAsync("bench/#");
  let reader: Measured | undefined;
  try {
    reader = await start(paths);
    await wait(WARM_UP_MS);
    const [fromTables, fromCpuMs, fromMs] = [tables, cpuMs(reader.pid), performance.now()];
    await wait(durationMs);
    const elapsedMs = performance.now() - fromMs;
    return {
      cpuPercent: ((cpuMs(reader.pid) - fromCpuMs) * 100) / elapsedMs,
      tablesPerS: ((tables - fromTables) * 1000) / elapsedMs,
    };
  } finally {
    await subscriber.endAsync(true);
    await reader?.stop();
    for (const scanner of scanners) await scanner.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function configOf(url: string, paths: readonly string[]): string {
  return `node: bench
board: no-gpio
${FREE_PORTS}
log: { level: error }
mqtt: { url: "${url}" }
devices:
${NAMES.map((name, i) => `  ${name}: { driver: lidar, model: rplidar-a, path: ${paths[i] ?? ""} }\n`).join("")}
analytics: { sinks: [{ mqtt: "bench/{name}", variables: ["*.distances"] }] }
`;
}

export async function measurePublished({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const server = await startMosquitto({ lines: ["set_tcp_nodelay true"] });
  const durationMs = quick ? DURATION_MS.quick : DURATION_MS.full;
  try {
    progress("serial: two scanners on terminals, their turns published by the agent, then by the least that can");
    const agent = await measure(server.url, durationMs, (paths) => startAgentWith(configOf(server.url, paths)));
    const plain = await measure(server.url, durationMs, (paths) =>
      startPrintingPort(process.execPath, ["bench/peers/table-publisher.mjs", server.url, ...paths]),
    );
    return [
      row({
        name: "720 distances at 100 Hz, bytes to published tables, both processes",
        value: agent.cpuPercent,
        unit: "% of a core",
        peer: { name: "serialport and mqtt.js alone", value: plain.cpuPercent },
        goal: "≤ 10",
      }),
      row({
        name: "tables received of those sent",
        value: agent.tablesPerS / (NAMES.length * TURN_HZ),
        unit: "",
        peer: { name: "serialport and mqtt.js alone", value: plain.tablesPerS / (NAMES.length * TURN_HZ) },
        goal: "≥ 0.99",
      }),
    ];
  } finally {
    await server.close();
  }
}
