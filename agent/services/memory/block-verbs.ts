import { AgentError, toAgentError } from "../../contract/errors.ts";
import { bytesReply, errorReply, OK, textOf, valueReply } from "../../contract/request.ts";
import { expectArgs, permit, ttlMs, wordsOf } from "./arguments.ts";
import { BLOCK_ID } from "./blocks.ts";
import { wholeNumber } from "./integer.ts";
import { parseVuid, type AddressWidth } from "./vuid.ts";
import { whenOnDisk, type Decision } from "./when-on-disk.ts";
import type { Fleet } from "../../contract/fleet.ts";
import type { ByteString, Caller, Reply, VerbDoc } from "../../contract/request.ts";
import type { Eventually } from "../../contract/value.ts";
import type { Allocation, Block, Blocks } from "./blocks.ts";
import type { VerbSet } from "./key-verbs.ts";
import type { Ledger } from "./ledger.ts";
import type { Space, Spaces } from "./space.ts";
import type { Spread, Spreading } from "./spread.ts";

const MALLOC_USAGE = "size [TTL ms] [POOL name] [HERE]";

const DOCS: readonly VerbDoc[] = [
  { verb: "MALLOC", usage: MALLOC_USAGE, summary: "allocate a block; its VUID, node:address" },
  { verb: "SETM", usage: "vuid value [IF revision]", summary: "store up to the block's size; the new revision" },
  { verb: "GETM", usage: "vuid [REV]", summary: "what is stored; with REV value and revision, for SETM with IF" },
  { verb: "FREEM", usage: "vuid", summary: "free the block; its VUID is never given to another" },
  { verb: "TOUCHM", usage: "vuid", summary: "let it live for its TTL from now on, as its owner's SETM and GETM do; milliseconds left" },
];

export interface BlockVerbsOptions {
  readonly node: string;
  readonly blocks: Blocks;
  readonly spaces: Spaces;
  readonly ledger: () => Ledger | undefined;
  readonly fleet: Fleet | undefined;
  readonly deadlineMs: number;
  /** Lays blocks larger than that on all nodes; undefined where blocks are not spread. */
  readonly spreading: { readonly above: number; readonly by: Spreading } | undefined;
  readonly remainingMs: (block: Block) => number | undefined;
}

/** What the verbs do, for the classic dialect too. */
export interface BlockVerbs extends VerbSet {
  allocate(size: number, caller: Caller, width: AddressWidth): Eventually<Reply>;
  store(address: string, value: ByteString, caller: Caller): Eventually<Reply>;
  load(address: string, caller: Caller): Eventually<Reply>;
  free(address: string, caller: Caller): Eventually<Reply>;
}

/** What a MALLOC asks for. */
interface Wanted extends Allocation {
  /** Not to be spread: it is a chunk already. */
  readonly here: boolean;
}

