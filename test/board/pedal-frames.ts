// The pedals of a vehicle on CAN, as another node on the bus sees them: can-utils' candump, with the kernel's own times.
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** One frame, in percent. */
export interface PedalFrame {
  /** Milliseconds of the time of day. */
  readonly atMs: number;
  readonly accelerator: number;
  readonly brake: number;
}

/** The `can` option of a vehicle whose pedals are in frame 0x200. */
export const PEDALS_CAN = {
  interface: "vcan0",
  frames: {
    pedals: {
      id: 0x200,
      length: 3,
      periodMs: 20,
      signals: {
        accelerator: { startBit: 0, lengthBits: 8, scale: 0.5 },
        brake: { startBit: 8, lengthBits: 8, scale: 0.5 },
      },
      counter: { startBit: 16, lengthBits: 4 },
    },
  },
};

export const PEDALS = {
  accelerator: { can: { frame: "pedals", signal: "accelerator" } },
  brake: { can: { frame: "pedals", signal: "brake" } },
};

export function ip(words: string): void {
  execFileSync("ip", words.split(" "));
}

/** Makes the interface, once for each boot. */
export function addVcan(): void {
  ip("link add dev vcan0 type vcan");
  ip("link set vcan0 up");
}

/** Every frame of the pedals from now on. */
export function watchPedals(): { readonly frames: readonly PedalFrame[]; stop(): void } {
  const child = spawn("stdbuf", ["--output=L", "candump", "-L", "vcan0,200:7FF"], { stdio: ["ignore", "pipe", "inherit"] });
  const frames: PedalFrame[] = [];
  createInterface({ input: child.stdout }).on("line", (text) => {
    const [, seconds, accelerator = "", brake] = /^\((\d+\.\d+)\) \S+ 200#(..)(..)/.exec(text) ?? [];
    if (brake === undefined) return;
    frames.push({ atMs: Number(seconds) * 1000, accelerator: Number.parseInt(accelerator, 16) / 2, brake: Number.parseInt(brake, 16) / 2 });
  });
  return { frames, stop: () => void child.kill() };
}
