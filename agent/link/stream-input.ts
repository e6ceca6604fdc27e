import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Bytes of one read; what arrives is used up before the next. */
const INPUT_BYTES = 64 * 1024;

/** What is used of a socket that Node does not document. */
interface Insides {
  _handle?: { readonly useUserBuffer?: unknown } | null;
}

/**
 * The bytes of a stream to `onData`; they are valid during the call only. Returns the stream to go on with, which may be another one.
 *
 * Node makes a buffer of 64 KiB for every read of a socket, and cuts it to size, which is a large part of what a short message costs. A socket made with
 * `onread` reads into one given buffer instead, so what `stream` stands on is handed to one that is. Where that is not possible (it is no socket, or Node
 * has changed inside) it is read as usual.
 */
export function takeInput(stream: Duplex, onData: (bytes: Buffer) => void): Duplex {
  const insides = stream as unknown as Insides;
  const handle = insides._handle;
  if (!(stream instanceof Socket) || typeof handle?.useUserBuffer !== "function" || stream.connecting || stream.bytesRead > 0) {
    stream.on("data", onData);
    return stream;
  }
  const buffer = Buffer.allocUnsafeSlow(INPUT_BYTES);
  let view = buffer;
  const options = {
    handle,
    allowHalfOpen: false,
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
  insides._handle = null;
  // Whoever holds the one that was given sees it close, and may close it.
  socket.on("close", () => stream.destroy());
  stream.on("close", () => socket.destroy());
  socket.resume();
  return socket;
}
