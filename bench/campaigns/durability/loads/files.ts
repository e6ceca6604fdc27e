import { type Appends, createAppends } from "../appends.ts";
import { type Cell, createCell } from "../cell.ts";
import { bytesOfValue, type Client, valueOf, withClient } from "../client.ts";
import { createFindings } from "../findings.ts";
import type { Random } from "../random.ts";
import { type Found, readRecord, recordText } from "../record.ts";
import { inParallel, type Load } from "./load.ts";

/** Chains of work on one connection, each with files of its own. */
const CHAINS = 4;

/** A log that is this long is left, and another one begun. */
const LOG_BYTES = 64 * 1024;

/** Logs of one chain that are kept; the oldest is removed. */
const KEPT_LOGS = 3;

/** Parts of the file that is written over: one page holds several, so that none is written half by the system. */
const SLOTS = 24;
const SLOT_BYTES = 512;

const READ_BYTES = 256 * 1024;

/** A file that is appended to. */
interface LogFile {
  readonly path: string;
  readonly appends: Appends;
  bytes: number;
  /** Whether it must be there, must not, or may be. */
  existence: "open" | "must" | "removing" | "removed";
  /** Nothing more is appended: it was not closed well. */
  left: boolean;
}

interface Chain {
  readonly index: number;
  readonly logs: LogFile[];
  readonly slots: readonly [Cell, ...Cell[]];
  readonly slotsPath: string;
  /** Closed at least once, and that was acknowledged. */
  slotsKept: boolean;
}

/** Files that are appended to and files that are written over, each closed now and then: what was closed must be there. */
export function createFilesLoad(random: Random): Load {
  const findings = createFindings();
  const chains = Array.from({ length: CHAINS }, (_, index): Chain => {
    const slots = Array.from({ length: SLOTS }, (_, k) => createCell(`slot-${index}-${k}`)) as [Cell, ...Cell[]];
    return { index, logs: [], slots, slotsPath: `chain-${index}/slots`, slotsKept: false };
  });
  let opened = 0;
  let acknowledged = 0;

  function beginLog(chain: Chain): LogFile {
    opened += 1;
    const name = `log-${opened}`;
    const log: LogFile = { path: `chain-${chain.index}/${name}`, appends: createAppends(name), bytes: 0, existence: "open", left: false };
    chain.logs.push(log);
    return log;
  }

  async function openFile(client: Client, path: string): Promise<string | undefined> {
    const outcome = await client.ask("FOPEN", path, "RW");
    return outcome.kind === "value" ? bytesOfValue(outcome.value) : undefined;
  }

  async function append(client: Client, chain: Chain): Promise<boolean> {
    const current = chain.logs.at(-1);
    const log = current === undefined || current.left || current.appends.isSpoilt || current.bytes > LOG_BYTES ? beginLog(chain) : current;
    const fd = await openFile(client, log.path);
    if (fd === undefined) return !client.isGone;
    const writes = Array.from({ length: 1 + random.below(6) }, async () => {
      const { number, text } = log.appends.append(random.chance(0.05) ? random.below(30_000) : random.below(2000));
      log.bytes += text.length;
      const outcome = await client.ask("FWRITE", fd, text);
      if (outcome.kind === "error") log.appends.refused(number);
      return { number, written: outcome.kind === "value" };
    });
    const closed = await client.ask("FCLOSE", fd);
    for (const { number, written } of await Promise.all(writes)) {
      if (written && closed.kind === "value") log.appends.kept(number);
    }
    if (closed.kind === "value") {
      acknowledged += 1;
      log.existence = "must";
    } else log.left = true;
    return !client.isGone;
  }

  async function overwrite(client: Client, chain: Chain): Promise<boolean> {
    const fd = await openFile(client, chain.slotsPath);
    if (fd === undefined) return !client.isGone;
    const writes = Array.from({ length: 1 + random.below(6) }, async () => {
      const slot = random.below(SLOTS);
      const cell = chain.slots[slot] as Cell;
      const { version, ticket } = cell.write();
      const text = recordText({ name: cell.name, number: version }, SLOT_BYTES);
      const outcome = await client.ask("FWRITE", fd, text, String(slot * SLOT_BYTES));
      if (outcome.kind === "error") cell.refused(ticket);
      return { cell, ticket, written: outcome.kind === "value" };
    });
    const closed = await client.ask("FCLOSE", fd);
    for (const { cell, ticket, written } of await Promise.all(writes)) {
      if (written && closed.kind === "value") cell.done(ticket);
    }
    if (closed.kind === "value") {
      acknowledged += 1;
      chain.slotsKept = true;
    }
    return !client.isGone;
  }

  async function removeOldest(client: Client, chain: Chain): Promise<boolean> {
    const oldest = chain.logs[0];
    if (oldest === undefined || chain.logs.length <= KEPT_LOGS || oldest.existence !== "must") return true;
    oldest.existence = "removing";
    const outcome = await client.ask("FREMOVE", oldest.path);
    if (outcome.kind === "error") oldest.existence = "must";
    if (outcome.kind !== "value") return !client.isGone;
    acknowledged += 1;
    oldest.existence = "removed";
    return true;
  }

  async function read(client: Client, path: string): Promise<string | undefined> {
    const opening = await client.ask("FOPEN", path, "R");
    if (opening.kind === "error" && opening.error.code === "UNKNOWN") return undefined;
    const fd = bytesOfValue(valueOf(opening, "FOPEN")) ?? "";
    let text = "";
    for (;;) {
      const part = bytesOfValue(valueOf(await client.ask("FREAD", fd, String(READ_BYTES), String(text.length)), "FREAD")) ?? "";
      if (part === "") break;
      text += part;
    }
    await client.ask("FCLOSE", fd);
    return text;
  }

  function checkLog(log: LogFile, text: string | undefined): void {
    if (text === undefined) {
      if (log.existence === "must") findings.add("lost", `${log.path}, closed, is gone`);
      log.existence = "removed";
      return;
    }
    if (log.existence === "removed") findings.add("came back", `${log.path}, removed, is there`);
    log.existence = "must";
    log.appends.check(text, findings);
  }

  async function checkSlots(client: Client, chain: Chain): Promise<void> {
    const text = await read(client, chain.slotsPath);
    if (text === undefined && chain.slotsKept) findings.add("lost", `${chain.slotsPath}, closed, is gone`);
    for (const [slot, cell] of chain.slots.entries()) cell.check(slotOf(text ?? "", slot), findings);
    chain.slotsKept ||= text !== undefined;
  }

  return {
    name: "files: FCLOSE after FWRITEs",
    findings,
    get acknowledged() {
      return acknowledged;
    },
    async write(agent, stop) {
      await withClient(agent.port("files"), (client) =>
        Promise.all(
          chains.map((chain) =>
            inParallel(1, async () => {
              const goesOn = (await append(client, chain)) && (await overwrite(client, chain)) && (await removeOldest(client, chain));
              return goesOn && !stop.aborted;
            }),
          ),
        ),
      );
    },
    check: (agent) =>
      withClient(agent.port("files"), async (client) => {
        for (const chain of chains) {
          for (const log of chain.logs) checkLog(log, await read(client, log.path));
          const left = chain.logs.filter(({ existence }) => existence !== "removed");
          chain.logs.splice(0, chain.logs.length, ...left);
          await checkSlots(client, chain);
        }
      }),
  };
}

/** What a slot holds; one that was never written is a hole, or behind the end. */
function slotOf(text: string, slot: number): Found | null {
  const bytes = text.slice(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES);
  return /^\0*$/.test(bytes) ? null : readRecord(bytes);
}
