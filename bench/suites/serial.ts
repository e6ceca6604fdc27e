import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";

import { createDeviceScope } from "../../agent/host/device-context.ts";
import { createSimBoard } from "../../drivers/board/sim/sim-board.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createVariableStore } from "../../analytics/store.ts";
import { lidarDriver } from "../../drivers/serial/lidar.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import { measurePublished } from "./serial/published.ts";
import { row, type Row, type SuiteOptions } from "../report.ts";
import { writeNode } from "../../drivers/board/sim/instruments/rplidar.ts";
import type { Log } from "../../agent/contract/log.ts";
import type { SimInstrument } from "../../drivers/board/sim/serial.ts";

const TURN_HZ = 100;
const NODES = 360;
const NODE_BYTES = 5;
const WARM_UP_MS = 1000;

/** What a driver of a USB adapter hands over at once. */
const PIECE_BYTES = 512;

const QUIET: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

function nothing(): void {
  return undefined;
}

/** Turns of a scanner in a room, each a little different, so that nothing is known before. */
function turnsOf(seed: number): readonly Uint8Array[] {
  return Array.from({ length: 16 }, (_, turn) => {
    const bytes = new Uint8Array(NODES * NODE_BYTES);
    for (let node = 0; node < NODES; node++) {
      const distanceM = 3 + 2 * Math.sin((node * Math.PI) / 90 + seed) + turn / 100;
      writeNode(bytes, node * NODE_BYTES, node, distanceM, node === 0);
    }
    return bytes;
  });
}

/** Answers what is asked before the scan; the nodes are sent from outside. */
const SCANNER: SimInstrument = {
  start: (line) => ({
    receive(bytes) {
      if (bytes[1] === 0x50) line.send(Uint8Array.from([0xa5, 0x5a, 20, 0, 0, 0, 0x04, ...new Uint8Array(20)]));
      if (bytes[1] === 0x52) line.send(Uint8Array.from([0xa5, 0x5a, 3, 0, 0, 0, 0x06, 0, 0, 0]));
      if (bytes[1] === 0x20) line.send(Uint8Array.from([0xa5, 0x5a, 5, 0, 0, 0x40, 0x81]));
    },
    stop: nothing,
  }),
};

/** Takes the bytes of one turn. */
type Feed = (turn: Uint8Array) => void;

/** Two open lidars with their variables in one store. */
async function openLidars(): Promise<{ readonly feeds: readonly Feed[]; tables(): number; close(): Promise<void> }> {
  const clock = createSystemClock();
  const board = createSimBoard({ clock });
  const variables = createVariableStore({ clock, limits: limitsSchema.parse({}), declared: {}, defaultStaleMs: 1000 });
  const names = ["horizontal", "vertical"];
  const opened = names.map(async (id) => {
    const path = `/dev/serial/by-id/${id}`;
    const world = board.world.serial(path);
    world.attach(SCANNER);
    const scope = createDeviceScope({
      id,
      board,
      clock,
      variables,
      log: QUIET,
      fault(error) {
        throw error;
      },
    });
    const device = await lidarDriver.open(scope.context, lidarDriver.options.parse({ model: "rplidar-a", path }));
    return { world, device, scope };
  });
  const lidars = await Promise.all(opened);
  await wait(100);
  return {
    feeds: lidars.map(({ world }) => (turn) => {
      for (let at = 0; at < turn.length; at += PIECE_BYTES) world.send(turn.subarray(at, at + PIECE_BYTES));
    }),
    tables: () => names.reduce((sum, name) => sum + (variables.get(`${name}.distances`)?.updates ?? 0), 0),
    async close() {
      for (const { device, scope } of lidars) {
        await device.close();
        await scope.end();
      }
      await board.close();
    },
  };
}

/** The least that reading the same bytes can be: no checks, no cut nodes, no variables. */
function bareFeeds(): readonly Feed[] {
  return [0, 1].map(() => {
    let table = new Float64Array(NODES);
    return (turn: Uint8Array) => {
      for (let at = 0; at + NODE_BYTES <= turn.length; at += NODE_BYTES) {
        const angle = ((turn[at + 1] as number) >> 1) | ((turn[at + 2] as number) << 7);
        table[(angle >> 6) % NODES] = ((turn[at + 3] as number) | ((turn[at + 4] as number) << 8)) / 4000;
      }
      table = Float64Array.from(table);
    };
  });
}

/** CPU time of this process while turns arrive at their rate, percent of one core. */
async function cpuPercent(feeds: readonly Feed[], turns: readonly (readonly Uint8Array[])[], ms: number): Promise<number> {
  let fed = 0;
  const startMs = performance.now();
  const before = process.cpuUsage();
  while (performance.now() - startMs < ms) {
    const due = Math.floor(((performance.now() - startMs) * TURN_HZ) / 1000);
    for (; fed < due; fed++) feeds.forEach((feed, i) => feed((turns[i] as readonly Uint8Array[])[fed % 16] as Uint8Array));
    await wait(1000 / TURN_HZ / 2);
  }
  const used = process.cpuUsage(before);
  return (used.user + used.system) / 10 / (performance.now() - startMs);
}

/** What it costs to wake up as often and do nothing is in every figure here; it is taken off. */
export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  const { quick, progress } = options;
  const ms = quick ? 3000 : 10_000;
  const turns = [turnsOf(1), turnsOf(2)];
  const lidars = await openLidars();
  try {
    progress("serial: nothing");
    const idle = [nothing, nothing];
    await cpuPercent(idle, turns, WARM_UP_MS);
    const nothingPercent = await cpuPercent(idle, turns, ms);
    progress("serial: a bare loop");
    const bare = bareFeeds();
    await cpuPercent(bare, turns, WARM_UP_MS);
    const barePercent = await cpuPercent(bare, turns, ms);
    progress("serial: two lidars");
    await cpuPercent(lidars.feeds, turns, WARM_UP_MS);
    const before = lidars.tables();
    const lidarPercent = await cpuPercent(lidars.feeds, turns, ms);
    const tables = lidars.tables() - before;
    const expected = (2 * TURN_HZ * ms) / 1000;
    const peer = { name: "bare loop over the same bytes", value: Math.max(0.01, barePercent - nothingPercent) };
    return [
      row({
        name: "720 distances at 100 Hz, bytes to variables",
        value: lidarPercent - nothingPercent,
        unit: "% of a core",
        peer,
        goal: "≤ 3",
      }),
      row({ name: "tables in variables of those sent", value: tables / expected, unit: "", goal: "≥ 0.99" }),
      ...(await measurePublished(options)),
    ];
  } finally {
    await lidars.close();
  }
}
