// `npm run bench -- NAME [--quick] [--seed N]`: prints figures beside their peers. Exits 0 whatever they are, 2 when there is no such bench.
import { runSuite } from "./run-suite.ts";

const rows = await runSuite(
  "bench",
  {
    clone: () => import("./suites/clone.ts"),
    analytics: () => import("./suites/analytics.ts"),
    footprint: () => import("./suites/footprint.ts"),
    memory: () => import("./suites/memory.ts"),
    queue: () => import("./suites/queue.ts"),
    eventnet: () => import("./suites/eventnet.ts"),
    connections: () => import("./suites/connections.ts"),
    loop: () => import("./suites/loop.ts"),
    sinks: () => import("./suites/sinks.ts"),
    serial: () => import("./suites/serial.ts"),
    mqtt: () => import("./suites/mqtt.ts"),
  },
  process.argv.slice(2),
);
if (rows === undefined) process.exitCode = 2;
