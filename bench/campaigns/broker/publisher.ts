// The agent's connection to a broker and its outbox, in a process that can be killed: `publisher.ts URL FOLDER`.
// In: `q TOPIC TEXT`, `l TOPIC TEXT`. Out: `kept N WAITING` as messages of this run are on disk, `command TEXT` for what arrives on commands/#, `stored TEXT` for what was stored.
import { createInterface } from "node:readline";

import { createBroker } from "../../../agent/mqtt/broker.ts";
import { createOutbox } from "../../../agent/mqtt/outbox.ts";
import { createSystemClock } from "../../../agent/clock.ts";
import { mqttOptionsSchema } from "../../../agent/mqtt/options.ts";
import type { Log } from "../../../agent/contract/log.ts";

const REPORT_MS = 10;

const [url, folder = ""] = process.argv.slice(2);
const clock = createSystemClock();
const log: Log = { debug: nothing, info: nothing, warn: nothing, error: (_fields, message) => process.stderr.write(`${message}\n`) };
const options = mqttOptionsSchema.parse({ url, retryMinMs: 50, retryMaxMs: 200 });
const broker = createBroker(options, { node: "publisher", clock, log, readSecrets: () => Promise.resolve({}) });
const outbox = createOutbox({ folder, options: options.outbox, maxMessageBytes: options.maxMessageBytes, broker, clock, log });

function nothing(): void {
  return undefined;
}

// What the broker had stored is marked as such, and left alone as everything that takes commands does.
broker.subscribe(
  "commands/#",
  ({ payload, retained }) => process.stdout.write(`${retained ? "stored" : "command"} ${Buffer.from(payload).toString()}\n`),
  1,
);
outbox.start();
broker.start();
createInterface(process.stdin).on("line", (line) => {
  const [policy, topic = "", payload = ""] = line.split(" ");
  outbox.send({ topic, payload, policy: policy === "q" ? "queue" : "latest", qos: 1 });
});
setInterval(() => {
  const { kept = 0, waiting = -1 } = outbox.figures();
  process.stdout.write(`kept ${kept} ${waiting}\n`);
}, REPORT_MS);
