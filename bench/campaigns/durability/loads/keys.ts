import { type Cell, type Counter, createCell, createCounter } from "../cell.ts";
import { bytesOfValue, type Client, type Outcome, valueOf, withClient } from "../client.ts";
import { createFindings, type Findings } from "../findings.ts";
import type { Random } from "../random.ts";
import { type Found, readRecord, recordText } from "../record.ts";
import { inParallel, type Load } from "./load.ts";

/** Requests under way on one connection. */
const WINDOW = 8;

const KEYS = 12;
/** Keys that are only ever written together. */
const GROUP_KEYS = 4;

/** Keys that belong to the durable pool. */
export const DURABLE_KEYS = "kept:*";

/** One connection's keys. */
interface Owner {
  readonly cells: readonly [Cell, ...Cell[]];
  readonly group: readonly [Cell, ...Cell[]];
  readonly counter: Counter;
  readonly counterName: string;
  acknowledged: number;
}

function createOwner(i: number): Owner {
  const cells = (what: string, count: number) =>
    Array.from({ length: count }, (_, k) => createCell(`${what}-${i}-${k}`)) as [Cell, ...Cell[]];
  return {
    cells: cells("key", KEYS),
    group: cells("group", GROUP_KEYS),
    counterName: `count-${i}`,
    counter: createCounter(`count-${i}`),
    acknowledged: 0,
  };
}

function keyOf(name: string): string {
  return `kept:${name}`;
}

function valueBytes(random: Random): number {
  return random.chance(0.02) ? 20_000 + random.below(40_000) : random.below(1500);
}

async function set(client: Client, { cells }: Owner, random: Random): Promise<Outcome> {
  const cell = random.pick(cells);
  const { version, ticket } = cell.write();
  return settled(await client.ask("SET", keyOf(cell.name), recordText({ name: cell.name, number: version }, valueBytes(random))), [
    [cell, ticket],
  ]);
}

async function del(client: Client, { cells }: Owner, random: Random): Promise<Outcome> {
  const cell = random.pick(cells);
  const ticket = cell.empty();
  return settled(await client.ask("DEL", keyOf(cell.name)), [[cell, ticket]]);
}

/** All of them get the same version, together. */
async function setGroup(client: Client, { group }: Owner, random: Random): Promise<Outcome> {
  const bytes = valueBytes(random);
  const tickets: [Cell, number][] = [];
  const words = group.flatMap((cell) => {
    const { version, ticket } = cell.write();
    tickets.push([cell, ticket]);
    return [keyOf(cell.name), recordText({ name: cell.name, number: version }, bytes)];
  });
  return settled(await client.ask("MSET", ...words), tickets);
}

function settled(outcome: Outcome, tickets: readonly (readonly [Cell, number])[]): Outcome {
  for (const [cell, ticket] of tickets) {
    if (outcome.kind === "value") cell.done(ticket);
    else if (outcome.kind === "error") cell.refused(ticket);
  }
  return outcome;
}

async function raise(client: Client, { counter, counterName }: Owner, findings: Findings): Promise<Outcome> {
  counter.raise();
  const outcome = await client.ask("INCR", keyOf(counterName));
  if (outcome.kind === "value") counter.raised(Number(outcome.value), findings);
  else if (outcome.kind === "error") counter.refused();
  return outcome;
}

async function write(client: Client, owner: Owner, random: Random, stop: AbortSignal, findings: Findings): Promise<void> {
  const work: readonly [() => Promise<Outcome>, ...(() => Promise<Outcome>)[]] = [
    () => set(client, owner, random),
    () => set(client, owner, random),
    () => set(client, owner, random),
    () => del(client, owner, random),
    () => setGroup(client, owner, random),
    () => raise(client, owner, findings),
  ];
  await inParallel(WINDOW, async () => {
    const outcome = await random.pick(work)();
    if (outcome.kind === "value") owner.acknowledged += 1;
    return outcome.kind !== "gone" && !stop.aborted;
  });
}

async function find(client: Client, { name }: Cell): Promise<Found | null> {
  const value = valueOf(await client.ask("GET", keyOf(name)), "GET");
  if (value === null) return null;
  const text = bytesOfValue(value);
  return text === undefined ? "torn" : readRecord(text);
}

async function checkOwner(client: Client, owner: Owner, findings: Findings): Promise<void> {
  for (const cell of owner.cells) cell.check(await find(client, cell), findings);
  const versions = new Set<unknown>();
  for (const cell of owner.group) {
    const found = await find(client, cell);
    versions.add(found === null || found === "torn" ? found : found.number);
    cell.check(found, findings);
  }
  if (versions.size > 1)
    findings.add("half-written", `MSET of ${owner.group[0].name} and others left versions ${[...versions].join(", ")}`);
  const count = valueOf(await client.ask("GET", keyOf(owner.counterName)), "GET");
  owner.counter.check(Number(count ?? 0), findings);
}

/** Keys of a durable pool: set, deleted, set together and counted up, each by one connection. */
export function createKeysLoad(random: Random, ownerCount = 3): Load {
  const owners = Array.from({ length: ownerCount }, (_, i) => createOwner(i));
  const findings = createFindings();
  return {
    name: "memory: SET, DEL, MSET, INCR",
    findings,
    get acknowledged() {
      return owners.reduce((sum, owner) => sum + owner.acknowledged, 0);
    },
    async write(agent, stop) {
      await Promise.all(owners.map((owner) => withClient(agent.port("memory"), (client) => write(client, owner, random, stop, findings))));
    },
    check: (agent) =>
      withClient(agent.port("memory"), async (client) => {
        for (const owner of owners) await checkOwner(client, owner, findings);
      }),
  };
}
