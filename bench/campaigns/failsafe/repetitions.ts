// One way to lose what drives a device, again and again.
import { setTimeout as wait } from "node:timers/promises";

import { createRandom } from "../durability/random.ts";
import { firstSafe, monotonicMs, safeSince, type Change } from "./changes.ts";
import { ask, startAgent, type Agent } from "./subject.ts";
import type { Measurement } from "./measurement.ts";
import type { Orders } from "./orders.ts";
import { DEVICES, STOP_MS } from "./configuration.ts";
import type { Way } from "./ways.ts";

/** After this nothing is waited for any more: beyond every lease, limit and time of the ways. */
const WINDOW_MS = 5000;
/** It stays safe: this is looked at, too. Nobody looks before, so that looking takes no time from who is measured. */
const SETTLE_MS = 150;
const LOOK_MS = 50;
const DRIVEN_LIMIT_MS = 3000;
const ANSWER_LIMIT_MS = 1000;

/** Where a device's orders arrive in the end. */
export interface Port {
  readonly name: string;
  /** The device goes safe at once when the front is lost. */
  readonly moves: boolean;
  /** Its safe value builds up, by a process that goes on: how that begins is counted by itself. */
  readonly ramps: boolean;
  /** What happened there since `clear`. */
  changes(): readonly Change[];
}

/** Where the agent's ports are, and who sees what happens there. */
export interface Place {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly ports: readonly Port[];
  /** Time from when it is due to the last port, and where a process has to start first, milliseconds. */
  readonly goalMs: { readonly running: number; readonly starting: number };
  /** Forgets what happened. */
  clear(): void;
  /** The last things that happened, for people. */
  text(): string;
  say(line: string): void;
}

export interface RepetitionOptions {
  readonly place: Place;
  readonly times: number;
  readonly seed: number;
}

/** `-12.0 64, 3.1 0`: every turn from safe to unsafe and back, for people. */
function turnsOf(changes: readonly Change[], eventMs: number): string {
  const turns = changes.filter(({ value }, i) => (value === 0) !== (changes[i - 1]?.value === 0));
  return turns.map(({ atMs, value }) => `${(atMs - eventMs).toFixed(1)} ${value}`).join(", ");
}

