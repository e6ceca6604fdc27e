import { AgentError } from "../contract/errors.ts";
import { connect, printReply } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { jsonText, valueText } from "./print.ts";
import type { Reply } from "../contract/request.ts";
import type { AskOptions } from "./ask.ts";
import type { AgentConnection } from "../fleet/connection.ts";
import type { CliIo } from "./io.ts";

export interface CloneCommandOptions extends AskOptions {
  readonly lease?: number;
  readonly priority?: number;
  readonly deadline?: number;
  readonly node?: string;
  readonly keep?: boolean;
}

/** Lease of `--keep` when none is given: what interactive control uses (twist_mux, PX4's loss of RC), and within every driver's range. */
const KEEP_LEASE_MS = 500;

/** Two repetitions may get lost before the lease ends. */
const REPEATS_PER_LEASE = 3;

/** Beside the deadline, for the way there and back. */
const TRAVEL_MS = 2000;

/** `virgo clone`: calls a device's function once, or again and again until stopped. */
export async function cloneCommand(name: string, args: readonly string[], options: CloneCommandOptions, io: CliIo): Promise<number> {
  const leaseMs = options.lease ?? (options.keep === true ? KEEP_LEASE_MS : undefined);
  const words = [...cloneWords(options, leaseMs), name, ...args];
  const timeoutMs = options.deadline === undefined ? undefined : options.deadline + TRAVEL_MS;
  const connection = await connect(options, io);
  try {
    const first = await connection.call("CLONE", words, timeoutMs);
    const code = printReply(first, options, io, valueText);
    if (options.keep !== true || code !== EXIT.ok || leaseMs === undefined) return code;
    return await keepCalling(connection, () => connection.call("CLONE", words, timeoutMs), first, leaseMs, options, io);
  } finally {
    connection.close();
  }
}

function cloneWords(options: CloneCommandOptions, leaseMs: number | undefined): string[] {
  const words: string[] = [];
  if (options.node !== undefined) words.push("NODE", options.node);
  if (leaseMs !== undefined) words.push("LEASE", String(leaseMs));
  if (options.deadline !== undefined) words.push("DEADLINE", String(options.deadline));
  if (options.priority !== undefined) words.push("PRIORITY", String(options.priority));
  return words;
}

/** The command itself renews its lease. It stops by stopping: the lease ends, and the device makes itself safe. */
async function keepCalling(
  connection: AgentConnection,
  call: () => Promise<Reply>,
  first: Reply,
  leaseMs: number,
  options: CloneCommandOptions,
  io: CliIo,
): Promise<number> {
  let shown = replyKey(first);
  let dueMs = io.clock.monotonicMs();
  for (;;) {
    dueMs += leaseMs / REPEATS_PER_LEASE;
    if (await stoppedBefore(dueMs, connection, io)) return EXIT.ok;
    const reply = await call();
    const key = replyKey(reply);
    // Only what changes is news.
    if (key === shown) continue;
    shown = key;
    const code = printReply(reply, options, io, valueText);
    if (code !== EXIT.ok) return code;
  }
}

/** Waits until `dueMs`; true when the command was stopped before. Rejects when the connection has ended before. */
function stoppedBefore(dueMs: number, connection: AgentConnection, io: CliIo): Promise<boolean> {
  if (io.stop.aborted) return Promise.resolve(true);
  return new Promise((resolve, reject) => {
    const stopped = () => settle(() => resolve(true));
    const cancelTimer = io.clock.after(dueMs - io.clock.monotonicMs(), () => settle(() => resolve(false)));
    const cancelEnd = connection.onEnd((reason) => settle(() => reject(reason ?? new AgentError("IO", "the connection was closed"))));
    function settle(how: () => void): void {
      cancelTimer();
      cancelEnd();
      io.stop.removeEventListener("abort", stopped);
      how();
    }
    io.stop.addEventListener("abort", stopped);
  });
}

function replyKey(reply: Reply): string {
  if (reply.kind === "error") return `${reply.error.code} ${reply.error.message}`;
  return jsonText(reply.kind === "value" ? reply.value : reply.text);
}
