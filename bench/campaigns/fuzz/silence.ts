// Clients that say nothing and clients that never listen.
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

import { row, type Row, type SuiteOptions } from "../../report.ts";
import { exchange, HANG_MS } from "./exchange.ts";
import { arrayOf } from "./piece.ts";
import { residentMib } from "./resident.ts";
import type { Target } from "./target.ts";

export interface SilencePlan {
  readonly idleConnections: number;
  readonly idleMs: number;
  readonly deafReaders: number;
}

/** Opened at a time. */
const GROUP = 100;

/** What they say before they are silent: most of them nothing, some half of a request. */
const OPENINGS = ["", "", "", "", "", "", "", "", "*1\r\n$4\r\nPI", "CLON"];

function portOf(target: Target, listener: string): number {
  const port = target.ports.get(listener);
  if (port === undefined) throw new Error(`the agent has no listener ${listener}`);
  return port;
}

/** How many connections a listener has open, as INFO says. */
async function connectionsOf(target: Target, listener: string): Promise<number> {
  const { received } = await exchange(portOf(target, "gateway"), [Buffer.from("INFO\r\n")]);
  const [, figures = ""] = received.toString().split(`# listener ${listener}\r\n`);
  return Number(/^open:(\d+)/m.exec(figures)?.[1] ?? 0);
}

/** Asks every so often until there are as many as wanted, or for too long; returns how many there are. */
async function untilOpen(target: Target, listener: string, enough: (open: number) => boolean, limitMs: number): Promise<number> {
  const untilMs = performance.now() + limitMs;
  for (;;) {
    const open = await connectionsOf(target, listener);
    if (enough(open) || performance.now() > untilMs) return open;
    await wait(100);
  }
}

/** `told` tells, once the agent has closed the connection, whether a half request got its error. */
function openIdle(port: number, half: string): Promise<{ readonly told: Promise<boolean> }> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect({ port, host: "127.0.0.1" });
    const told = new Promise<boolean>((close) => {
      socket.on("close", () => close(half === "" ? received === "" : received.startsWith("-TIMEOUT ")));
    });
    socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
    socket.on("error", reject);
    socket.on("connect", () => {
      if (half !== "") socket.write(half);
      resolve({ told });
    });
  });
}

/** Opens connections that say nothing, or half of something, and waits for the agent to close them all. */
async function holdIdle(target: Target, plan: SilencePlan, wanted: number, options: SuiteOptions): Promise<readonly Row[]> {
  const before = residentMib(target.agent.pid);
  const closed: Promise<boolean>[] = [];
  while (closed.length < plan.idleConnections) {
    const group = Array.from({ length: Math.min(GROUP, plan.idleConnections - closed.length) }, (_, k) =>
      openIdle(portOf(target, "clone"), OPENINGS[k % OPENINGS.length] ?? ""),
    );
    closed.push(...(await Promise.all(group)).map(({ told }) => told));
  }
  // What the kernel has accepted the agent has yet to.
  const held = await untilOpen(target, "clone", (open) => open >= closed.length, HANG_MS);
  const startedMs = performance.now();
  await exchange(portOf(target, "gateway"), [Buffer.from("PING\r\n")]);
  const answerMs = performance.now() - startedMs;
  const kibEach = ((residentMib(target.agent.pid) - before) * 1024) / closed.length;
  options.progress(`${held} idle connections are open, an answer takes ${answerMs.toFixed(1)} ms; waiting for the idle limit`);
  const limit = wait(plan.idleMs * 1.25 + HANG_MS, "late" as const, { ref: false });
  const ends = await Promise.all(closed.map((each) => Promise.race([each, limit])));
  return [
    row({ name: "idle connections held at once", value: held, unit: "connections", goal: `≥ ${wanted}` }),
    row({ name: "memory of each", value: kibEach, unit: "KiB RSS", goal: "≤ 16" }),
    row({ name: "an answer meanwhile", value: answerMs, unit: "ms" }),
    row({ name: "idle connections not closed", value: ends.filter((end) => end === "late").length, unit: "connections", goal: "= 0" }),
    row({ name: "half requests not told TIMEOUT", value: ends.filter((end) => end === false).length, unit: "connections", goal: "= 0" }),
  ];
}

/** Clients that ask for much and read nothing. */
async function deafen(target: Target, plan: SilencePlan, options: SuiteOptions): Promise<readonly Row[]> {
  const before = residentMib(target.agent.pid);
  const ask = Buffer.from(arrayOf(["COMMAND", "DOCS"]).repeat(20_000));
  const sockets = Array.from({ length: plan.deafReaders }, () => {
    const socket = connect({ port: portOf(target, "gateway"), host: "127.0.0.1" });
    socket.pause();
    // Being disconnected is what is expected of the agent.
    socket.on("error", () => socket.destroy());
    socket.write(ask);
    return socket;
  });
  await wait(Math.min(2000, plan.idleMs / 2));
  const growthMib = residentMib(target.agent.pid) - before;
  options.progress(`${plan.deafReaders} clients read nothing, memory grew by ${growthMib.toFixed(0)} MiB; waiting for the idle limit`);
  // One of them asks how many there are.
  const left = (await untilOpen(target, "gateway", (open) => open <= 1, 2 * plan.idleMs + HANG_MS)) - 1;
  for (const socket of sockets) socket.destroy();
  return [
    row({ name: `memory growth by ${plan.deafReaders} clients that do not read`, value: growthMib, unit: "MiB RSS", goal: "≤ 128" }),
    row({ name: "of them still connected after the idle limit", value: left, unit: "connections", goal: "= 0" }),
  ];
}

/** `wanted` idle connections are the goal, also where the machine does not allow for as many. */
export async function keepSilent(target: Target, plan: SilencePlan, wanted: number, options: SuiteOptions): Promise<readonly Row[]> {
  const idle = await holdIdle(target, plan, wanted, options);
  return [...idle, ...(await deafen(target, plan, options))];
}
