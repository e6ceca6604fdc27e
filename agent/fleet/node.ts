import { AgentError, toAgentError } from "../contract/errors.ts";
import { errorReply } from "../contract/request.ts";
import { abilitiesOf, type Abilities } from "./abilities.ts";
import { createBackOff } from "../contract/back-off.ts";
import { createLanes } from "./lanes.ts";
import { infoSection } from "./load.ts";
import { targetText, type Target } from "./target.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Reply, Request } from "../contract/request.ts";
import type { TlsMaterial, Word } from "./connection.ts";
import type { FleetOptions } from "./options.ts";

export interface RemoteNodeOptions {
  readonly name: string;
  readonly target: Target;
  /** Whether it must call itself `name`; one known by its address only may call itself anything. */
  readonly named: boolean;
  readonly tls: (() => Promise<TlsMaterial>) | undefined;
  readonly user: string | undefined;
  readonly token: () => Promise<string | undefined>;
  readonly options: FleetOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/** `unknown`: nothing was asked yet. */
export type Health = "unknown" | "up" | "down";

/** What is known of a node; `NODES` and INFO show it. */
export interface NodeState {
  readonly health: Health;
  /** Why it is down. */
  readonly reason: string | undefined;
  /** What it published, and what we sent there and is not answered. */
  readonly load: number;
  readonly asked: number;
  readonly failed: number;
  readonly inFlight: number;
}

/** Another node, as this one sees it. */
export interface RemoteNode {
  readonly name: string;
  readonly address: string;
  readonly abilities: Abilities | undefined;
  /** Never rejects. */
  ask(request: Request, deadlineMs: number): Promise<Reply>;
  /** Asks for load and devices unless what is known is newer than `refreshMs`, or the node is down and its back-off not over. Never rejects. */
  refresh(): Promise<void>;
  /** The same, whatever is known already. */
  probe(): Promise<void>;
  state(): NodeState;
  close(): void;
}

export function createRemoteNode(setup: RemoteNodeOptions): RemoteNode {
  const { name, target, options, clock, log, tls, user, token, random } = setup;
  const address = targetText(target);
  const connection = {
    ...{ targets: [target], clock, tls, user, token, random, idleMs: options.idleMs },
    ...{ connectMs: options.deadlineMs, maxWaiting: options.maxWaiting, expectNode: setup.named ? name : undefined },
  };
  const lanes = createLanes({ ...connection, connections: options.connections });
  // Whether a node lives must not wait behind what it does.
  const watch = createLanes({ ...connection, connections: 1 });
  const backOff = createBackOff({ minMs: options.backOffMs, maxMs: options.maxBackOffMs }, random);
  let health: Health = "unknown";
  let reason: string | undefined;
  let abilities: Abilities | undefined;
  let publishedLoad = 0;
  let freshUntilMs = -Infinity;
  let refreshing: Promise<void> | undefined;
  let asked = 0;
  let failed = 0;

  function up(): void {
    if (health === "down") log.info({ node: name, address }, "a node is up again");
    health = "up";
    reason = undefined;
    backOff.reset();
  }

  function down(error: AgentError): void {
    if (health !== "down") log.warn({ node: name, address, err: error }, "a node is down");
    health = "down";
    reason = error.message;
    // Until then nobody asks unless somebody names it.
    freshUntilMs = clock.monotonicMs() + backOff.next();
  }

  /** What became of the connection, not of the request. */
  function failure(thrown: unknown, deadlineMs: number): AgentError {
    const error = toAgentError(thrown);
    failed += 1;
    if (error.code !== "TIMEOUT") {
      if (error.code !== "FULL") down(error);
      return new AgentError(error.code, `node ${name}: ${error.message}`, { cause: error });
    }
    // Slow, or dead? That is found out where nobody waits.
    void probe();
    return new AgentError("TIMEOUT", `node ${name} has not answered within ${deadlineMs} ms; it may still happen`, { cause: error });
  }

  async function lookAround(): Promise<void> {
    try {
      const [info, devices] = await Promise.all([
        watch.call("", "INFO", ["load"], options.deadlineMs),
        watch.call("", "DEVICES", [], options.deadlineMs),
      ]);
      // What we sent there is part of what it publishes, and is counted by us from here on.
      if (info.kind === "value" && typeof info.value === "string") publishedLoad = Math.max(0, loadIn(info.value) - lanes.inFlight);
      if (devices.kind === "value") abilities = abilitiesOf(devices.value);
      up();
      freshUntilMs = clock.monotonicMs() + options.refreshMs;
    } catch (thrown) {
      down(toAgentError(thrown));
    }
  }

  function probe(): Promise<void> {
    refreshing ??= lookAround().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  return {
    name,
    address,
    get abilities() {
      return abilities;
    },
    async ask(request, deadlineMs) {
      asked += 1;
      try {
        const reply = await lanes.call(keyOf(request), request.verb, request.args.map(wordOf), deadlineMs);
        if (health !== "up") up();
        return reply;
      } catch (thrown) {
        return errorReply(failure(thrown, deadlineMs));
      }
    },
    refresh: () => refreshing ?? (clock.monotonicMs() < freshUntilMs ? Promise.resolve() : probe()),
    probe,
    state: () => ({
      health,
      reason,
      load: publishedLoad + lanes.inFlight,
      asked,
      failed,
      inFlight: lanes.inFlight,
    }),
    close() {
      lanes.close();
      watch.close();
    },
  };
}

function loadIn(info: string): number {
  const load = Number(infoSection(info, "load").get("load"));
  return Number.isFinite(load) && load > 0 ? load : 0;
}

/**
 * What must keep its order: the device of a CLONE, else whatever the request is about. A device that takes its time then holds up itself and
 * what happens to share its connection, not every device of the node.
 */
function keyOf({ verb, args }: Request): string {
  if (verb !== "CLONE") return args[0] ?? "";
  let at = 0;
  while (CLONE_OPTIONS.has(args[at]?.toUpperCase() ?? "")) at += 2;
  const fn = args[at] ?? "";
  const dot = fn.indexOf(".");
  return dot < 0 ? fn : fn.slice(0, dot);
}

const CLONE_OPTIONS: ReadonlySet<string> = new Set(["NODE", "LEASE", "DEADLINE", "PRIORITY", "SEQ", "TOKEN"]);

/** A byte string is text as long as it is ASCII. */
function wordOf(arg: string): Word {
  for (let i = 0; i < arg.length; i++) {
    if (arg.charCodeAt(i) > 0x7f) return Buffer.from(arg, "latin1");
  }
  return arg;
}
