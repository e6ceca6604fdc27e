import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createJournal } from "../../../agent/host/journal.ts";
import { bytesOf, type Caller, type OpenService, type Reply } from "../../../agent/contract/request.ts";
import { openEventsService } from "../../../agent/services/events.ts";
import { eventsOptionsSchema } from "../../../agent/services/events/options.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../../helpers/fake-log.ts";
import type { Journal } from "../../../agent/contract/journal.ts";
import type { Value } from "../../../agent/contract/value.ts";

export interface EventsBench {
  readonly service: OpenService;
  readonly folder: string;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly journal: Journal;
  /** `CODE message`, `OK`, or the value, bytes as text. */
  readonly ask: (...words: readonly (string | number)[]) => Promise<Value>;
  readonly askAs: (caller: Caller, ...words: readonly (string | number)[]) => Promise<Value>;
  /** A text file of the folder. */
  readonly file: (name: string) => string;
}

export interface EventsBenchOptions {
  readonly folder?: string;
  readonly clock?: FakeClock;
  readonly options?: Readonly<Record<string, unknown>>;
}

interface Teardown {
  teardown(handler: () => unknown): void;
}

export const CALLER: Caller = { name: "127.0.0.1", priority: 100, signal: new AbortController().signal };

/** A folder of its own. `testdir` would be removed before the service in it is closed. */
export function testFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), "virgo-events-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A service in a folder of its own, closed when the test ends. */
export async function eventsBench(t: Teardown, settings: EventsBenchOptions = {}): Promise<EventsBench> {
  const { folder = testFolder(t), clock = createFakeClock(), options = {} } = settings;
  const log = createFakeLog();
  const journal = createJournal(clock);
  const service = await openEventsService({ folder, options: eventsOptionsSchema.parse(options), node: "pi", clock, log, journal });
  t.teardown(() => service.close());
  const askAs: EventsBench["askAs"] = async (caller, verb = "", ...words) =>
    told(await service.handle({ verb: String(verb), args: words.map((word) => bytesOf(String(word))) }, caller));
  const file = (name: string) => readFileSync(join(folder, name), "latin1");
  return { service, folder, clock, log, journal, askAs, file, ask: (...words) => askAs(CALLER, ...words) };
}

function told(reply: Reply): Value {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  if (reply.kind === "status") return reply.text;
  return reply.value instanceof Uint8Array ? Buffer.from(reply.value).toString("utf8") : reply.value;
}

/** A caller that keeps what it is pushed. */
export function createListener(permits?: Caller["permits"]) {
  const pushed: (readonly Value[])[] = [];
  const gone = new AbortController();
  const caller: Caller = {
    name: "pat",
    priority: 100,
    signal: gone.signal,
    push: (message) => pushed.push(message),
    ...(permits === undefined ? {} : { permits }),
  };
  return { caller, pushed, leave: () => gone.abort() };
}
