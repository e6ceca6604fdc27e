import { Socket } from "node:net";

/** Bytes of one read. What arrives is used up before the next read, so all connections of a listener share one buffer. */
const INPUT_BYTES = 64 * 1024;

/** What `takeInput` uses of a socket that Node does not document. */
interface Insides {
  _handle?: { readonly useUserBuffer?: unknown } | null;
  _server?: unknown;
  server?: unknown;
  readonly encrypted?: boolean;
}

/** A buffer for the connections of one listener. */
export function createInputBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(INPUT_BYTES);
}

/**
 * The accepted socket, and its bytes to `onData`; they are valid during the call only. Returns the socket to go on with, which may be another one.
 *
 * Node makes a buffer of 64 KiB for every read of an accepted socket, and cuts it to size: a third of what a small request costs. A socket that is made
 * with `onread` reads into one given buffer instead, but `net.Server` has no such option: so the connection is handed to a socket that has. Where that is
 * not possible (TLS, or a Node that has changed inside) the socket is read as usual.
 */
export function takeInput(accepted: Socket, buffer: Buffer, onData: (bytes: Buffer) => void): Socket {
  const insides = accepted as unknown as Insides;
  const handle = insides._handle;
  if (insides.encrypted === true || typeof handle?.useUserBuffer !== "function" || insides._server === undefined) {
    accepted.on("data", onData);
    return accepted;
  }
  // Requests of one kind are of one size.
  let view = buffer;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer,
      callback(count: number): boolean {
        if (view.length !== count) view = buffer.subarray(0, count);
        onData(view);
        return true;
      },
    },
  };
  const socket = new Socket(options);
  // The server counts its connections by this when they close.
  Object.assign(socket, { _server: insides._server, server: insides.server });
  insides._server = undefined;
  insides._handle = null;
  // Nothing listens to `data`, and the end is seen by a stream that flows only.
  socket.resume();
  return socket;
}
