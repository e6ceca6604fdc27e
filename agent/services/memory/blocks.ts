import { AgentError, toAgentError } from "../../contract/errors.ts";
import { admit } from "./space.ts";
import type { Clock } from "../../contract/clock.ts";
import type { Log } from "../../contract/log.ts";
import type { ByteString } from "../../contract/request.ts";
import type { Addresses } from "./addresses.ts";
import type { Ledger } from "./ledger.ts";
import type { MemoryOptions } from "./options.ts";
import { flat, type Part } from "./part.ts";
import type { Space, Spaces } from "./space.ts";
import type { Spread } from "./spread.ts";
import type { AddressWidth } from "./vuid.ts";

/** Id of a block in the ledger: this and its address. */
export const BLOCK_ID = "b";

/** Allocated memory. */
export interface Block {
  readonly address: string;
  readonly size: number;
  readonly space: Space;
  /** Who allocated it; empty for a chunk of a block of this node. */
  readonly owner: string;
  /** How long it lives without being used by its owner; undefined: until it is freed. */
  readonly ttlMs: number | undefined;
  /** Monotonic milliseconds. */
  deadlineMs: number | undefined;
  value: ByteString;
  /** Of the latest change; 0 when nothing was stored yet. */
  revision: number;
  /** Where its bytes are when they are not here. */
  readonly spread: Spread | undefined;
}

export interface Allocation {
  readonly size: number;
  readonly ttlMs?: number | undefined;
  readonly space: Space;
  readonly owner: string;
  readonly width: AddressWidth;
}

/** The blocks of this node. */
export interface Blocks {
  readonly count: number;
  readonly expired: number;
  /** Blocks that expire at some time. */
  mortal(): number;
  all(): Iterable<Block>;
  /** Throws LIMIT or FULL unless that may be allocated, here or, when it is spread, wherever there is room. */
  check(wanted: Allocation, isSpread: boolean): void;
  /** Makes an empty block, unless it may not. A promise when it is durable. */
  allocate(wanted: Allocation, spread?: Spread): { readonly block: Block; readonly written: Promise<void> | undefined };
  /** Throws UNKNOWN when there is none, or not any more. */
  get(address: string): Block;
  set(block: Block, value: ByteString): Promise<void> | undefined;
  free(block: Block): Promise<void> | undefined;
  /** The owner uses it: it lives on for its time. */
  touch(block: Block, caller: string): void;
  /** Removes what has expired among at most `count` blocks; returns how many were removed. */
  sweep(count: number): number;
  capture(address: string): Part | undefined;
  restore(address: string, part: Part | undefined): boolean;
}

export interface BlocksOptions {
  readonly options: MemoryOptions;
  readonly node: string;
  readonly spaces: Spaces;
  readonly addresses: Addresses;
  readonly clock: Clock;
  readonly log: Log;
  readonly nextRevision: () => number;
  readonly ledger: () => Ledger | undefined;
  /** Told of a block that is gone whose bytes were elsewhere. */
  readonly onGone: (spread: Spread) => void;
}

