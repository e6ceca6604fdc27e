// Stands for the device host: says on descriptor 3 what it finds, then does what it is told there.
import { Socket } from "node:net";

const line = new Socket({ fd: 3 });
const seen = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "VIRGO_TOKEN", "KEPT"].filter((name) => process.env[name] !== undefined);
line.write(`${JSON.stringify({ seen, execArgv: process.execArgv })}\n`);
line.on("data", (told) => {
  const word = told.toString().trim();
  if (word === "exit") process.exit(7);
  if (word === "crash") process.abort();
  line.write(`${word}\n`);
});
line.on("close", () => process.exit(9));
