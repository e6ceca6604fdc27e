import type { Socket } from "node:net";

import type { Peer } from "./conversation.ts";

/** A client that has said nothing yet. */
export interface Guest {
  readonly peer: Peer;
  readonly id: number;
}

export interface LobbyEvents {
  /** Its first bytes; the lobby has nothing more to do with it. */
  readonly speaks: (socket: Socket, guest: Guest, first: Buffer) => void;
  /** It was silent for too long, or everybody has to leave: it is to be closed, and the lobby has nothing more to do with it. */
  readonly leaves: (socket: Socket, guest: Guest) => void;
  /** It was silent for longer than `sweeps` sweeps; `leaves` follows. */
  readonly expired: () => void;
  /** It is gone without a word. */
  readonly gone: () => void;
  readonly failed: () => void;
}

/**
 * Where connections wait until their client says something. Most clients of a device are connected and silent most of the time, so what costs memory
 * is made with the first byte: a guest costs an entry here, and shares its listeners with all the others.
 */
export interface Lobby {
  readonly size: number;
  admit(socket: Socket, guest: Guest): void;
  sweep(): void;
  /** Lets everybody leave. */
  close(): void;
}

interface Entry {
  readonly guest: Guest;
  quietSweeps: number;
}

export function createLobby(sweeps: number, events: LobbyEvents): Lobby {
  const entries = new Map<Socket, Entry>();

  function release(socket: Socket): Guest | undefined {
    const entry = entries.get(socket);
    entries.delete(socket);
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("close", onClose);
    socket.off("error", events.failed);
    return entry?.guest;
  }

  function dismiss(socket: Socket): void {
    const guest = release(socket);
    if (guest !== undefined) events.leaves(socket, guest);
  }

  function onData(this: Socket, first: Buffer): void {
    const guest = release(this);
    if (guest !== undefined) events.speaks(this, guest, first);
  }

  /** It will never say anything: so both sides have ended, and the socket closes. */
  function onEnd(this: Socket): void {
    this.end();
  }

  function onClose(this: Socket): void {
    release(this);
    events.gone();
  }

  return {
    get size() {
      return entries.size;
    },
    admit(socket, guest) {
      entries.set(socket, { guest, quietSweeps: 0 });
      socket.on("data", onData);
      socket.on("end", onEnd);
      socket.on("close", onClose);
      socket.on("error", events.failed);
    },
    sweep() {
      for (const [socket, entry] of entries) {
        entry.quietSweeps += 1;
        if (entry.quietSweeps <= sweeps) continue;
        events.expired();
        dismiss(socket);
      }
    },
    close() {
      for (const socket of entries.keys()) dismiss(socket);
    },
  };
}
