// TFmini-S product manual (Benewake SJ-PM-TFmini-S), "Description of output data format"; TF-Luna's manual (SJ-PM-TF-Luna) has the same frame.
const HEADER = 0x59;
const FRAME_BYTES = 9;

/** Told of every whole frame: distance in centimetres as sent, signal strength 0 to 65,535. */
export type TfminiListener = (distanceCm: number, strength: number) => void;

/** Finds frames in bytes that arrive in pieces of any size. */
export interface TfminiDecoder {
  push(bytes: Uint8Array): void;
  /** Forgets what was under way. */
  restart(): void;
  readonly frames: number;
  /** Frames whose check sum was wrong. */
  readonly badFrames: number;
}

export function createTfminiDecoder(onFrame: TfminiListener): TfminiDecoder {
  const frame = new Uint8Array(FRAME_BYTES);
  let held = 0;
  let frames = 0;
  let badFrames = 0;

  /** Drops the first byte and what follows it up to where a frame may begin. */
  function dropFirst(): void {
    let from = 1;
    while (from < held && !(frame[from] === HEADER && (from + 1 === held || frame[from + 1] === HEADER))) from += 1;
    frame.copyWithin(0, from, held);
    held -= from;
  }

  function isWhole(): boolean {
    let sum = 0;
    for (let i = 0; i < FRAME_BYTES - 1; i++) sum += frame[i] as number;
    return (sum & 0xff) === frame[FRAME_BYTES - 1];
  }

  const word = (at: number): number => (frame[at] as number) | ((frame[at + 1] as number) << 8);

  return {
    push(bytes) {
      for (const byte of bytes) {
        frame[held] = byte;
        held += 1;
        if (held <= 2) {
          if (byte !== HEADER) held = 0;
          continue;
        }
        if (held < FRAME_BYTES) continue;
        if (isWhole()) {
          frames += 1;
          held = 0;
          onFrame(word(2), word(4));
        } else {
          badFrames += 1;
          dropFirst();
        }
      }
    },
    restart() {
      held = 0;
    },
    get frames() {
      return frames;
    },
    get badFrames() {
      return badFrames;
    },
  };
}
