import { connect, type Socket } from "node:net";

/** A connection that is not closed after this long hangs: the agent was told that nothing more will come. */
export const HANG_MS = 20_000;

/** How a connection ended. */
export type End = "closed" | "reset" | "hung";

export interface Exchange {
  readonly received: Buffer;
  readonly end: End;
}

/** Sends the parts, ends our side, and reads to the end. */
export function exchange(port: number, parts: readonly Buffer[]): Promise<Exchange> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const done = (end: End) => {
      clearTimeout(patience);
      socket.destroy();
      resolve({ received: Buffer.concat(chunks), end });
    };
    const patience = setTimeout(() => done("hung"), HANG_MS);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => done("closed"));
    socket.on("error", () => done("reset"));
    socket.on("connect", () => void sendParts(socket, parts));
  });
}

/** A turn of the event loop between the parts, so that they arrive apart. */
async function sendParts(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    socket.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}
