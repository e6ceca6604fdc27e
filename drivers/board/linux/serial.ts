import { realpathSync } from "node:fs";

import type * as SerialPortPackage from "serialport";

import { AgentError, messageOf } from "../../../agent/contract/errors.ts";
import { createClaims } from "../../../agent/contract/board.ts";
import { errnoName, errnoText, type Libc } from "./libc.ts";
import { openSerialStream, type RawSerialEvents, type RawSerialPort } from "../serial-stream.ts";
import type { Clock } from "../../../agent/contract/clock.ts";
import type { Poller } from "./poller.ts";
import type { SerialOptions, SerialStream } from "../../../agent/contract/serial.ts";

/** Bytes taken from the kernel at once; its own buffer of a terminal line holds 4096 (N_TTY_BUF_SIZE of drivers/tty/n_tty.c). */
const READ_BYTES = 4096;

/** Reads before other work gets its turn. */
const READS = 16;

const NOTHING_YET: ReadonlySet<string> = new Set(["EAGAIN", "EINTR"]);

export interface LinuxSerialParts {
  readonly clock: Clock;
  readonly loadLibc: () => Promise<Libc>;
  readonly poller: (libc: Libc) => Poller;
}

export interface LinuxSerial {
  /** Rejects IN_USE when another device has the port under whatever name, NOT_READY naming the package that is missing. */
  open(owner: string, path: string, options: SerialOptions): Promise<SerialStream>;
}

/** A port as the package opens it; its descriptor is read by the poller, not on the thread pool. */
interface PackagePort {
  readonly fd: number | null;
  write(bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** Loads the package serialport. Rejects NOT_READY naming it when it is missing or does not run here. */
async function loadSerialPort(): Promise<typeof SerialPortPackage> {
  try {
    return await import("serialport");
  } catch (thrown) {
    throw new AgentError("NOT_READY", `package serialport does not load (${messageOf(thrown)}); run: npm install serialport`, {
      cause: thrown,
    });
  }
}

/** Serial ports through the kernel. One port has one owner however it is named, on this board and, by a lock on the file, in other processes. */
export function createLinuxSerial({ clock, loadLibc, poller }: LinuxSerialParts): LinuxSerial {
  const claims = createClaims();

  return {
    async open(owner, path, options) {
      const { SerialPort } = await loadSerialPort();
      const libc = await loadLibc();
      const { baudRate, dataBits, parity, stopBits } = options;

      async function openPort(): Promise<PackagePort & { readonly fd: number }> {
        let port: PackagePort;
        try {
          // The path is looked up anew each time: a link by id leads to the number the kernel gave it this time.
          port = await SerialPort.binding.open({ path, baudRate, dataBits, parity, stopBits, lock: true });
        } catch (thrown) {
          throw openError(path, messageOf(thrown), thrown);
        }
        if (port.fd === null) throw new AgentError("IO", `${path} was closed while it was opened`);
        return port as PackagePort & { readonly fd: number };
      }

      async function openRaw(events: RawSerialEvents): Promise<RawSerialPort> {
        const place = realPath(path);
        const release = claims.claim(`serial ${place}`, owner);
        try {
          const port = await openPort();
          try {
            if (realPath(path) !== place) throw new AgentError("IO", `${path} led elsewhere while it was opened`);
            const stop = readInto(libc, poller(libc), port.fd, path, events);
            return {
              write: (bytes) => port.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
              async close() {
                stop();
                try {
                  await port.close();
                } finally {
                  release();
                }
              },
            };
          } catch (thrown) {
            await port.close();
            throw thrown;
          }
        } catch (thrown) {
          release();
          throw thrown;
        }
      }

      return openSerialStream({ path, options, clock, open: openRaw });
    },
  };
}

function readInto(libc: Libc, poller: Poller, fd: number, path: string, events: RawSerialEvents): () => void {
  const bytes = Buffer.allocUnsafe(READ_BYTES);
  let reading = true;

  function ready(): void {
    // What is left is reported again as soon as this returns.
    for (let i = 0; i < READS && reading; i++) {
      const count = libc.read(fd, bytes);
      if (count > 0) events.data(bytes.subarray(0, count));
      else if (count === 0 || !NOTHING_YET.has(errnoName(-count))) {
        // A line whose device is gone reads as ended, or fails.
        reading = false;
        events.lost(count === 0 ? `${path} is gone` : `${path} is gone (${errnoText(-count)})`);
      }
      if (count < bytes.length) return;
    }
  }

  const stop = poller.watch(fd, ready, (error) => {
    events.lost(error.message);
  });
  return () => {
    reading = false;
    stop();
  };
}

/** The file a link leads to: what is not there is itself. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (thrown) {
    if (thrown instanceof Error) return path;
    throw thrown;
  }
}

/** The package says why only in words, the C library's. */
function openError(path: string, text: string, cause: unknown): AgentError {
  if (/no such (file|device)|not a directory/i.test(text)) return new AgentError("IO", `${path} is not there`, { cause });
  if (/permission denied|operation not permitted/i.test(text)) {
    return new AgentError("DENIED", `${path} may not be opened; add the user to group dialout: sudo usermod -aG dialout $USER`, { cause });
  }
  if (/cannot lock|busy/i.test(text)) {
    return new AgentError("IO", `${path} is in use by another process; is gpsd, ModemManager or a terminal running?`, { cause });
  }
  if (/inappropriate ioctl/i.test(text)) return new AgentError("IO", `${path} is no serial port`, { cause });
  return new AgentError("IO", `${path} cannot be opened: ${text}`, { cause });
}
