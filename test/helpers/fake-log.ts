import type { Log } from "../../agent/contract/log.ts";

export interface FakeLog extends Log {
  /** `warn something happened`, in order. */
  readonly lines: readonly string[];
}

/** Keeps what was logged. */
export function createFakeLog(): FakeLog {
  const lines: string[] = [];
  const at = (level: string) => (_fields: object, message: string) => {
    lines.push(`${level} ${message}`);
  };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
