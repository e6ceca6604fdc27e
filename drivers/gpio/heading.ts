/** How a magnetometer sits, and what is wrong with it. */
export interface HeadingOptions {
  /** Subtracted from x and y: the middle of the circle they draw when it is turned (hard iron), counts. */
  readonly offset: readonly [number, number];
  /** Multiplied with x and y after that, to make the circle round (soft iron). */
  readonly scale: readonly [number, number];
  /** From magnetic to true north, degrees, east positive. */
  readonly declinationDeg: number;
  /** From the vehicle's forward to the chip's x, degrees clockwise as seen from above. */
  readonly mountingDeg: number;
}

/**
 * Where forward points, degrees clockwise from true north, 0 to 360. The chip lies flat with its z up, so that y is to the left of x;
 * a tilt of 1 degree makes some 2 degrees of error in the middle of Europe.
 */
export function headingDeg(x: number, y: number, { offset, scale, declinationDeg, mountingDeg }: HeadingOptions): number {
  const chipDeg = (Math.atan2((y - offset[1]) * scale[1], (x - offset[0]) * scale[0]) * 180) / Math.PI;
  return (((chipDeg + declinationDeg - mountingDeg) % 360) + 360) % 360;
}
