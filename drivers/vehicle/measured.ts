import type { DeviceContext } from "../../agent/contract/device.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";
import { GEARS, type Gear } from "./limits.ts";

/** A measured speed as it is now. */
export interface SpeedReading {
  /** Whether a speed is measured at all and can be believed; undefined where none is measured. */
  readonly fresh: boolean | undefined;
  /** Of either sign's direction, m/s, 0 or more; undefined where it is not known. */
  readonly speedMps: number | undefined;
}

const NOT_MEASURED: SpeedReading = { fresh: undefined, speedMps: undefined };
const UNCLEAR: SpeedReading = { fresh: false, speedMps: undefined };

/** Reads the variable that tells the speed; without a name none is measured. */
export function readSpeed({ variable }: Pick<DeviceContext, "variable">, name: string | undefined, staleMs: number): SpeedReading {
  if (name === undefined) return NOT_MEASURED;
  const speed = variable(name);
  if (speed === undefined || speed.stale || !(speed.ageMs <= staleMs) || typeof speed.value !== "number") return UNCLEAR;
  return Number.isFinite(speed.value) ? { fresh: true, speedMps: Math.abs(speed.value) } : UNCLEAR;
}

export function isGear(value: VariableValue | undefined): value is Gear {
  return GEARS.some((gear) => gear === value);
}
