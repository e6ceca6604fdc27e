import type { Cancel } from "../../../../agent/contract/clock.ts";
import type { SimInstrument } from "../serial.ts";

/** A TFmini on the simulated board. */
export interface SimTfmini extends SimInstrument {
  /** What it measures from now on: centimetres, and signal strength 0 to 65,535. */
  measure(distanceCm: number, strength: number): void;
}

/** One frame as the instrument sends it (TFmini-S product manual, "Description of output data format"), at 25 °C. */
export function tfminiFrame(distanceCm: number, strength: number): Uint8Array {
  const temperature = (25 + 256) * 8;
  const frame = Uint8Array.of(
    0x59,
    0x59,
    distanceCm & 0xff,
    distanceCm >> 8,
    strength & 0xff,
    strength >> 8,
    temperature & 0xff,
    temperature >> 8,
    0,
  );
  frame[8] = frame.reduce((sum, byte) => (sum + byte) & 0xff, 0);
  return frame;
}

/** Sends a frame every `periodMs`, 10 as it comes from the factory. */
export function createSimTfmini(periodMs = 10): SimTfmini {
  let distanceCm = 100;
  let strength = 1000;
  return {
    measure(nextDistanceCm, nextStrength) {
      distanceCm = nextDistanceCm;
      strength = nextStrength;
    },
    start(line) {
      let cancel: Cancel;
      const arm = (): void => {
        cancel = line.clock.after(periodMs, () => {
          arm();
          line.send(tfminiFrame(distanceCm, strength));
        });
      };
      arm();
      return { receive: () => undefined, stop: () => cancel() };
    },
  };
}