export function createBlocks(around: BlocksOptions): Blocks {
  const { options, node, spaces, addresses, clock, log, nextRevision, ledger } = around;
  const blocks = new Map<string, Block>();
  const heldBy = new Map<string, number>();
  /** Until when a durable block lives as the disk has it, wall milliseconds. */
  const onDisk = new Map<string, number>();
  let expired = 0;
  let mortal = 0;
  let swept: Iterator<Block> | undefined;

  function add(block: Block): void {
    blocks.set(block.address, block);
    if (block.spread === undefined) block.space.bytes += block.size;
    if (block.ttlMs !== undefined) mortal += 1;
    hold(block.owner, block.size);
  }

  function remove(block: Block): void {
    if (!blocks.delete(block.address)) return;
    onDisk.delete(block.address);
    if (block.spread === undefined) block.space.bytes -= block.size;
    if (block.ttlMs !== undefined) mortal -= 1;
    hold(block.owner, -block.size);
  }

  function hold(owner: string, bytes: number): void {
    if (owner === "") return;
    const held = (heldBy.get(owner) ?? 0) + bytes;
    if (held === 0) heldBy.delete(owner);
    else heldBy.set(owner, held);
  }

  function check({ size, space, owner }: Allocation, isSpread: boolean): void {
    if (!isSpread) limit(size, space.maxBytes, space.limit);
    if (owner !== "") limit(size, options.maxBytesPerCaller, "memory.maxBytesPerCaller");
    if (blocks.size >= options.maxBlocks || space.bytes + size > space.maxBytes) sweep(SWEPT_FOR_ROOM);
    if (!isSpread) admit(space, size);
    if (blocks.size >= options.maxBlocks) {
      throw new AgentError("FULL", `${blocks.size} blocks are allocated; memory.maxBlocks is ${options.maxBlocks}`);
    }
    const held = heldBy.get(owner) ?? 0;
    const most = options.maxBytesPerCaller;
    if (held + size > most && owner !== "") {
      throw new AgentError("FULL", `${owner} holds ${held} bytes and asks for ${size} more; memory.maxBytesPerCaller is ${most}`);
    }
  }

  function write(block: Block, value: ByteString, revision: number): Promise<void> | undefined {
    if (!block.space.durable || block.spread !== undefined) return undefined;
    const part = partOf(block, value, revision);
    const written = ledger()?.write([part]);
    onDisk.set(block.address, part.untilWallMs);
    return written;
  }

  /** The first line says what it is, the rest is what it holds. */
  function partOf(block: Block, value: ByteString, revision: number): Part {
    const { size, ttlMs, owner, space } = block;
    const about = Buffer.from(JSON.stringify({ size, ttlMs, owner, pool: space.name })).toString("latin1");
    const leftMs = block.deadlineMs === undefined ? undefined : block.deadlineMs - clock.monotonicMs();
    const untilWallMs = leftMs === undefined ? 0 : Math.max(1, Math.round(clock.wallMs() + leftMs));
    return { id: BLOCK_ID + block.address, revision, untilWallMs, value: `${about}\n${value}` };
  }

  function gone(block: Block, essential: boolean): Promise<void> | undefined {
    const part: Part = { id: BLOCK_ID + block.address, revision: nextRevision(), untilWallMs: 0, value: undefined };
    const written = block.space.durable && block.spread === undefined ? ledger()?.write([part], essential) : undefined;
    remove(block);
    if (block.spread !== undefined) around.onGone(block.spread);
    return written;
  }

  function isOver(block: Block): boolean {
    return block.deadlineMs !== undefined && block.deadlineMs <= clock.monotonicMs();
  }

  function expire(block: Block): void {
    expired += 1;
    try {
      gone(block, true)?.catch(notRecorded);
    } catch (thrown) {
      remove(block);
      notRecorded(thrown);
    }
  }

  function notRecorded(thrown: unknown): void {
    log.debug({ err: toAgentError(thrown) }, "memory: could not record that a block has expired");
  }

  function sweep(count: number): number {
    if (mortal === 0) return 0;
    let removed = 0;
    for (let looked = 0; looked < count; looked++) {
      swept ??= blocks.values();
      const { value, done } = swept.next() as IteratorResult<Block, undefined>;
      if (done === true) {
        swept = undefined;
        break;
      }
      if (!isOver(value)) continue;
      expire(value);
      removed += 1;
    }
    return removed;
  }

  /** On disk the end is moved seldom: when less than half of the time is left there. */
  function renewOnDisk(block: Block, ttlMs: number): void {
    const until = onDisk.get(block.address);
    if (until === undefined || until - clock.wallMs() > ttlMs / 2) return;
    try {
      write(block, block.value, block.revision)?.catch(notRecorded);
    } catch (thrown) {
      notRecorded(thrown);
    }
  }

  return {
    get count() {
      return blocks.size;
    },
    get expired() {
      return expired;
    },
    mortal: () => mortal,
    all: () => blocks.values(),
    check,
    allocate(wanted, spread) {
      check(wanted, spread !== undefined);
      const { size, ttlMs, space, owner } = wanted;
      const deadlineMs = ttlMs === undefined ? undefined : clock.monotonicMs() + ttlMs;
      const block: Block = { address: addresses.next(wanted.width), size, space, owner, ttlMs, deadlineMs, value: "", revision: 0, spread };
      const written = write(block, "", 0);
      add(block);
      return { block, written };
    },
    get(address) {
      const block = blocks.get(address);
      if (block !== undefined && isOver(block)) expire(block);
      else if (block !== undefined) return block;
      throw new AgentError("UNKNOWN", `${node}:${address} is not allocated, or not any more`);
    },
    set(block, value) {
      const revision = nextRevision();
      const written = write(block, value, revision);
      block.value = value;
      block.revision = revision;
      return written;
    },
    free: (block) => gone(block, true),
    touch(block, caller) {
      if (block.ttlMs === undefined || block.owner !== caller) return;
      block.deadlineMs = clock.monotonicMs() + block.ttlMs;
      renewOnDisk(block, block.ttlMs);
    },
    sweep,
    capture(address) {
      const block = blocks.get(address);
      return block === undefined || block.spread !== undefined ? undefined : partOf(block, block.value, block.revision);
    },
    restore(address, part) {
      const known = blocks.get(address);
      if (known !== undefined) remove(known);
      const block = part === undefined ? undefined : blockOf(address, part, spaces, clock);
      if (block === undefined) return false;
      add(block);
      onDisk.set(address, part?.untilWallMs ?? 0);
      return true;
    },
  };
}

function limit(size: number, most: number, option: string): void {
  if (size > most) throw new AgentError("LIMIT", `a block of ${size} bytes is refused; ${option} is ${most}`);
}

/** Blocks looked at for expired ones before FULL is answered. */
const SWEPT_FOR_ROOM = 10_000;

/** Undefined when its time is over or its pool is durable no more. */
function blockOf(address: string, { value = "", untilWallMs, revision }: Part, spaces: Spaces, clock: Clock): Block | undefined {
  const end = value.indexOf("\n");
  const about = JSON.parse(Buffer.from(value.slice(0, end), "latin1").toString()) as {
    readonly size: number;
    readonly ttlMs?: number;
    readonly owner: string;
    readonly pool: string;
  };
  const space = spaces.all.find(({ name }) => name === about.pool);
  // Its owner may have used it since: half of its time is what the disk may not know.
  const leftMs = untilWallMs === 0 ? undefined : untilWallMs + (about.ttlMs ?? 0) / 2 - clock.wallMs();
  if (space?.durable !== true || (leftMs !== undefined && leftMs <= 0)) return undefined;
  return {
    address,
    size: about.size,
    space,
    owner: about.owner,
    ttlMs: about.ttlMs,
    deadlineMs: leftMs === undefined ? undefined : clock.monotonicMs() + leftMs,
    value: flat(value.slice(end + 1)),
    revision,
    spread: undefined,
  };
}
