import { existsSync, rmSync } from "node:fs";
import { once } from "node:events";
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { Readable, Writable } from "node:stream";

/** A serial port of the kernel: a pseudo terminal that socat makes appear at a path, and whose other end is here. */
export interface PtyPort {
  plug(): Promise<void>;
  /** Ends socat: the kernel hangs the line up, as with a USB port that is pulled. */
  unplug(): Promise<void>;
  send(bytes: Uint8Array): void;
  /** Every byte since it was plugged in last. */
  received(): Buffer;
  close(): Promise<void>;
}

const LOOKS = 2500;
const LOOK_MS = 4;
/** From one plugging in to the next; more is a socat that does not run. */
const MAX_STARTS = 200;

/** `onData` is called with what is written to the terminal, for an instrument that answers. */
export function createPtyPort(path: string, onData?: (bytes: Uint8Array) => void): PtyPort {
  let child: ChildProcessByStdio<Writable, Readable, null> | undefined;
  let received: Buffer[] = [];
  let leftStarts = 0;
  let pluggedIn = 0;

  function start(): void {
    leftStarts -= 1;
    const mine = pluggedIn;
    // It goes on in one direction for so long after the other one ended, and again with every byte: not at all.
    const own = spawn("socat", ["-t", "0", "-b", "65536", "STDIO", `PTY,link=${path},rawer,wait-slave,pty-interval=0.01`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child = own;
    // It also ends when its terminal is closed, which a port does not.
    own.once("exit", () => {
      if (child !== own) return;
      child = undefined;
      if (leftStarts > 0) start();
    });
    own.stdin.on("error", () => own.stdin.destroy());
    own.stdout.on("data", (bytes: Buffer) => {
      // What is left in its pipe when it has ended counts, but not after the next plugging in.
      if (pluggedIn !== mine) return;
      received.push(bytes);
      onData?.(bytes);
    });
  }

  async function unplug(): Promise<void> {
    const was = child;
    child = undefined;
    if (was === undefined) return;
    const ended = once(was, "exit");
    // First: its number is given to the next terminal made on this computer, to which the link would lead.
    rmSync(path, { force: true });
    was.kill("SIGKILL");
    await ended;
  }

  return {
    async plug() {
      if (child !== undefined) return;
      received = [];
      pluggedIn += 1;
      leftStarts = MAX_STARTS;
      start();
      for (let look = 0; look < LOOKS && !existsSync(path); look++) await delay(LOOK_MS);
      if (!existsSync(path)) throw new Error(`socat did not make ${path}`);
    },
    unplug,
    send(bytes) {
      child?.stdin.write(bytes);
    },
    received: () => Buffer.concat(received),
    close: unplug,
  };
}
