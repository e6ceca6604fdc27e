import { connect } from "node:net";
import type { Socket } from "node:net";

/** A socket whose bytes a test sends and reads by hand, one character per byte. */
export interface RawClient {
  readonly socket: Socket;
  send(bytes: string | Uint8Array): void;
  /** Ends our side only: what comes back is still read. */
  end(): void;
  /** Everything received so far and not taken yet, once there is at least this much of it or the connection is closed. */
  take(bytes: number): Promise<string>;
  /** Everything received and not taken until the peer ends its side. Rejects when the connection is reset. */
  rest(): Promise<string>;
  destroy(): void;
}

/** Connects to `host:port` or a path. */
export async function connectRaw(address: string): Promise<RawClient> {
  const colon = address.lastIndexOf(":");
  const target = address.startsWith("/") ? { path: address } : { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  const socket = connect({ ...target, allowHalfOpen: true, noDelay: true });
  let received = "";
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;

  function changed(): void {
    wake?.();
  }

  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.on("data", (chunk: Buffer) => {
    received += chunk.toString("latin1");
    changed();
  });
  socket.on("end", () => {
    ended = true;
    changed();
  });
  socket.on("close", () => {
    ended = true;
    changed();
  });
  socket.on("error", (error) => {
    failure = error;
    changed();
  });

  async function until(done: () => boolean): Promise<string> {
    while (!done() && !ended && failure === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined) throw failure;
    const taken = received;
    received = "";
    return taken;
  }

  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    end: () => void socket.end(),
    take: (bytes) => until(() => received.length >= bytes),
    rest: () => until(() => false),
    destroy: () => void socket.destroy(),
  };
}
