import type { Audit } from "../../agent/contract/audit.ts";

export interface Recorder extends Audit {
  /** `kind caller subject detail`, in order. */
  readonly entries: string[];
}

/** Keeps what was recorded. */
export function createRecorder(): Recorder {
  const entries: string[] = [];
  return { entries, record: (kind, caller, subject, detail) => void entries.push(`${kind} ${caller} ${subject} ${detail}`) };
}
