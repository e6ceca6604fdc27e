import { createRplidar } from "./rplidar.ts";
import { createTfmini } from "./tfmini.ts";
import { defineDriver, STILL_LEASE } from "../../agent/contract/device.ts";
import { lidarOptionsSchema } from "./lidar-options.ts";
import type { Entity } from "../../agent/contract/entity.ts";

const TFMINI_ENTITIES: readonly Entity[] = [
  {
    kind: "sensor",
    key: "distance",
    main: true,
    state: { value: "distance_m" },
    unit: "m",
    deviceClass: "distance",
    stateClass: "measurement",
    digits: 2,
  },
  { kind: "sensor", key: "strength", category: "diagnostic", state: { value: "strength" }, stateClass: "measurement" },
];

/** The table is for driving, not for people. */
const RPLIDAR_ENTITIES: readonly Entity[] = [{ kind: "sensor", key: "health", category: "diagnostic", state: { value: "health" } }];

/**
 * Distances by light. A TFmini or TF-Luna publishes `distance_m` and `strength`; an RPLIDAR of the A series a list of 360 distances in metres, one per
 * degree, straight ahead first and then counter-clockwise as seen from above, 0 where it is not known: the table that driving takes. Both publish `ok`, an RPLIDAR `health`
 * (good, warning, error).
 *
 * The motor of an A1 runs while the adapter's DTR is not asserted, which this driver does not switch: wire MOTOCTL to 5 V.
 * Faults when the scanner says that it has one.
 */
export const lidarDriver = defineDriver({
  name: "lidar",
  summary: "a TFmini, TF-Luna or RPLIDAR A on a serial port: a distance, or a table of 360",
  options: lidarOptionsSchema,
  moves: false,
  actuates: false,
  lease: STILL_LEASE,
  claims: ({ path }) => [`serial ${path}`],
  entities: ({ model }) => [
    ...(model === "tfmini" ? TFMINI_ENTITIES : RPLIDAR_ENTITIES),
    { kind: "binary_sensor", key: "ok", name: "measuring", category: "diagnostic", state: { on: "ok" }, deviceClass: "connectivity" },
  ],
  async open(context, options) {
    const stream = await context.board.openSerial(context.id, options.path, options);
    return options.model === "tfmini" ? createTfmini(context, stream, options.tfmini) : createRplidar(context, stream, options.scanner);
  },
});