export async function measure(way: Way, { place, times, seed }: RepetitionOptions): Promise<Measurement> {
  const random = createRandom(seed);
  const ports = place.ports.filter(({ ramps }) => !(way.nothingLeft && ramps));
  const goalMs = way.nothingLeft ? place.goalMs.starting : place.goalMs.running;
  const lateMs: number[] = [];
  const rampMs: number[] = [];
  let disturbed = 0;
  let again = 0;
  /** When each port became safe after the event. */
  let found: { readonly eventMs: number; readonly safe: readonly number[] } | undefined;
  let agent: Agent | undefined;

  /** When each port became safe; undefined when one was not driven at the time of the event. */
  function safeTimes(eventMs: number): readonly number[] | undefined {
    const times = ports.map((port) => (port.ramps ? firstSafe : safeSince)(port.changes(), eventMs));
    return times.includes(undefined) ? undefined : times.map(Number);
  }

  async function untilDriven(): Promise<boolean> {
    const endMs = monotonicMs() + DRIVEN_LIMIT_MS;
    for (;;) {
      const nowMs = monotonicMs();
      if (safeTimes(nowMs) !== undefined) return true;
      if (nowMs > endMs) return false;
      await wait(LOOK_MS);
    }
  }

  /** An order that was carried out and not answered would make the lease end later than is known here. */
  async function untilAnswered(orders: Orders): Promise<void> {
    const endMs = monotonicMs() + ANSWER_LIMIT_MS;
    while (orders.onItsWay() && monotonicMs() < endMs) await wait(1);
  }

  async function untilSafe(eventMs: number, lastDueMs: () => number): Promise<readonly number[] | undefined> {
    while (monotonicMs() < lastDueMs() + SETTLE_MS) await wait(LOOK_MS);
    for (;;) {
      const safe = safeTimes(eventMs);
      if (safe === undefined || monotonicMs() > eventMs + WINDOW_MS) return safe;
      if (!safe.some((atMs) => atMs > monotonicMs() - SETTLE_MS)) return safe;
      await wait(LOOK_MS);
    }
  }

  function note(late: readonly number[]): void {
    const worstOf = (ramps: boolean): number => Math.max(...late.filter((_, i) => ports[i]?.ramps === ramps));
    lateMs.push(worstOf(false));
    if (ports.some(({ ramps }) => ramps)) rampMs.push(worstOf(true));
    if (worstOf(false) <= goalMs) return;
    const told = ports.map(({ name }, i) => `${name} ${late[i]?.toFixed(1) ?? ""}`).join(", ");
    place.say(`late, ${way.name}: ${told} ms`);
    if (late.includes(Infinity)) place.say(place.text());
  }

  function noteDisturbed(what: string): void {
    disturbed += 1;
    const safe = ports.filter((port) => safeSince(port.changes(), monotonicMs()) === undefined);
    place.say(`disturbed, ${way.name}: ${what}; safe: ${safe.map(({ name }) => name).join(", ")}`);
  }

  /** How long after it was due each port became safe, milliseconds; undefined when one was not driven. */
  async function loseOnce(running: Agent, orders: Orders, odd: boolean): Promise<readonly number[] | undefined> {
    const hostPid = running.hostPid();
    const driven = await untilDriven();
    await wait(random.below(50));
    if (!driven || hostPid === undefined || running.hostPid() !== hostPid) {
      noteDisturbed(driven ? "another device host runs" : "not driven");
      return undefined;
    }
    await untilAnswered(orders);
    const eventMs = monotonicMs();
    const dueOf = (moves: boolean): number => way.dueMs(eventMs, orders, moves);
    const happening = way.happen(running, orders, odd);
    const safe = await untilSafe(eventMs, () => Math.max(dueOf(true), dueOf(false)));
    await happening;
    found = safe && { eventMs, safe };
    if (safe === undefined) noteDisturbed("not driven any more at the event");
    return safe?.map((atMs, i) => atMs - dueOf(ports[i]?.moves ?? true));
  }

  async function once(running: Agent): Promise<void> {
    await running.untilReady();
    place.clear();
    found = undefined;
    const orders = await way.order(running.listening);
    if (orders === undefined) noteDisturbed("an order was refused");
    const late = orders && (await loseOnce(running, orders, lateMs.length % 2 === 1));
    orders?.end();
    if (late !== undefined) {
      note(late);
      return;
    }
    for (const id of DEVICES) await ask(running.listening.gateway, `RESET ${id}`);
  }

  /** Whether everything is as safe as it was found to be. A brake may be let go once the vehicle counts as standing. */
  function lookAgain(): void {
    if (found === undefined || !way.restarts) return;
    const { eventMs } = found;
    for (const [i, port] of ports.entries()) {
      const untilMs = port.ramps ? eventMs + STOP_MS : Infinity;
      const sinceMs = safeSince(
        port.changes().filter(({ atMs }) => atMs < untilMs),
        eventMs,
      );
      if (sinceMs === found.safe[i]) continue;
      again += 1;
      place.say(
        `late, ${way.name}: ${port.name} was unsafe again; ms after the event, 0 is safe: ${turnsOf(port.changes(), found.eventMs)}`,
      );
    }
  }

  /** An agent that does not come back, which devices of its own can keep it from on a busy machine, is ended; that is an attempt that does not count. */
  async function onceAndRepair(running: Agent): Promise<boolean> {
    try {
      await once(running);
      const goesOn = await way.repair(running);
      lookAgain();
      return goesOn;
    } catch (error) {
      noteDisturbed(error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  try {
    while (lateMs.length < times && disturbed <= times) {
      agent ??= await startAgent(place.folder, place.environment);
      const goesOn = await onceAndRepair(agent);
      if (goesOn) continue;
      await agent.stop();
      agent = undefined;
    }
  } finally {
    await agent?.stop();
  }
  return { name: way.name, goalMs, lateMs, rampMs, again, disturbed };
}
