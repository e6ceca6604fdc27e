// `npm run campaign -- NAME [--quick] [--seed N]`: exits 1 when a goal is missed, 2 when there is no such campaign.
import { runSuite } from "./run-suite.ts";

const rows = await runSuite(
  "campaign",
  {
    fuzz: () => import("./campaigns/fuzz.ts"),
    mutation: () => import("./campaigns/mutation.ts"),
    durability: () => import("./campaigns/durability.ts"),
    escape: () => import("./campaigns/escape.ts"),
    limits: () => import("./campaigns/limits.ts"),
    driving: () => import("./campaigns/driving.ts"),
    failsafe: () => import("./campaigns/failsafe.ts"),
    serial: () => import("./campaigns/serial.ts"),
    partition: () => import("./campaigns/partition.ts"),
    broker: () => import("./campaigns/broker.ts"),
  },
  process.argv.slice(2),
);
if (rows === undefined) process.exitCode = 2;
else if (rows.some((row) => row.met === false)) process.exitCode = 1;
