/** What the inside tells the outside of one way to lose what drives a device. */
export interface Measurement {
  readonly name: string;
  /** For the worst, milliseconds. */
  readonly goalMs: number;
  /** Each time, how long after it was due the last port became safe, milliseconds; null for never. */
  readonly lateMs: readonly (number | null)[];
  /** The same of what builds up, its beginning; empty where nothing is left to build it up. */
  readonly rampMs: readonly (number | null)[];
  /** Times a port was unsafe again before the next device host was ready. */
  readonly again: number;
  /** Attempts in which a device was not driven when it was to happen: the agent had refused an order, or ended one by itself. */
  readonly disturbed: number;
}
