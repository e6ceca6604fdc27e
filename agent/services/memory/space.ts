import { AgentError } from "../../contract/errors.ts";
import type { ByteString } from "../../contract/request.ts";
import { createGlob } from "./glob.ts";
import type { MemoryOptions } from "./options.ts";

/** One value. Deadlines are kept beside the entries: most have none. */
export interface Entry {
  value: ByteString;
  revision: number;
}

/** What one quota is for: a pool, or everything that is in none. */
export interface Space {
  /** The pool's name; empty for what is in no pool. */
  readonly name: string;
  readonly durable: boolean;
  readonly maxBytes: number;
  /** The option that says so. */
  readonly limit: string;
  /** Of keys, their values, and the sizes of blocks. */
  bytes: number;
  readonly entries: Map<ByteString, Entry>;
  /** Monotonic milliseconds at which entries expire, of those that do. */
  readonly deadlines: Map<ByteString, number>;
}

export interface Spaces {
  /** What is in no pool first. */
  readonly all: readonly Space[];
  /** Where a key belongs: the first pool, in the order of the configuration, whose pattern it matches. */
  readonly of: (key: ByteString) => Space;
  /** A pool by its name. Throws UNKNOWN. */
  pool(name: string): Space;
}

export function createSpaces(options: Pick<MemoryOptions, "maxBytes" | "durable" | "pools">): Spaces {
  const common = createSpace("", options.durable, options.maxBytes, "memory.maxBytes");
  const pools = Object.entries(options.pools).map(([name, pool]) => ({
    matches: createGlob(pool.keys),
    space: createSpace(name, pool.durable, pool.maxBytes, `memory.pools.${name}.maxBytes`),
  }));

  function of(key: ByteString): Space {
    for (const { matches, space } of pools) if (matches(key)) return space;
    return common;
  }

  return {
    all: [common, ...pools.map(({ space }) => space)],
    of: pools.length === 0 ? () => common : of,
    pool(name) {
      const found = pools.find(({ space }) => space.name === name);
      if (found !== undefined) return found.space;
      const known = pools.map(({ space }) => space.name).join(", ");
      throw new AgentError("UNKNOWN", `no pool ${name} (memory.pools has ${known === "" ? "none" : known})`);
    },
  };
}

function createSpace(name: string, durable: boolean, maxBytes: number, limit: string): Space {
  return { name, durable, maxBytes, limit, bytes: 0, entries: new Map(), deadlines: new Map() };
}

/** Throws FULL unless there is room for `bytes` more. */
export function admit(space: Space, bytes: number): void {
  if (space.bytes + bytes <= space.maxBytes) return;
  throw new AgentError("FULL", `${space.bytes} bytes are used and ${bytes} more are needed; ${space.limit} is ${space.maxBytes}`);
}
