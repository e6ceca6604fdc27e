import type { Test } from "tap";

import { createSystemClock } from "../../agent/clock.ts";
import type { Clock } from "../../agent/contract/clock.ts";
import { AgentError } from "../../agent/contract/errors.ts";
import { limitsSchema } from "../../agent/contract/limits.ts";
import type { Limits } from "../../agent/contract/limits.ts";
import { errorReply, textOf, valueReply } from "../../agent/contract/request.ts";
import type { Caller, Reply, Request, Service } from "../../agent/contract/request.ts";
import { createConversations } from "../../agent/conversations.ts";
import type { Peer } from "../../agent/conversation.ts";
import { parseListenAddress, startListener } from "../../agent/listener.ts";
import type { Listener } from "../../agent/listener.ts";
import { createRouter } from "../../agent/router.ts";
import { createGuard } from "../../agent/access/guard.ts";
import { authOptionsSchema } from "../../agent/access/options.ts";
import { createUsers } from "../../agent/access/users.ts";
import type { UserEntry } from "../../agent/access/users.ts";
import { cloneGrammar } from "../../agent/wire/classic-clone.ts";
import { createFakeLog } from "./fake-log.ts";
import { createRecorder } from "./recorder.ts";
import type { Recorder } from "./recorder.ts";
import type { FakeLog } from "./fake-log.ts";

/** A service that a test holds the other end of. */
export interface EchoService extends Service {
  /** How many LATER requests were made and not answered. */
  waiting(): number;
  /** Answers the oldest LATER request with its argument. */
  answer(): void;
  readonly callers: readonly Caller[];
}

/** ECHO, LATER (answered when the test says so), BIG (so many bytes), THROW, REJECT, PUSH (a message back); a token is echoed as a call is. */
export function createEchoService(): EchoService {
  const later: (() => void)[] = [];
  const callers: Caller[] = [];
  const verbs = ["ECHO", "LATER", "BIG", "THROW", "REJECT", "PUSH", "CLONE"].map((verb) => ({ verb, usage: "", summary: "for tests" }));

  function handle({ verb, args }: Request, caller: Caller): Reply | Promise<Reply> {
    callers.push(caller);
    switch (verb) {
      case "LATER":
        return new Promise((resolve) => {
          later.push(() => {
            resolve(valueReply(textOf(args[0] ?? "")));
          });
        });
      case "BIG":
        return valueReply("x".repeat(Number(args[0])));
      case "THROW":
        throw new Error("a bug\nof two lines");
      case "REJECT":
        return Promise.reject(new Error("a bug"));
      case "PUSH":
        caller.push?.(["pushed", textOf(args[0] ?? "")]);
        return valueReply(null);
      case "CLONE.TOKEN":
        if (args[1] === "later") return handle({ verb: "LATER", args: ["later"] }, caller);
        return args[1] === "nothing" ? errorReply(new AgentError("UNKNOWN", "nothing")) : valueReply(null);
      default:
        return valueReply(args.map(textOf));
    }
  }

  return { verbs, handle, callers, waiting: () => later.length, answer: () => later.shift()?.() };
}

export interface EchoOptions {
  readonly limits?: Partial<Limits>;
  readonly clock?: Clock;
  readonly address?: string;
  readonly users?: readonly UserEntry[];
  /** Takes every peer for one that is not on this machine. */
  readonly remote?: boolean;
  readonly allowsClassic?: (peer: Peer) => boolean;
  readonly classic?: boolean;
}

export interface EchoListener extends Listener {
  readonly service: EchoService;
  readonly log: FakeLog;
  /** What was recorded of who was refused. */
  readonly audit: Recorder;
}

/** A listener on a free port in front of an echo service, closed when the test ends. */
export async function startEchoListener(t: Test, options: EchoOptions = {}): Promise<EchoListener> {
  const service = createEchoService();
  const log = createFakeLog();
  const audit = createRecorder();
  const limits = limitsSchema.parse(options.limits ?? {});
  const openConversation = createConversations({
    limits,
    node: "echo",
    version: "0.0.0",
    users: createUsers(options.users ?? []),
    guard: createGuard({ ...authOptionsSchema.parse({}), clock: options.clock ?? createSystemClock(), audit }),
    router: createRouter([service], {
      unlisted: new Map([
        ["CLONE.TOKEN", service],
        ["CLONE.CALL", service],
      ]),
    }),
    info: () => ({ server: { node: "echo" }, clients: { connected_clients: 1 } }),
    ...(options.classic === false
      ? {}
      : { classic: { grammar: cloneGrammar, allows: options.allowsClassic ?? ((peer) => peer.loopback) } }),
  });
  const listener = await startListener({
    name: "echo",
    address: parseListenAddress(options.address ?? "127.0.0.1:0"),
    limits,
    clock: options.clock ?? createSystemClock(),
    log,
    openConversation: (link) => openConversation(options.remote === true ? asRemote(link) : link),
  });
  t.teardown(() => listener.close());
  return { ...listener, service, log, audit };
}

function asRemote<Of extends { readonly peer: Peer }>(link: Of): Of {
  return Object.create(link, { peer: { value: { address: "192.0.2.1", loopback: false } } }) as Of;
}
