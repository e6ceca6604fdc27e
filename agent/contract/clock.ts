/** Ends what it was given for: a timer, a subscription. Calling it again does nothing. */
export type Cancel = () => void;

/** Time as a dependency, so that tests can move it by hand. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never jumps or runs backwards. For every age, lease and deadline. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01 UTC; may jump. Only for what people read. */
  wallMs(): number;
  /** Calls `run` once, not before `delayMs` have passed; does not keep the process alive. */
  after(delayMs: number, run: () => void): Cancel;
}
