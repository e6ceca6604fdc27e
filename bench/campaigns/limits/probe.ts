/** What is asked, beside what has to come of it. */
export interface Check {
  /** `below`, `at` or `above` the limit, and what else matters. */
  readonly what: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

/** Tries one limit with one value. */
export type Probe = (value: number) => Promise<readonly Check[]>;
