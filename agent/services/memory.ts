import { randomInt } from "node:crypto";

import { AgentError, toAgentError } from "../contract/errors.ts";
import { errorReply } from "../contract/request.ts";
import { ADDRESSES_ID, createAddresses } from "./memory/addresses.ts";
import { BLOCK_ID, createBlocks } from "./memory/blocks.ts";
import { createBlockVerbs } from "./memory/block-verbs.ts";
import { createClassicVerbs } from "./memory/classic-verbs.ts";
import { createKeyspace, KEY_ID } from "./memory/keyspace.ts";
import { createKeyVerbs, type VerbHandler } from "./memory/key-verbs.ts";
import { openLedger, type Ledger, type LedgerOwner } from "./memory/ledger.ts";
import { createSpaces } from "./memory/space.ts";
import { createSpaceVerbs } from "./memory/space-verbs.ts";
import { createSpreading } from "./memory/spread.ts";
import { startSweeper } from "./memory/sweeper.ts";
import type { AddressWidth } from "./memory/vuid.ts";
import type { Clock } from "../contract/clock.ts";
import type { Fleet } from "../contract/fleet.ts";
import type { Log } from "../contract/log.ts";
import type { ByteString, Caller, Figures, OpenService, Reply, Request } from "../contract/request.ts";
import type { Eventually } from "../contract/value.ts";
import type { MemoryOptions } from "./memory/options.ts";

export interface MemoryServiceOptions {
  /** Where durable pools are; made when one is. */
  readonly folder: string;
  readonly options: MemoryOptions;
  readonly classic: {
    /** Bits of the addresses the classic dialect gives out. */
    readonly addressWidth: AddressWidth;
  };
  /** This node's name, which its VUIDs carry. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The other nodes: for their VUIDs, and for what is spread. */
  readonly fleet?: Fleet | undefined;
  /** Puts a classic request on the queue, where `useAsKingcobraService` says so. */
  readonly queue?: ((payload: ByteString, caller: Caller) => Eventually<Reply>) | undefined;
}

/** Chunks that lie here are nobody's: their block's owner is charged for them. */
const NOBODY: Caller = { name: "", priority: 0, signal: new AbortController().signal };

/** Revisions begin anywhere, so that one read before a restart does not fit by accident what is stored after it. */
const REVISION_START = 2 ** 30;

/**
 * Memory that clients share: blocks with VUIDs, and keys as Redis has them. What is not durable is answered at once.
 * Rejects IO when the folder of durable pools cannot be used.
 */
