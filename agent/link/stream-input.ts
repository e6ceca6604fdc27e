import { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { INPUT_BYTES, takeHandle } from "./reading-socket.ts";

/**
 * The bytes of a stream to `onData`; they are valid during the call only. Returns the stream to go on with, which may be another one: a socket is read
 * into one buffer, whatever else it is, and a socket that is not yet or no longer fresh, is read as usual.
 */
export function takeInput(stream: Duplex, onData: (bytes: Buffer) => void): Duplex {
  const fresh = stream instanceof Socket && !stream.connecting && stream.bytesRead === 0;
  const socket = fresh ? takeHandle(stream, Buffer.allocUnsafeSlow(INPUT_BYTES), false, onData) : undefined;
  if (socket === undefined) {
    stream.on("data", onData);
    return stream;
  }
  // Whoever holds the one that was given sees it close, and may close it.
  socket.on("close", () => stream.destroy());
  stream.on("close", () => socket.destroy());
  return socket;
}
