import { AgentError, toAgentError } from "../../agent/contract/errors.ts";
import { createClaims } from "../../agent/contract/board.ts";
import { isPending, type Eventually } from "../../agent/contract/value.ts";
import type { Cancel } from "../../agent/contract/clock.ts";

interface Closable {
  close(): Eventually<void>;
}

/** The ports of one board that are open, and who owns them. */
export interface Ports {
  /**
   * Opens a port under its claims, all of `keys` or none; closing it, by its owner or with the board, gives them back. Rejects IN_USE, and IO once the board
   * is closed.
   */
  open<Port extends Closable>(owner: string, keys: readonly string[], open: () => Eventually<Port>): Promise<Port>;
  /** The same of something that several owners may have open at once, called `name`. */
  openShared<Port extends Closable>(owner: string, name: string, open: () => Eventually<Port>): Promise<Port>;
  /** `line GPIO17 of lamp`, in the order of opening. */
  list(): readonly string[];
  /**
   * Waits for what is being opened, then closes what is open, the last opened first: what a port needs was opened before it. `failed` hears of what did not
   * close.
   */
  close(failed: (error: AgentError) => void): Promise<void>;
}

/** `board` is what an error calls it: `the board`. */
export function createPorts(board: string): Ports {
  const claims = createClaims();
  const ports = new Map<() => Eventually<void>, readonly string[]>();
  const opening = new Set<Promise<unknown>>();
  let closed = false;

  function mustBeOpen(what: string): void {
    if (closed) throw new AgentError("IO", `${board} is closed; ${what} cannot be opened`);
  }

  /** Claims every key or none. */
  function claimAll(owner: string, keys: readonly string[]): Cancel {
    const releases: Cancel[] = [];
    function release(): void {
      for (const one of releases) one();
    }
    try {
      for (const key of keys) releases.push(claims.claim(key, owner));
    } catch (thrown) {
      release();
      throw thrown;
    }
    return release;
  }

  /** So that closing the board can wait for what is on its way. */
  async function watched<T>(port: Promise<T>): Promise<T> {
    opening.add(port);
    try {
      return await port;
    } finally {
      opening.delete(port);
    }
  }

  async function openUnder<Port extends Closable>(
    owner: string,
    names: readonly string[],
    release: Cancel,
    open: () => Eventually<Port>,
  ): Promise<Port> {
    let port: Port;
    try {
      port = await open();
    } catch (thrown) {
      release();
      throw toAgentError(thrown);
    }
    const closePort = port.close.bind(port);
    function finish(): void {
      ports.delete(close);
      release();
    }
    function close(): Eventually<void> {
      let closing: Eventually<void>;
      try {
        closing = closePort();
      } catch (thrown) {
        finish();
        throw thrown;
      }
      if (isPending(closing)) return closing.finally(finish);
      finish();
    }
    ports.set(
      close,
      names.map((name) => `${name} of ${owner}`),
    );
    return Object.assign(port, { close });
  }

  return {
    async open(owner, keys, open) {
      mustBeOpen(keys.join(", "));
      return watched(openUnder(owner, keys, claimAll(owner, keys), open));
    },
    async openShared(owner, name, open) {
      mustBeOpen(name);
      return watched(openUnder(owner, [name], () => undefined, open));
    },
    list: () => [...ports.values()].flat(),
    async close(failed) {
      closed = true;
      // What several ports make up finds the next one refused and gives the others back itself, in its own order.
      await Promise.allSettled(opening);
      for (const close of [...ports.keys()].reverse()) {
        try {
          await close();
        } catch (thrown) {
          failed(toAgentError(thrown));
        }
      }
    },
  };
}
