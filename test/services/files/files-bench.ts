import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createSystemClock } from "../../../agent/clock.ts";
import { limitsSchema } from "../../../agent/contract/limits.ts";
import { bytesOf, type ByteString, type Caller, type OpenService, type Reply } from "../../../agent/contract/request.ts";
import type { Value } from "../../../agent/contract/value.ts";
import { createConversations } from "../../../agent/conversations.ts";
import { parseListenAddress, startListener } from "../../../agent/listener.ts";
import { createRouter } from "../../../agent/router.ts";
import { openFilesService } from "../../../agent/services/files.ts";
import { filesOptionsSchema } from "../../../agent/services/files/options.ts";
import { createUsers } from "../../../agent/access/users.ts";
import { filesGrammar, FILES_WRITE } from "../../../agent/wire/classic-files.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog, type FakeLog } from "../../helpers/fake-log.ts";
import type { Clock } from "../../../agent/contract/clock.ts";

interface Teardown {
  teardown(handler: () => unknown): void;
}

export interface FilesBench {
  readonly service: OpenService;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  /** What everything is confined to. */
  readonly root: string;
  /** Beside the root; nothing of it may be reached. */
  readonly outside: string;
  /** `OK`, `CODE message`, the value, or bytes as one character each. */
  readonly ask: (verb: string, ...args: readonly (string | number)[]) => Promise<Value>;
  /** The same with bytes, one character each, as arguments. */
  readonly askBytes: (verb: string, args: readonly ByteString[], caller?: Caller) => Promise<Value>;
}

export const CALLER: Caller = { name: "127.0.0.1", priority: 100, signal: new AbortController().signal };

export function told(reply: Reply): Value {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  if (reply.kind === "status") return reply.text;
  return reply.value instanceof Uint8Array ? Buffer.from(reply.value).toString("latin1") : reply.value;
}

/** A folder of its own, removed when the test ends. */
export function testFolder(t: Teardown): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "virgo-files-")));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A files service over an empty root, closed when the test ends. */
export async function filesBench(t: Teardown, options: Readonly<Record<string, number>> = {}, padWrites = true): Promise<FilesBench> {
  const folder = testFolder(t);
  const root = join(folder, "root");
  const outside = join(folder, "outside");
  await mkdir(outside);
  const clock = createFakeClock();
  const log = createFakeLog();
  const service = await openFilesService({ folder: root, options: filesOptionsSchema.parse(options), classic: { padWrites }, clock, log });
  t.teardown(() => service.close());
  const askBytes = async (verb: string, args: readonly ByteString[], caller: Caller = CALLER): Promise<Value> =>
    told(await service.handle({ verb, args }, caller));
  const ask = (verb: string, ...args: readonly (string | number)[]) =>
    askBytes(
      verb,
      args.map((arg) => bytesOf(String(arg))),
    );
  return { service, clock, log, root, outside, ask, askBytes };
}

export interface FilesListener {
  readonly address: string;
  readonly root: string;
  readonly service: OpenService;
}

export interface FilesListenerOptions {
  readonly options?: Readonly<Record<string, number>>;
  readonly limits?: Readonly<Record<string, number>>;
  readonly padWrites?: boolean;
  readonly clock?: Clock;
}

/** A files service behind a listener of both dialects on a free port. */
export async function startFilesListener(t: Teardown, setup: FilesListenerOptions = {}): Promise<FilesListener> {
  const root = join(testFolder(t), "root");
  const clock = setup.clock ?? createSystemClock();
  const log = createFakeLog();
  const options = filesOptionsSchema.parse(setup.options ?? {});
  const service = await openFilesService({ folder: root, options, classic: { padWrites: setup.padWrites ?? true }, clock, log });
  const limits = limitsSchema.parse(setup.limits ?? {});
  const listener = await startListener({
    name: "files",
    address: parseListenAddress("127.0.0.1:0"),
    limits,
    clock,
    log,
    openConversation: createConversations({
      limits,
      node: "test",
      version: "0.0.0",
      users: createUsers([]),
      router: createRouter([service], { unlisted: new Map([[FILES_WRITE, service]]) }),
      info: () => ({ files: service.figures() }),
      classic: { grammar: filesGrammar, allows: () => true },
    }),
  });
  t.teardown(async () => {
    await listener.close();
    await service.close();
  });
  return { address: listener.address, root, service };
}
