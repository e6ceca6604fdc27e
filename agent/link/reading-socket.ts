import { Socket } from "node:net";

/** Bytes of one read; what arrives is used up before the next. */
export const INPUT_BYTES = 64 * 1024;

/** What is used of a socket that Node does not document. */
interface Insides {
  _handle?: { readonly useUserBuffer?: unknown } | null;
}

/**
 * A socket on what `given` stands on, which from now on stands on nothing: its bytes go to `onData` and are valid during the call only. Undefined, with
 * `given` as it was, where Node has changed inside.
 *
 * Node makes a buffer of 64 KiB for every read of a socket and cuts it to size: a third of what a small request costs. A socket that is made with `onread`
 * reads into one given buffer instead, but those that come from `net.Server` or `spawn` are made without.
 */
export function takeHandle(given: Socket, buffer: Buffer, allowHalfOpen: boolean, onData: (bytes: Buffer) => void): Socket | undefined {
  const insides = given as unknown as Insides;
  const handle = insides._handle;
  if (typeof handle?.useUserBuffer !== "function") return undefined;
  // Messages of one kind are of one size.
  let view = buffer;
  const options = {
    handle,
    allowHalfOpen,
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
  // Nothing listens to `data`, and the end is seen by a stream that flows only.
  socket.resume();
  return socket;
}
