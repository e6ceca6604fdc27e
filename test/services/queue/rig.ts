import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AgentError } from "../../../agent/contract/errors.ts";
import { bytesOf, errorReply, type Caller, type Reply, type Request, type Service } from "../../../agent/contract/request.ts";
import type { Eventually, Value } from "../../../agent/contract/value.ts";
import { createJournal } from "../../../agent/host/journal.ts";
import { openQueueService, type QueueService } from "../../../agent/services/queue.ts";
import type { WorkRunner } from "../../../agent/services/queue/handlers.ts";
import { queueOptionsSchema } from "../../../agent/services/queue/options.ts";
import { createFakeClock, type FakeClock } from "../../helpers/fake-clock.ts";
import { createFakeLog } from "../../helpers/fake-log.ts";

/** What a rig needs of a test. */
interface Test {
  teardown(handler: () => unknown): void;
}

/** A folder that is removed after everything opened in it was closed, which tap's own are not. */
export function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "virgo-queue-"));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface RigOptions {
  readonly folder: string;
  /** `queue` of the configuration. */
  readonly queue?: Readonly<Record<string, unknown>>;
  readonly clock?: FakeClock;
  readonly devices?: Service["handle"];
  readonly run?: WorkRunner["run"];
}

export interface Client {
  readonly caller: Caller;
  readonly leave: () => void;
}

/** Somebody connected from loopback, allowed what `topics` names; everything when absent. */
export function createClient(name = "127.0.0.1", topics?: readonly string[]): Client {
  const gone = new AbortController();
  const base = { name, priority: 100, address: "127.0.0.1", signal: gone.signal };
  const permits = { allows: (kind: string, topic: string) => kind === "queue" && (topics ?? []).includes(topic) };
  return {
    caller: topics === undefined ? base : { ...base, permits },
    leave: () => {
      gone.abort();
    },
  };
}

/** An id in a line. */
export function idText(value: Value): string {
  if (typeof value !== "number") throw new Error(`${JSON.stringify(value)} is no id`);
  return String(value);
}

/** What a delivery answers. */
export interface Delivery {
  readonly id: number;
  readonly topic: string;
  readonly payload: Buffer;
  readonly deliveries: number;
  readonly priority: number;
  readonly correlation: string | null;
  readonly from: string;
  readonly wallMs: number;
  readonly origin: string | null;
  readonly reason: string | null;
}

/** The value; errors as `CODE message`, status as its text. */
export function told(reply: Reply): Value {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  return reply.kind === "status" ? reply.text : reply.value;
}

export interface Rig {
  readonly service: QueueService;
  readonly clock: FakeClock;
  readonly log: ReturnType<typeof createFakeLog>;
  readonly journal: ReturnType<typeof createJournal>;
  readonly client: Client;
  /** Asks with the words of a line, and tells what `told` does. */
  readonly ask: (line: string, caller?: Caller) => Promise<Value>;
  readonly handle: (request: Request, caller?: Caller) => Eventually<Reply>;
  /** Puts any bytes on the queue; the id. */
  readonly enqueue: (payload: string, topic?: string) => Promise<string>;
  /** The next message of the topic; fails the test when there is none. */
  readonly next: (words?: string) => Promise<Delivery>;
  /** Payloads of everything in the topic, in order of delivery. */
  readonly drain: (words?: string) => Promise<string[]>;
  /** Closes it; the same again does nothing. */
  readonly close: () => Promise<void>;
}

export async function openRig(t: Test, options: RigOptions): Promise<Rig> {
  const { folder, queue = {}, clock = createFakeClock() } = options;
  const log = createFakeLog();
  const journal = createJournal(clock);
  const none = (): Reply => errorReply(new AgentError("UNKNOWN", "no devices here"));
  const service = await openQueueService({
    folder,
    options: queueOptionsSchema.parse(queue),
    clock,
    log,
    journal,
    devices: { verbs: [], handle: options.devices ?? none },
    executables: { run: options.run ?? (() => Promise.reject(new AgentError("UNKNOWN", "no executables here"))) },
  });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= service.close());
  t.teardown(close);
  const client = createClient();
  const handle = (request: Request, caller = client.caller): Eventually<Reply> => service.handle(request, caller);
  const ask = async (line: string, caller = client.caller): Promise<Value> => {
    const [verb = "", ...args] = line.split(" ");
    return told(await handle({ verb, args: args.map(bytesOf) }, caller));
  };
  const enqueue = async (payload: string, topic = "kingcobra"): Promise<string> =>
    idText(told(await handle({ verb: "ENQUEUE", args: [payload, "TOPIC", topic] })));
  const next = async (words = ""): Promise<Delivery> => {
    const value = await ask(`DEQUEUE${words === "" ? "" : ` ${words}`}`);
    if (value === null || typeof value !== "object") throw new Error(`DEQUEUE ${words} was answered ${String(value)}`);
    return value as unknown as Delivery;
  };
  const drain = async (words = ""): Promise<string[]> => {
    const payloads: string[] = [];
    for (;;) {
      const value = await ask(`DEQUEUE${words === "" ? "" : ` ${words}`}`);
      if (value === null) return payloads;
      payloads.push((value as unknown as Delivery).payload.toString());
    }
  };
  return { service, clock, log, journal, client, ask, handle, enqueue, next, drain, close };
}