export function createBlockVerbs(around: BlockVerbsOptions): BlockVerbs {
  const { node, blocks, spaces, ledger, fleet, spreading } = around;
  const common = spaces.all[0] as Space;

  function allocateWanted(wanted: Wanted, reply: (block: Block) => Reply): Eventually<Reply> {
    if (spreading !== undefined && !wanted.here && wanted.size > spreading.above && wanted.space === common && !common.durable) {
      return allocateSpread(wanted, spreading.by, reply);
    }
    const { block, written } = blocks.allocate(wanted);
    return written === undefined ? reply(block) : onDisk(written, reply(block));
  }

  async function allocateSpread(wanted: Wanted, by: Spreading, reply: (block: Block) => Reply): Promise<Reply> {
    let spread: Spread | undefined;
    try {
      blocks.check(wanted, true);
      spread = await by.allocate(wanted.size);
      return reply(blocks.allocate(wanted, spread).block);
    } catch (thrown) {
      if (spread !== undefined) await by.free(spread).catch(() => undefined);
      return errorReply(toAgentError(thrown));
    }
  }

  function storeIn(address: string, value: ByteString, caller: Caller, ifRevision: number | undefined): Eventually<Reply> {
    const mayStore = (): Block => {
      const block = useOf(address, caller);
      if (value.length > block.size) {
        throw new AgentError("LIMIT", `${value.length} bytes do not fit into ${node}:${address}, which has ${block.size}`);
      }
      if (ifRevision !== undefined && ifRevision !== block.revision) {
        throw new AgentError("STALE", `${node}:${address} has revision ${block.revision}, not ${ifRevision}; read it again`);
      }
      return block;
    };
    const block = mayStore();
    if (block.spread !== undefined && spreading !== undefined) return storeSpread(block, block.spread, value, spreading.by, mayStore);
    return decide(block, () => {
      const now = mayStore();
      return { make: () => blocks.set(now, value), reply: () => valueReply(now.revision) };
    });
  }

  async function storeSpread(block: Block, spread: Spread, value: ByteString, by: Spreading, mayStore: () => unknown): Promise<Reply> {
    try {
      await by.store(spread, value, mayStore);
      void blocks.set(block, "");
      return valueReply(block.revision);
    } catch (thrown) {
      return errorReply(toAgentError(thrown));
    }
  }

  function loadFrom(address: string, caller: Caller, withRevision: boolean): Eventually<Reply> {
    const block = useOf(address, caller);
    if (block.spread !== undefined && spreading !== undefined) return loadSpread(block, block.spread, spreading.by, withRevision);
    return decide(block, () => {
      const now = useOf(address, caller);
      return { reply: () => loaded(now.value, now.revision, withRevision) };
    });
  }

  async function loadSpread(block: Block, spread: Spread, by: Spreading, withRevision: boolean): Promise<Reply> {
    const { revision } = block;
    try {
      return loaded(await by.load(spread), revision, withRevision);
    } catch (thrown) {
      return errorReply(toAgentError(thrown));
    }
  }

  function freeAt(address: string, caller: Caller): Eventually<Reply> {
    const block = useOf(address, caller);
    if (block.spread !== undefined && spreading !== undefined) return freeSpread(block, block.spread, spreading.by);
    return decide(block, () => ({ make: () => blocks.free(blocks.get(address)), reply: () => OK }));
  }

  async function freeSpread(block: Block, spread: Spread, by: Spreading): Promise<Reply> {
    try {
      const freed = by.free(spread);
      void blocks.free(block);
      await freed;
      return OK;
    } catch (thrown) {
      return errorReply(toAgentError(thrown));
    }
  }

  function useOf(address: string, caller: Caller): Block {
    const block = blocks.get(address);
    permit(caller, permitName(block.space));
    blocks.touch(block, caller.name);
    return block;
  }

  /** At once where nothing is durable. */
  function decide(block: Block, decision: () => Decision): Eventually<Reply> {
    if (block.space.durable) return whenOnDisk(() => [ledger()?.unsettled(BLOCK_ID + block.address)], decision);
    const { make, reply } = decision();
    void make?.();
    return reply();
  }

  /** Answers here what is about a block of this node, and lets its own node answer anything else. */
  function route(
    verb: string,
    args: readonly ByteString[],
    caller: Caller,
    here: (address: string) => Eventually<Reply>,
  ): Eventually<Reply> {
    const vuid = parseVuid(args[0] as ByteString);
    if (vuid.node === undefined || vuid.node === node) return here(vuid.address);
    const name = textOf(vuid.node);
    if (fleet?.others.includes(name) !== true) {
      throw new AgentError("UNKNOWN", `${name}:${vuid.address} is a block of node ${name}, which is not among fleet.nodes`);
    }
    permit(caller, permitName(common));
    return fleet.ask(name, { verb, args }, around.deadlineMs);
  }

  function parseWanted(args: readonly ByteString[], caller: Caller): Wanted {
    const size = wholeNumber(args[0] as ByteString, "MALLOC: the size", 1, Number.MAX_SAFE_INTEGER);
    let ttl: number | undefined;
    let space = common;
    let here = false;
    const words = wordsOf("MALLOC", args, 1, MALLOC_USAGE);
    for (let word = words.next(); word !== undefined; word = words.next()) {
      if (word === "TTL") ttl = ttlMs("MALLOC", words.value(), 1);
      else if (word === "POOL") space = spaces.pool(textOf(words.value()));
      else if (word === "HERE") here = true;
      else words.unknown();
    }
    permit(caller, permitName(space));
    return { size, ttlMs: ttl, space, owner: caller.name, width: 64, here };
  }

  const vuidOf = (block: Block): Reply => valueReply(`${node}:${block.address}`);

  return {
    docs: DOCS,
    allocate(size, caller, width) {
      permit(caller, permitName(common));
      if (!(size > 0)) throw new AgentError("ARGUMENT", `a block of ${size} bytes is none`);
      const wanted = { size, space: common, owner: caller.name, width, here: false };
      return allocateWanted(wanted, (block) => valueReply(block.address));
    },
    store: (address, value, caller) => storeIn(address, value, caller, undefined),
    load: (address, caller) => loadFrom(address, caller, false),
    free: freeAt,
    handlers: {
      MALLOC(args, caller) {
        expectArgs("MALLOC", args, 1, 6);
        return allocateWanted(parseWanted(args, caller), vuidOf);
      },
      SETM(args, caller) {
        expectArgs("SETM", args, 2, 4);
        const words = wordsOf("SETM", args, 2, "vuid value [IF revision]");
        const word = words.next();
        if (word !== undefined && word !== "IF") words.unknown();
        const revision = word === undefined ? undefined : wholeNumber(words.value(), "SETM: the revision", 0, Number.MAX_SAFE_INTEGER);
        return route("SETM", args, caller, (address) => storeIn(address, args[1] as ByteString, caller, revision));
      },
      GETM(args, caller) {
        expectArgs("GETM", args, 1, 2);
        const words = wordsOf("GETM", args, 1, "vuid [REV]");
        const word = words.next();
        if (word !== undefined && word !== "REV") words.unknown();
        return route("GETM", args, caller, (address) => loadFrom(address, caller, word === "REV"));
      },
      FREEM(args, caller) {
        expectArgs("FREEM", args, 1);
        return route("FREEM", args, caller, (address) => freeAt(address, caller));
      },
      TOUCHM(args, caller) {
        expectArgs("TOUCHM", args, 1);
        return route("TOUCHM", args, caller, (address) => {
          const block = useOf(address, caller);
          if (block.ttlMs !== undefined && block.owner !== caller.name) {
            throw new AgentError("DENIED", `${node}:${address} is renewed by its owner, ${block.owner}, not by ${caller.name}`);
          }
          return valueReply(around.remainingMs(block) ?? -1);
        });
      },
    },
  };
}

/** What a permit calls the blocks of a pool. */
function permitName(space: Space): string {
  return space.name === "" ? "blocks" : `blocks:${space.name}`;
}

function loaded(value: ByteString, revision: number, withRevision: boolean): Reply {
  return withRevision ? valueReply([Buffer.from(value, "latin1"), revision]) : bytesReply(value);
}

async function onDisk(written: Promise<void>, reply: Reply): Promise<Reply> {
  try {
    await written;
    return reply;
  } catch (thrown) {
    return errorReply(toAgentError(thrown));
  }
}
