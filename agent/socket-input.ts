import { INPUT_BYTES, takeHandle } from "./link/reading-socket.ts";
import type { Socket } from "node:net";

/** What `takeInput` uses of an accepted socket that Node does not document. */
interface Insides {
  _server?: unknown;
  server?: unknown;
  readonly encrypted?: boolean;
}

/** A buffer for the connections of one listener: what arrives is used up before the next read. */
export function createInputBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(INPUT_BYTES);
}

/**
 * The accepted socket, and its bytes to `onData`; they are valid during the call only. Returns the socket to go on with, which may be another one: it is
 * read into `buffer`. Where that is not possible (TLS, or a Node that has changed inside) the socket is read as usual.
 */
export function takeInput(accepted: Socket, buffer: Buffer, onData: (bytes: Buffer) => void): Socket {
  const insides = accepted as unknown as Insides;
  const plain = insides.encrypted !== true && insides._server !== undefined;
  const socket = plain ? takeHandle(accepted, buffer, true, onData) : undefined;
  if (socket === undefined) {
    accepted.on("data", onData);
    return accepted;
  }
  // The server counts its connections by this when they close.
  Object.assign(socket, { _server: insides._server, server: insides.server });
  insides._server = undefined;
  return socket;
}
