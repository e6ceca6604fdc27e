// The ways to lose what drives a device on this machine itself: the agent's processes with simulated ports, and a meter at those.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { FREE_PORTS } from "../../processes.ts";
import { framesIn, openSimLog, portChanges } from "./sim-log.ts";
import { measure, type Place, type Port } from "./repetitions.ts";
import { pedalChanges } from "./pedal-frames.ts";
import { WAYS } from "./ways.ts";
import { writeConfiguration } from "./configuration.ts";
import type { Measurement } from "./measurement.ts";

const PROBE = pathToFileURL(join(import.meta.dirname, "sim-probe.mjs")).href;

export interface SimPortsOptions {
  readonly times: number;
  readonly seed: number;
  /** The ways whose name begins so. */
  readonly only: string;
  readonly say: (line: string) => void;
  readonly onMeasured: (measurement: Measurement) => void;
}

export async function measureSimPorts({ times, seed, only, say, onMeasured }: SimPortsOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "virgo-failsafe-"));
  const file = join(folder, "ports.log");
  const log = openSimLog(file);
  const at = (name: string, port: string, moves: boolean): Port => ({
    name,
    moves,
    ramps: false,
    changes: () => portChanges(log.text(), port),
  });
  const place: Place = {
    folder,
    environment: { NODE_OPTIONS: `--import=${PROBE}`, VIRGO_SIM_LOG: file },
    ports: [
      at("servo", "pca9685:0", true),
      at("motor", "pwm:1", true),
      at("motor's input", "line:GPIO5", true),
      at("lamp", "line:GPIO17", false),
      { name: "accelerator's frame", moves: true, ramps: false, changes: () => pedalChanges(framesIn(log.text()), "accelerator") },
      { name: "brake's frame", moves: true, ramps: true, changes: () => pedalChanges(framesIn(log.text()), "brake") },
    ],
    goalMs: { running: 20, starting: 1000 },
    clear: () => log.clear(),
    text: () => log.text().split("\n").slice(-40).join("\n"),
    say,
  };
  writeConfiguration(folder, {
    extra: `board: sim\n${FREE_PORTS}`,
    analytics: "127.0.0.1:0",
    servo: "{ pca9685: { bus: 1, channel: 0 } }",
    motor: "{ chip: sim, channel: 1 }",
    can: "can0",
  });
  try {
    for (const way of WAYS.filter(({ name }) => name.startsWith(only))) onMeasured(await measure(way, { place, times, seed }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
