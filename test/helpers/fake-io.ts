import { createSystemClock } from "../../agent/clock.ts";
import { runCli } from "../../agent/cli/program.ts";
import type { CliIo } from "../../agent/cli/io.ts";

/** What a command line printed and ended with. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

export interface FakeIo extends CliIo {
  /** What was printed so far. */
  readonly printed: { readonly out: string; readonly error: string };
  /** As Ctrl-C does. */
  end(): void;
}

export function createFakeIo(env: Readonly<Record<string, string>> = {}): FakeIo {
  const printed = { out: "", error: "" };
  const controller = new AbortController();
  return {
    out(text) {
      printed.out += text;
    },
    error(text) {
      printed.error += text;
    },
    env,
    clock: createSystemClock(),
    stop: controller.signal,
    printed,
    end: () => controller.abort(),
  };
}

/** Runs one command line in this process. */
export async function virgo(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  io: FakeIo = createFakeIo(env),
): Promise<Ran> {
  const code = await runCli(argv, io);
  return { code, ...io.printed };
}
