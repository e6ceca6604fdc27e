import type { EntityDevice } from "../contract/entity-device.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { FaceOptions } from "./face-options.ts";
import type { PlannedCall } from "./commands.ts";

/** A call is repeated so many times within its lease: two may be lost. */
const REPEATS_PER_LEASE = 3;
const MIN_PERIOD_MS = 10;

/**
 * Commands that are repeated, because whoever gave them says things once: a lamp that was switched on stays on after its lease. Every repetition is the same call,
 * by the same caller, through the same gate; the first one that is refused is the last.
 */
export interface Kept {
  /** Another command is about to be given for the same entity, or one that is about the whole device. */
  replace(device: EntityDevice, planned: PlannedCall): void;
  /** Repeats what was just done, as long as the options say. */
  keep(device: EntityDevice, planned: PlannedCall, repeat: () => Promise<boolean>): void;
  /** Lets go of one device: somebody else drives it, or nobody may. */
  drop(device: string): void;
  dropAll(): void;
  readonly count: number;
}

/** For how long a command is repeated, milliseconds. Nothing is repeated that stays, or comes, by itself. */
export function keepMsOf(device: EntityDevice, { call }: PlannedCall, options: FaceOptions): number {
  if (call.once === true) return 0;
  if (device.moves) return options.keepMotion[device.id] ?? 0;
  if (device.onLoss === "hold") return 0;
  if (typeof device.onLoss === "string" && call.rests?.includes(device.onLoss) === true) return 0;
  return options.keep === "while-connected" ? Infinity : options.keep;
}

interface Entry {
  readonly device: string;
  readonly planned: PlannedCall;
  cancel: Cancel;
}

export function createKept(clock: Clock, options: FaceOptions): Kept {
  const entries = new Set<Entry>();

  function end(entry: Entry): void {
    entry.cancel();
    entries.delete(entry);
  }

  function dropWhere(fits: (entry: Entry) => boolean): void {
    for (const entry of [...entries]) if (fits(entry)) end(entry);
  }

  return {
    replace(device, { key, whole }) {
      dropWhere((entry) => entry.device === device.id && (whole || entry.planned.whole || entry.planned.key === key));
    },
    keep(device, planned, repeat) {
      const forMs = keepMsOf(device, planned, options);
      if (forMs <= 0) return;
      const untilMs = clock.monotonicMs() + forMs;
      const periodMs = Math.max(MIN_PERIOD_MS, Math.floor(device.leaseMs / REPEATS_PER_LEASE));
      const entry: Entry = { device: device.id, planned, cancel: () => undefined };

      function arm(): void {
        if (!entries.has(entry)) return;
        if (clock.monotonicMs() + periodMs > untilMs) end(entry);
        else entry.cancel = clock.after(periodMs, () => void again());
      }

      async function again(): Promise<void> {
        if (await repeat()) arm();
        else end(entry);
      }

      entries.add(entry);
      arm();
    },
    drop(device) {
      dropWhere((entry) => entry.device === device);
    },
    dropAll() {
      dropWhere(() => true);
    },
    get count() {
      return entries.size;
    },
  };
}
