import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openMemoryService, type MemoryServiceOptions } from "../../agent/services/memory.ts";
import { memoryOptionsSchema } from "../../agent/services/memory/options.ts";
import { splitInline } from "../../agent/wire/inline.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createFakeLog, type FakeLog } from "./fake-log.ts";
import type { Caller, Figures, OpenService, Reply } from "../../agent/contract/request.ts";

export interface TestMemory extends OpenService {
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly figures: () => Figures;
  /** One line as typed by hand, and its answer as text: values as they are, errors as `-CODE text`, status words with a plus. */
  readonly say: (line: string, caller?: Caller) => Promise<unknown>;
  /** The same where the answer is there at once; throws when it is not. */
  readonly now: (line: string, caller?: Caller) => unknown;
}

export const CALLER: Caller = { name: "tester", priority: 100, maxPriority: 255, signal: new AbortController().signal };

interface Teardown {
  teardown(handler: () => unknown): void;
}

/** A memory service of its own, closed when the test ends. */
export async function openMemory(
  t: Teardown,
  options: Readonly<Record<string, unknown>> = {},
  more: Partial<MemoryServiceOptions> = {},
): Promise<TestMemory> {
  const clock = (more.clock as FakeClock | undefined) ?? createFakeClock();
  const log = createFakeLog();
  const service = await openMemoryService({
    folder: "unused",
    options: memoryOptionsSchema.parse(options),
    classic: { addressWidth: 64 },
    node: "shed",
    log,
    ...more,
    clock,
  });
  t.teardown(() => service.close());
  const ask = (line: string, caller: Caller) => {
    const [verb = "", ...args] = splitInline(line) ?? [];
    return service.handle({ verb: verb.toUpperCase(), args }, caller);
  };
  return {
    ...service,
    figures: () => service.figures(),
    clock,
    log,
    say: async (line, caller = CALLER) => plain(await ask(line, caller)),
    now(line, caller = CALLER) {
      const reply = ask(line, caller);
      if (reply instanceof Promise) throw new Error(`${line} is not answered at once`);
      return plain(reply);
    },
  };
}

/** A reply as a test writes it. */
export function plain(reply: Reply): unknown {
  if (reply.kind === "error") return `-${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? `+${reply.text}` : plainValue(reply.value);
}

function plainValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  return Array.isArray(value) ? value.map(plainValue) : value;
}

/** A folder that is removed after everything that was opened in it is closed; `t.testdir` is removed before. */
export function stateFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), "virgo-memory-"));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return join(folder, "memory");
}
