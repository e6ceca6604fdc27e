import { type Cell, createCell } from "../cell.ts";
import { bytesOfValue, type Client, valueOf, withClient } from "../client.ts";
import { createFindings, type Findings } from "../findings.ts";
import type { Random } from "../random.ts";
import { type Found, readRecord, recordText } from "../record.ts";
import { inParallel, type Load } from "./load.ts";

/** Blocks being written at once on one connection, each by a chain of its own. */
const CHAINS = 6;

const BLOCK_BYTES = 2000;

interface Block {
  readonly vuid: string;
  readonly cell: Cell;
}

/** Blocks of durable memory: allocated, written over, freed. */
export function createBlocksLoad(random: Random): Load {
  const findings = createFindings();
  let blocks: Block[] = [];
  let allocated = 0;
  let acknowledged = 0;

  async function allocate(client: Client): Promise<Block | undefined> {
    const outcome = await client.ask("MALLOC", String(BLOCK_BYTES));
    if (outcome.kind !== "value") return undefined;
    acknowledged += 1;
    allocated += 1;
    return { vuid: bytesOfValue(outcome.value) ?? "", cell: createCell(`block-${allocated}`) };
  }

  async function overwrite(client: Client, { vuid, cell }: Block): Promise<boolean> {
    const { version, ticket } = cell.write();
    const outcome = await client.ask("SETM", vuid, recordText({ name: cell.name, number: version }, random.below(BLOCK_BYTES)));
    if (outcome.kind === "error") cell.refused(ticket);
    if (outcome.kind !== "value") return false;
    acknowledged += 1;
    cell.done(ticket);
    return true;
  }

  async function free(client: Client, { vuid, cell }: Block): Promise<void> {
    const ticket = cell.empty();
    const outcome = await client.ask("FREEM", vuid);
    if (outcome.kind === "error") cell.refused(ticket);
    if (outcome.kind !== "value") return;
    acknowledged += 1;
    cell.done(ticket);
  }

  /** One block from its allocation to, mostly, its end. */
  async function live(client: Client): Promise<boolean> {
    const block = await allocate(client);
    if (block === undefined || !(await overwrite(client, block))) return !client.isGone;
    blocks.push(block);
    for (let i = random.below(6); i > 0 && !client.isGone; i--) await overwrite(client, block);
    if (random.chance(0.9)) await free(client, block);
    return !client.isGone;
  }

  /** Blocks of earlier rounds are written over and freed as well. */
  async function revisit(client: Client, block: Block): Promise<void> {
    if (random.chance(0.3)) await free(client, block);
    else await overwrite(client, block);
  }

  return {
    name: "memory: MALLOC, SETM, FREEM",
    findings,
    get acknowledged() {
      return acknowledged;
    },
    async write(agent, stop) {
      await withClient(agent.port("memory"), async (client) => {
        const earlier = blocks.map((block) => revisit(client, block));
        await inParallel(CHAINS, async () => (await live(client)) && !stop.aborted);
        await Promise.all(earlier);
      });
    },
    check: (agent) =>
      withClient(agent.port("memory"), async (client) => {
        for (const { vuid, cell } of blocks) cell.check(await find(client, vuid, findings), findings);
        blocks = blocks.filter(({ cell }) => cell.acknowledged !== null);
      }),
  };
}

/** A block that was freed is unknown. */
async function find(client: Client, vuid: string, findings: Findings): Promise<Found | null> {
  const outcome = await client.ask("GETM", vuid);
  if (outcome.kind === "error" && outcome.error.code === "UNKNOWN") return null;
  const text = bytesOfValue(valueOf(outcome, "GETM"));
  if (text !== undefined && text !== "") return readRecord(text);
  findings.add("lost", `block ${vuid} is there and empty`);
  return null;
}
