// The vehicle's pedals as everybody on the bus sees them.
import type { Change } from "./changes.ts";

/** The agent's frame: what the configuration declares and what is read from the bus are the same table. */
export const PEDALS = { id: 0x200, acceleratorByte: 0, brakeByte: 1 } as const;

/** A frame as somebody on the bus saw it: `200#5000`. */
export interface SeenFrame {
  readonly atMs: number;
  readonly text: string;
}

/**
 * Of one pedal: the accelerator is safe released. The brake is safe pressed, whatever it has built up to: a vehicle that nobody drives is stopped by a ramp that
 * begins at once.
 */
export function pedalChanges(frames: readonly SeenFrame[], pedal: "accelerator" | "brake"): readonly Change[] {
  const changes: Change[] = [];
  for (const { atMs, text } of frames) {
    const [id = "", data = ""] = text.split("#");
    if (Number.parseInt(id, 16) !== PEDALS.id) continue;
    const first = 2 * (pedal === "accelerator" ? PEDALS.acceleratorByte : PEDALS.brakeByte);
    const raw = Number.parseInt(data.slice(first, first + 2), 16);
    changes.push({ atMs, value: pedal === "accelerator" ? raw : Number(raw === 0) });
  }
  return changes;
}
