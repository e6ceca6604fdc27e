/** One thing `virgo doctor` looked at. */
export interface Finding {
  readonly about: string;
  /** `ok` works; `mend` keeps the agent from doing what it is configured to do; `note` is for information. */
  readonly verdict: "ok" | "note" | "mend";
  readonly text: string;
  /** The command that mends it. */
  readonly fix?: string;
}

export function ok(about: string, text: string): Finding {
  return { about, verdict: "ok", text };
}

export function note(about: string, text: string): Finding {
  return { about, verdict: "note", text };
}

export function mend(about: string, text: string, fix?: string): Finding {
  return fix === undefined ? { about, verdict: "mend", text } : { about, verdict: "mend", text, fix };
}
