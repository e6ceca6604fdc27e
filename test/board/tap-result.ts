/** What a test file's TAP says, by test title. */
export interface TapResult {
  readonly passed: readonly string[];
  readonly skipped: readonly string[];
  readonly failed: readonly string[];
  /** Why the TAP as such is not to be trusted: no plan, a bail-out, tests that did not run. */
  readonly problem: string | undefined;
}

function problemOf(planned: number | undefined, seen: number, bailOut: string | undefined): string | undefined {
  if (bailOut !== undefined) return `bailed out: ${bailOut}`;
  if (planned === undefined) return "no plan: the test file died before its end";
  if (planned !== seen) return `${planned} tests planned, ${seen} ran`;
  return planned === 0 ? "no tests" : undefined;
}

/** Reads the outermost test points of a TAP stream; whatever else is printed in between is passed over. */
export function readTap(text: string): TapResult {
  const passed: string[] = [];
  const skipped: string[] = [];
  const failed: string[] = [];
  let planned: number | undefined;
  let bailOut: string | undefined;
  for (const line of text.split("\n")) {
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan !== null) planned = Number(plan[1]);
    if (line.startsWith("Bail out!")) bailOut = line.slice("Bail out!".length).trim();
    const [, not, title = "", directive] = /^(not )?ok\b(?: \d+)?(?: - )?(.*?)(?: # (time=|SKIP|TODO).*)?(?: \{)?$/.exec(line) ?? [];
    if (!/^(not )?ok\b/.test(line)) continue;
    if (directive === "SKIP" || directive === "TODO") skipped.push(title);
    else if (not === undefined) passed.push(title);
    else failed.push(title);
  }
  return { passed, skipped, failed, problem: problemOf(planned, passed.length + skipped.length + failed.length, bailOut) };
}
