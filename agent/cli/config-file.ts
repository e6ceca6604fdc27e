import { existsSync, readFileSync, statSync } from "node:fs";

/** Where a configuration is looked for when none is named. */
const DEFAULT_CONFIG_FILES = ["virgo.yaml", "/etc/virgo/virgo.yaml"] as const;

/** The configuration that was named, else the first default one that is there, else undefined. */
export function configFile(asked: string | undefined): string | undefined {
  return asked ?? DEFAULT_CONFIG_FILES.find((file) => existsSync(file));
}

/** What to say where no configuration is named and none is found. */
export const NO_CONFIG = `no configuration: neither ${DEFAULT_CONFIG_FILES.join(" nor ")} is there; name one with --config FILE`;

/** Longer files are read once, by who understands them. */
const LOOK_BYTES = 256 * 1024;

/** As people write it; who writes it otherwise has a device host started and ended again. */
const ONE_PROCESS = /^isolation:[ \t]*["']?none\b/m;

/**
 * Whether devices are to run in a process of their own, as far as that can be told without understanding the configuration, which takes longer than that
 * process needs to start. A guess: one that is not needed is ended, and one that is missing is started later. Never throws.
 */
export function looksIsolated(file: string | undefined): boolean {
  if (file === undefined) return false;
  try {
    const found = statSync(file);
    // A pipe gives its text only once.
    return !found.isFile() || found.size > LOOK_BYTES || !ONE_PROCESS.test(readFileSync(file, "utf8"));
  } catch {
    // Whoever needs the file says what is wrong with it.
    return false;
  }
}
