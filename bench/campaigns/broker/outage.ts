import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { row, type Row, type SuiteOptions } from "../../report.ts";
import { startMosquitto } from "../../../test/helpers/mosquitto.ts";
import { createGate } from "./gate.ts";
import { startPublishing, type Publishing } from "./publishing.ts";
import { createReceiver, type Receiver } from "./receiver.ts";

const OUTAGE_MS = { full: 60_000, quick: 5000 };
const TOPICS = 10;
const PER_S = 500;
const TICK_MS = 10;
const BEFORE_MS = 2000;
const COMMANDS = 100;
const DRAIN_LIMIT_MS = 180_000;

/** Feeds a publisher, whichever runs, and knows what has to arrive. */
function createFeed(first: Publishing) {
  let to = first;
  let number = 0;
  /** Of the running publisher, in order. */
  let given: string[] = [];
  const expected: string[] = [];
  const newest = new Map<string, number>();
  const startedMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    for (const due = ((performance.now() - startedMs) * PER_S) / 1000; sent < due; sent++) give();
  }, TICK_MS);

  function give(): void {
    number += 1;
    const topic = `latest/${number % TOPICS}`;
    to.queue(`queued/${number % TOPICS}`, String(number));
    to.latest(topic, String(number));
    given.push(String(number));
    newest.set(topic, number);
  }

  return {
    expected,
    newest,
    /** The publisher has ended; of what it was given, what was on disk is to arrive. */
    change(next: Publishing) {
      expected.push(...given.slice(0, to.kept));
      given = [];
      to = next;
    },
    stop() {
      clearInterval(timer);
    },
  };
}

async function until(check: () => boolean, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (!check()) {
    if (performance.now() > endMs) return false;
    await wait(10);
  }
  return true;
}

/** The broker is away, the publisher is killed while it is and again while it catches up. */
export async function outageRows({ quick, progress }: SuiteOptions): Promise<readonly Row[]> {
  const outageMs = quick ? OUTAGE_MS.quick : OUTAGE_MS.full;
  const folder = mkdtempSync(join(tmpdir(), "virgo-broker-"));
  const server = await startMosquitto();
  const gate = await createGate(server.port);
  const receiver = createReceiver(server.url);
  const commands: string[] = [];
  const publish = (): Publishing => startPublishing(`mqtt://127.0.0.1:${gate.port}`, folder, (text) => commands.push(text));
  let publishing = publish();
  try {
    await receiver.attend();
    const feed = createFeed(publishing);
    const restart = async (): Promise<void> => {
      await publishing.kill();
      const next = publish();
      feed.change(next);
      publishing = next;
    };
    await until(() => receiver.seen.size > 0, 15_000);
    await wait(BEFORE_MS);
    progress(`broker stopped for ${outageMs / 1000} s`);
    gate.shut();
    await server.stop("SIGKILL");
    await wait(outageMs / 2);
    await restart();
    await wait(outageMs / 2);
    await server.start();
    await receiver.attend();
    receiver.mark(feed.newest);
    for (let i = 0; i < COMMANDS; i++) await receiver.send("commands/move", "stale", i === 0);
    gate.open();
    progress(`broker is back, ${publishing.waiting} messages wait`);
    await until(() => receiver.newest.size === TOPICS, 15_000);
    await wait(1000);
    await restart();
    const caughtUpFrom = performance.now();
    await until(() => publishing.waiting >= 0 && publishing.waiting < PER_S, DRAIN_LIMIT_MS);
    const catchUpMs = performance.now() - caughtUpFrom;
    feed.stop();
    await until(() => publishing.waiting === 0, DRAIN_LIMIT_MS);
    await wait(500);
    const staleCommands = commands.filter((text) => text === "stale").length;
    await receiver.send("commands/move", "live", false);
    await until(() => commands.includes("live"), 5000);
    feed.change(publishing);
    return rowsOf(receiver, feed.expected, feed.newest, { catchUpMs, staleCommands, live: commands.includes("live") ? 1 : 0 });
  } finally {
    await publishing.kill();
    await receiver.leave();
    await gate.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function rowsOf(
  receiver: Receiver,
  expected: readonly string[],
  newest: ReadonlyMap<string, number>,
  { catchUpMs, staleCommands, live }: { readonly catchUpMs: number; readonly staleCommands: number; readonly live: number },
): readonly Row[] {
  const missing = expected.filter((text) => !receiver.seen.has(text)).length;
  const behind = [...newest].filter(([topic, number]) => receiver.newest.get(topic) !== number).length;
  return [
    row({ name: "queued messages on disk", value: expected.length, unit: "messages", goal: "≥ 1" }),
    row({ name: "  missing", value: missing, unit: "", goal: "= 0" }),
    row({ name: "  twice under two ids", value: receiver.twice, unit: "", goal: "= 0" }),
    row({ name: "  without an id", value: receiver.withoutId, unit: "", goal: "= 0" }),
    row({ name: "  out of order within a topic", value: receiver.disordered, unit: "", goal: "= 0" }),
    row({ name: "  sent again under the same id", value: receiver.repeated, unit: "messages" }),
    row({ name: "  caught up after the last kill", value: catchUpMs, unit: "ms" }),
    row({ name: "latest: older than the newest at reconnection", value: receiver.outdated, unit: "", goal: "= 0" }),
    row({ name: "latest: topics without the newest at the end", value: behind, unit: "", goal: "= 0" }),
    row({ name: "commands given while away that arrived", value: staleCommands, unit: "", goal: "= 0" }),
    row({ name: "commands given afterwards that arrived", value: live, unit: "", goal: "= 1" }),
  ];
}