export async function openMemoryService(around: MemoryServiceOptions): Promise<OpenService> {
  const { folder, options, node, clock, log, fleet } = around;
  let revision = randomInt(REVISION_START);
  const nextRevision = (): number => ++revision;
  let ledger: Ledger | undefined;
  const counts = { hits: 0, misses: 0 };
  const spaces = createSpaces(options);
  const shared = { spaces, clock, log, nextRevision, ledger: () => ledger };
  const keyspace = createKeyspace({ ...shared, maxKeys: options.maxKeys });
  const addresses = createAddresses(nextRevision, log);
  const spreading = createSpreading({ ...options, self: node, clock, log, pick: async () => fleet?.pick(), ask });
  const blocks = createBlocks({
    ...shared,
    options,
    node,
    addresses,
    onGone(spread) {
      spreading
        .free(spread)
        .catch((thrown: unknown) => log.debug({ err: thrown }, "memory: chunks of a block that expired were not freed"));
    },
  });

  const isDurable = spaces.all.some(({ durable }) => durable);
  if (isDurable) {
    ledger = await openLedger({ folder, clock, log, owner: ownerOf(keyspace, blocks, addresses) });
    revision += ledger.foundRevision;
    await addresses.keepIn(ledger);
  }

  const blockVerbs = createBlockVerbs({
    node,
    blocks,
    spaces,
    ledger: () => ledger,
    fleet,
    deadlineMs: options.deadlineMs,
    spreading: options.spread && fleet !== undefined ? { above: options.chunkBytes, by: spreading } : undefined,
    remainingMs: (block) => (block.deadlineMs === undefined ? undefined : Math.ceil(block.deadlineMs - clock.monotonicMs())),
  });
  const config = { save: "", appendonly: isDurable ? "yes" : "no", maxmemory: String(options.maxBytes), databases: "1" };
  const sets = [createKeyVerbs({ keyspace, clock, counts, options }), createSpaceVerbs({ keyspace, options, config }), blockVerbs];
  const classicVerbs = createClassicVerbs(blockVerbs, {
    addressWidth: around.classic.addressWidth,
    queue: options.useAsKingcobraService ? around.queue : undefined,
  });
  const handlers = new Map<string, VerbHandler>([...sets.map((set) => set.handlers), classicVerbs].flatMap((all) => Object.entries(all)));

  const cancels = [
    startSweeper(
      clock,
      () => keyspace.mortal() + blocks.mortal(),
      (count) => keyspace.sweep(count) + blocks.sweep(count),
    ),
  ];
  if (options.spread && fleet !== undefined) cancels.push(startRenewing());
  let closed: Promise<void> | undefined;

  // Most requests have the verb of the one before.
  let latestVerb = "";
  let latestHandler: VerbHandler | undefined;

  function handle({ verb, args }: Request, caller: Caller): Eventually<Reply> {
    if (verb !== latestVerb) {
      latestVerb = verb;
      latestHandler = handlers.get(verb);
    }
    try {
      if (latestHandler === undefined) throw new AgentError("UNKNOWN", `memory has no verb ${verb}`);
      return latestHandler(args, caller);
    } catch (thrown) {
      return errorReply(toAgentError(thrown));
    }
  }

  async function ask(to: string, request: Request, deadlineMs: number): Promise<Reply> {
    if (to === node || fleet === undefined) return handle(request, NOBODY);
    return fleet.ask(to, request, deadlineMs);
  }

  /** Chunks elsewhere live by a lease, so that they end when this node does. */
  function startRenewing() {
    const periodMs = options.chunkLeaseMs / 3;
    let cancel = clock.after(periodMs, renew);
    function renew(): void {
      cancel = clock.after(periodMs, renew);
      const spreads = [...blocks.all()].flatMap(({ spread }) => (spread === undefined ? [] : [spread]));
      void spreading.renew(spreads);
    }
    return () => {
      cancel();
    };
  }

  function figures(): Figures {
    const perPool: Record<string, number> = {};
    for (const { name, bytes, entries } of spaces.all.slice(1)) {
      perPool[`pool_${name}_bytes`] = bytes;
      perPool[`pool_${name}_keys`] = entries.size;
    }
    let chunks = 0;
    for (const { spread } of blocks.all()) chunks += (spread?.current?.chunks.length ?? 0) + (spread?.spare?.chunks.length ?? 0);
    return {
      bytes: spaces.all.reduce((sum, { bytes }) => sum + bytes, 0),
      keys: keyspace.size,
      blocks: blocks.count,
      hits: counts.hits,
      misses: counts.misses,
      expired: keyspace.expired + blocks.expired,
      spread_chunks: chunks,
      ...perPool,
      ...ledger?.figures(),
    };
  }

  return {
    verbs: sets.flatMap(({ docs }) => docs),
    handle,
    figures,
    close() {
      for (const cancel of cancels) cancel();
      return (closed ??= ledger?.close() ?? Promise.resolve());
    },
  };
}

/** What the ledger's ids mean. */
function ownerOf(
  keys: Pick<ReturnType<typeof createKeyspace>, "capture" | "restore">,
  blocks: Pick<ReturnType<typeof createBlocks>, "capture" | "restore">,
  addresses: Pick<ReturnType<typeof createAddresses>, "capture" | "restore">,
): LedgerOwner {
  return {
    capture(id) {
      if (id === ADDRESSES_ID) return addresses.capture();
      const name = id.slice(1);
      return id.startsWith(KEY_ID) ? keys.capture(name) : blocks.capture(name);
    },
    restore(id, part) {
      if (id === ADDRESSES_ID) return addresses.restore(part);
      const name = id.slice(1);
      if (id.startsWith(KEY_ID)) return keys.restore(name, part);
      return id.startsWith(BLOCK_ID) && blocks.restore(name, part);
    },
  };
}
