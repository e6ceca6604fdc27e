/** What the vehicle's limits say may be at the ports; declared here again, from the configuration, not taken from the drivers. */
export const DECLARED = {
  acceleratorPercentPerS: 100,
  brakePercentPerS: 300,
  decelerationMps2: 3.5,
  steeringDeg: 30,
  steeringDegPerS: 57.3,
  lateralMps2: 3,
  lateralJerkMps3: 3,
} as const;

/** What is at the ports: percent and degrees; undefined where there is no pulse. */
export interface PortValues {
  readonly acceleratorPercent: number | undefined;
  readonly brakePercent: number | undefined;
  readonly steeringDeg: number | undefined;
}

export interface PortWatch {
  /** Looks at what stands at the ports now; `speedMps` is the speed the agent was told last. Returns what is not allowed. */
  look(values: PortValues, speedMps: number, dtS: number): readonly string[];
}

/** Rounding of duty cycles. */
const SLACK = 1e-6;
/** A tenth of a percent: speeds are told with four digits. */
const LATERAL_SLACK = 1.005;

export function createPortWatch(wheelbaseM: number): PortWatch {
  let before: PortValues = { acceleratorPercent: undefined, brakePercent: undefined, steeringDeg: undefined };

  const lateral = (deg: number, speedMps: number): number => (speedMps * speedMps * Math.tan((deg * Math.PI) / 180)) / wheelbaseM;

  function pedals({ acceleratorPercent: accelerator = 0, brakePercent: brake = 0 }: PortValues, dtS: number, found: string[]): void {
    const rise = accelerator - (before.acceleratorPercent ?? 0);
    const press = Math.abs(brake - (before.brakePercent ?? 0));
    if (accelerator < -SLACK || accelerator > 100 + SLACK) found.push(`accelerator ${accelerator} % out of range`);
    if (brake < -SLACK || brake > 100 + SLACK) found.push(`brake ${brake} % out of range`);
    if (accelerator > SLACK && brake > SLACK) found.push(`accelerator ${accelerator} % with brake ${brake} %`);
    if (rise > DECLARED.acceleratorPercentPerS * dtS + SLACK) found.push(`accelerator rises by ${rise} % in ${dtS} s`);
    if (press > DECLARED.brakePercentPerS * dtS + SLACK) found.push(`brake moves by ${press} % in ${dtS} s`);
  }

  function wheels(deg: number, speedMps: number, dtS: number, found: string[]): void {
    const last = before.steeringDeg ?? deg;
    const turned = Math.abs(deg - last);
    if (Math.abs(deg) > DECLARED.steeringDeg + SLACK) found.push(`wheels at ${deg}°`);
    if (turned > DECLARED.steeringDegPerS * dtS + SLACK) found.push(`wheels turn by ${turned}° in ${dtS} s`);
    const now = lateral(deg, speedMps);
    const then = lateral(last, speedMps);
    const outward = Math.abs(now) > Math.abs(then);
    if (outward && Math.abs(now) > DECLARED.lateralMps2 * LATERAL_SLACK) found.push(`lateral ${now} m/s²`);
    const withinBefore = Math.abs(then) <= DECLARED.lateralMps2;
    if (withinBefore && Math.abs(now - then) > DECLARED.lateralJerkMps3 * dtS * LATERAL_SLACK + SLACK)
      found.push(`lateral jump ${now - then} m/s²`);
  }

  return {
    look(values, speedMps, dtS) {
      const found: string[] = [];
      pedals(values, dtS, found);
      if (values.steeringDeg !== undefined) wheels(values.steeringDeg, speedMps, dtS, found);
      before = values;
      return found;
    },
  };
}
