import type { Duplex } from "node:stream";

import { AgentError } from "../contract/errors.ts";
import {
  errorReply,
  valueReply,
  type Caller,
  type Figures,
  type Reply,
  type Request,
  type Service,
  type VerbDoc,
} from "../contract/request.ts";
import { isPending } from "../contract/value.ts";
import { createArrivals, type Arrivals } from "./arrivals.ts";
import { createCallerNumbers } from "./callers.ts";
import { createEventIntake, type EventIntake } from "./events.ts";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";
import { messageOf } from "./messages.ts";
import { createFrontMirror } from "./mirror.ts";
import { openLine, type Beat, type Line } from "./remote-line.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { MirroredVariables } from "../contract/variable.ts";

export type { Beat } from "./remote-line.ts";

export interface RemoteHostOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Where the device host's events are recorded again. */
  readonly journal: Journal;
  /** Sent to the device host as they change; what devices publish is stored here. */
  readonly variables: MirroredVariables;
  readonly limits?: LinkLimits;
  /** What the device host answers, until it says so itself. */
  readonly verbs?: readonly VerbDoc[];
  /**
   * Called when the device host is about to open its devices: gives back the ports that are held here, and resolves with what that process shall know of
   * them, as JSON. Must not reject. Without it nothing is held, and nothing known.
   */
  readonly handOver?: () => Promise<string>;
}

/** The devices of a node, in another process. `Status` is what that process says of itself, as JSON has it. */
export interface RemoteHost<Status> extends Service {
  /**
   * Speaks to a device host over `stream`, with `start` for it to begin with. Resolves when it is ready. Rejects with its own error when it could not start,
   * with IO when the stream ends before, and NOT_READY when another one is attached.
   */
  attach(stream: Duplex, start: string): Promise<void>;
  /** Ends the stream, if there is one. Until the next `attach`, calls are answered NOT_READY with `why`. */
  detach(why: string): void;
  /** What it said last; also after it has ended, until another one is ready. */
  status(): Status | undefined;
  readonly ready: boolean;
  onStatus(listener: (status: Status) => void): Cancel;
  onBeat(listener: (beat: Beat) => void): Cancel;
  /** What it is about to load or open, in case that ends it; undefined when it has. */
  onDoing(listener: (doing: string | undefined) => void): Cancel;
  /** The stream has ended, and whose fault that was is not known here. Not called after `detach`. */
  onEnded(listener: (error: AgentError) => void): Cancel;
  figures(): Figures;
  close(): void;
}

/** Part of the age that orders may have: a standstill of the front longer than this is noticed. */
const STALL_PARTS = 2;

interface Attached {
  readonly line: Line;
  readonly intake: EventIntake;
  ready: boolean;
}

/**
 * A Service whose devices are elsewhere. What is called reaches the device host in the order in which it was called, ESTOP first; replies come as they are
 * ready. Bounded: when the device host does not keep up, calls are answered FULL, and of variables only the latest values wait.
 */
export function createRemoteHost<Status extends object>(options: RemoteHostOptions): RemoteHost<Status> {
  const { clock, log, journal, variables, limits = LINK_LIMITS } = options;
  let verbs = options.verbs ?? [];
  let attached: Attached | undefined;
  let arrivals: Arrivals | undefined;
  let why = "it was not started";
  let status: Status | undefined;
  let calls = 0;
  const listeners = {
    status: new Set<(status: Status) => void>(),
    beat: new Set<(beat: Beat) => void>(),
    doing: new Set<(doing: string | undefined) => void>(),
    ended: new Set<(error: AgentError) => void>(),
  };
  const callers = createCallerNumbers({ tell: (message) => attached?.line.tell(message) });
  const mirror = createFrontMirror({ variables, clock, log, onWaiting: () => attached?.line.flushLater() }, () =>
    arrivals === undefined ? clock.monotonicMs() : arrivals.nowMs(),
  );

  function takeStatus(text: string): void {
    const latest = JSON.parse(text) as Status;
    status = latest;
    for (const listener of listeners.status) listener(latest);
  }

  function open(stream: Duplex, onReady: () => void, onFailed: (error: AgentError) => void): Attached {
    arrivals = createArrivals(clock, limits.maxOrderAgeMs / STALL_PARTS);
    const looking = arrivals;
    const intake = createEventIntake(journal);
    const line = openLine({
      stream,
      limits,
      arrivals,
      callers,
      mirror,
      intake,
      events: {
        ready(text, told) {
          verbs = told;
          opened.ready = true;
          takeStatus(text);
          onReady();
        },
        failed(error) {
          why = error.message;
          onFailed(error);
        },
        status: takeStatus,
        doing(text) {
          for (const listener of listeners.doing) listener(text === "" ? undefined : text);
        },
        ports() {
          const handedOver = options.handOver?.() ?? Promise.resolve("{}");
          void handedOver.then((text) => line.tell(messageOf("PORTS", [text])));
        },
        beat(beat) {
          for (const listener of listeners.beat) listener(beat);
        },
        ended(error) {
          looking.close();
          mirror.expire();
          onFailed(error);
          if (attached !== opened) return;
          attached = undefined;
          why = error.message;
          for (const listener of listeners.ended) listener(error);
        },
      },
    });
    const opened: Attached = { line, intake, ready: false };
    return opened;
  }

  function detach(reason: string): void {
    const left = attached;
    attached = undefined;
    why = reason;
    left?.line.end(new AgentError("NOT_READY", reason));
  }

  function notReady(): Reply {
    const text = attached === undefined ? `the device host is down: ${why}` : "the device host is starting; ask again in a moment";
    return errorReply(new AgentError("NOT_READY", text));
  }

  function handle(request: Request, caller: Caller): Reply | Promise<Reply> {
    const to = attached;
    if (to?.ready !== true) return notReady();
    calls += 1;
    if (request.verb === "CLONE") return to.line.call(request, caller);
    if (request.verb === "ESTOP" && request.args.length === 0) return to.line.stopAll(request, caller);
    const reply = to.line.call(request, caller);
    if (request.verb !== "DESCRIBE" || !isPending(reply)) return reply;
    return reply.then((answer) => (answer.kind === "value" ? valueReply(to.intake.translate(answer.value)) : answer));
  }

  return {
    get verbs() {
      return verbs;
    },
    handle,
    attach(stream, start) {
      detach("another device host takes its place");
      return new Promise((resolve, reject) => {
        callers.restart();
        attached = open(stream, resolve, reject);
        mirror.restart();
        attached.line.tell(messageOf("START", [start]));
      });
    },
    detach,
    status: () => status,
    get ready() {
      return attached?.ready === true;
    },
    onStatus: (listener) => listen(listeners.status, listener),
    onBeat: (listener) => listen(listeners.beat, listener),
    onDoing: (listener) => listen(listeners.doing, listener),
    onEnded: (listener) => listen(listeners.ended, listener),
    figures: () => ({ calls, open_calls: attached?.line.openCalls ?? 0, callers: callers.count }),
    close() {
      detach("the agent is stopping");
      mirror.close();
    },
  };
}

function listen<Listener>(listeners: Set<Listener>, listener: Listener): Cancel {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
