/** A place in a file a person edits; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** One mistake in a configuration file: where, what, and what to do about it. */
export interface Problem extends Position {
  readonly file: string;
  readonly reason: string;
  /** `did you mean leaseMs?`, `write a whole number from 30 to 60000 ms`. */
  readonly suggestion?: string;
}

/** `virgo.yaml:12:5: reason; suggestion` */
export function problemText(problem: Problem): string {
  const text = `${problem.file}:${problem.line}:${problem.column}: ${problem.reason}`;
  return problem.suggestion === undefined ? text : `${text}; ${problem.suggestion}`;
}

/** File by file in the order found, each from top to bottom. */
export function inReadingOrder(problems: readonly Problem[]): Problem[] {
  const files = [...new Set(problems.map((problem) => problem.file))];
  return [...problems].sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column);
}
