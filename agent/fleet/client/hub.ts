import { AgentError, toAgentError } from "../../contract/errors.ts";
import { createBackOff, type BackOff, type BackOffOptions } from "../../contract/back-off.ts";
import { createLink, type Answered, type Link, type LinkOptions } from "../link.ts";
import { createPrg, type Prg } from "../prg.ts";
import type { Cancel } from "../../contract/clock.ts";
import type { Value } from "../../contract/value.ts";
import type { AgentConnection, Word } from "../connection.ts";

/** Which node is asked, and how long one waits. */
export interface Asked {
  /** The node that has what it is about; when absent, or not among the addresses, the one the client is connected to. */
  readonly node?: string | undefined;
  /** Each of the addresses as likely as the others, where the client balances; counts only without `node`. */
  readonly anywhere?: boolean;
  /** The agent may wait this long before it answers, milliseconds: nothing else must wait behind that. */
  readonly waitMs?: number | undefined;
  readonly deadlineMs?: number | undefined;
}

export interface Answer {
  readonly value: Value;
  /** Who answered. */
  readonly node: string;
}

/** What is subscribed to: told again, from the beginning, after every interruption. */
export interface Subscription {
  readonly verb: string;
  readonly args: readonly Word[];
  onPush(message: readonly Value[]): void;
  /** Asked for on every new connection after the subscription holds: what was missed. */
  onEstablished?(connection: AgentConnection): Promise<void>;
  onInterrupted?: ((reason: AgentError) => void) | undefined;
}

/** The connections of one client: to where it is at home, to single nodes, to wait on, and to be pushed to. */
export interface Hub {
  /** Rejects with the error that the agent answered, else as `Link.call`. */
  ask(verb: string, args: readonly Word[], asked?: Asked): Promise<Answer>;
  /** Resolves when the subscription holds for the first time. */
  subscribe(subscription: Subscription): Promise<Cancel>;
  close(): void;
}

interface Closable {
  close(): void;
}

export interface HubOptions {
  readonly link: LinkOptions;
  readonly deadlineMs: number;
  /** Draws an address for what can be done anywhere; the same seed makes the same draws. Without it, nothing is drawn. */
  readonly seed: number | undefined;
}

/** Idle connections kept for the next one who waits. */
const MAX_IDLE = 2;

/** How soon an address that did not answer is drawn again, where the client itself does not try again. */
const DOWN: BackOffOptions = { minMs: 100, maxMs: 5000 };

/** Index of the link to whichever address answers. */
const HOME = -1;

export function createHub({ link: base, deadlineMs, seed }: HubOptions): Hub {
  const prg = seed === undefined ? undefined : createPrg(seed);
  /** By index of the address. */
  const links = new Map<number, Link>();
  const idle = new Map<number, Link[]>();
  const open = new Set<Closable>();
  /** Where the nodes are, as far as they have said their names. */
  const places = new Map<string, number>();
  /** Addresses that did not answer when they were drawn, until they are tried again. */
  const down = new Map<number, { readonly backOff: BackOff; readonly untilMs: number }>();
  let closed = false;

  function create(index: number): Link {
    const single = base.targets[index];
    const link = createLink({ ...base, targets: single === undefined ? base.targets : [single], onConnected: (to) => learn(index, to) });
    open.add(link);
    return link;
  }

  function learn(index: number, { node }: AgentConnection): void {
    if (index !== HOME && node !== "") places.set(node, index);
  }

  function linkTo(index: number): Link {
    const known = links.get(index) ?? create(index);
    links.set(index, known);
    return known;
  }

  /** One node, one connection, so that what is asked in order is done in order. */
  function indexOf(node: string): number | undefined {
    if (base.targets.length === 1 || linkTo(HOME).node === node) return HOME;
    return places.get(node);
  }

  /**
   * Asks those for their names who have not said them. One that is not among the addresses is left to where the client is at home; when some address does not
   * answer, it may be that one.
   */
  async function find(node: string, limitMs: number): Promise<number> {
    const unheard = base.targets.map((_, index) => index).filter((index) => ![...places.values()].includes(index));
    const failures: AgentError[] = [];
    await new Promise<void>((resolve) => {
      let left = unheard.length;
      if (left === 0) resolve();
      const heard = (): void => {
        left -= 1;
        if (left === 0 || places.has(node)) resolve();
      };
      for (const index of unheard) {
        linkTo(index)
          .ready(limitMs, "once")
          .catch((thrown: unknown) => failures.push(toAgentError(thrown)))
          .then(heard, heard);
      }
    });
    const index = indexOf(node);
    const [failure] = failures;
    if (index === undefined && failure !== undefined) throw failure;
    return index ?? HOME;
  }

  /** The drawn address, and the others in turn when it does not answer; nothing is sent until one does. */
  async function drawn(random: Prg, limitMs: number): Promise<Link> {
    const first = random.below(base.targets.length);
    const order = base.targets.map((_, i) => (first + i) % base.targets.length);
    const nowMs = base.clock.monotonicMs();
    const up = order.filter((index) => (down.get(index)?.untilMs ?? 0) <= nowMs);
    for (const index of up) if (await reached(index, limitMs)) return linkTo(index);
    // None answers: the one that was meant is waited for.
    return linkTo(first);
  }

  async function reached(index: number, limitMs: number): Promise<boolean> {
    try {
      await linkTo(index).ready(limitMs, "once");
      down.delete(index);
      return true;
    } catch (thrown) {
      // The next is asked instead; a refusal is the same everywhere.
      if (toAgentError(thrown).code === "DENIED") throw thrown;
      const backOff = down.get(index)?.backOff ?? createBackOff(base.retry ?? DOWN, base.random);
      down.set(index, { backOff, untilMs: base.clock.monotonicMs() + backOff.next() });
      return false;
    }
  }

  async function route(asked: Asked, limitMs: number): Promise<Link> {
    if (asked.node !== undefined) return linkTo(await find(asked.node, limitMs));
    return prg === undefined ? linkTo(HOME) : drawn(prg, limitMs);
  }

  /** The way without a turn in between, which keeps the order of what is asked. */
  function directRoute(asked: Asked): Link | undefined {
    if (asked.node === undefined) return prg === undefined || asked.anywhere !== true ? linkTo(HOME) : undefined;
    const index = indexOf(asked.node);
    return index === undefined ? undefined : linkTo(index);
  }

  async function askPromptly(verb: string, args: readonly Word[], asked: Asked, limitMs: number): Promise<Answered> {
    const direct = directRoute(asked);
    if (direct !== undefined) return direct.ask(verb, args, limitMs);
    const startedMs = base.clock.monotonicMs();
    const link = await route(asked, limitMs);
    return link.ask(verb, args, Math.max(1, Math.ceil(limitMs - (base.clock.monotonicMs() - startedMs))));
  }

  /** Over a connection that nobody else uses meanwhile. */
  async function askPatiently(verb: string, args: readonly Word[], asked: Asked, limitMs: number): Promise<Answered> {
    const index = asked.node === undefined ? HOME : (indexOf(asked.node) ?? (await find(asked.node, limitMs)));
    const kept = idle.get(index) ?? [];
    idle.set(index, kept);
    const link = kept.pop() ?? create(index);
    try {
      return await link.ask(verb, args, limitMs + (asked.waitMs ?? 0));
    } finally {
      if (kept.length < MAX_IDLE && !closed) kept.push(link);
      else drop(link);
    }
  }

  function drop(link: Link): void {
    open.delete(link);
    link.close();
  }

  return {
    async ask(verb, args, asked = {}) {
      if (closed) throw closedError();
      const limitMs = asked.deadlineMs ?? deadlineMs;
      try {
        const patient = (asked.waitMs ?? 0) > 0;
        return answerOf(await (patient ? askPatiently(verb, args, asked, limitMs) : askPromptly(verb, args, asked, limitMs)));
      } catch (thrown) {
        throw named(asked.node, toAgentError(thrown));
      }
    },
    subscribe: (subscription) => {
      if (closed) return Promise.reject(closedError());
      return establish(subscription, base, deadlineMs, open);
    },
    close() {
      closed = true;
      for (const one of [...open]) one.close();
      open.clear();
    },
  };
}

function closedError(): AgentError {
  return new AgentError("IO", "the client is closed");
}

/** Whose connection failed; what the agent itself answered says enough. */
function named(node: string | undefined, error: AgentError): AgentError {
  if (node === undefined || (error.code !== "IO" && error.code !== "TIMEOUT")) return error;
  return new AgentError(error.code, `node ${node}: ${error.message}`, { cause: error });
}

function answerOf({ reply, node }: Answered): Answer {
  if (reply.kind === "error") throw reply.error;
  return { value: reply.kind === "value" ? reply.value : reply.text, node };
}

/** A connection of its own: whatever else is asked, pushes come, and ending it ends them. */
function establish(subscription: Subscription, base: LinkOptions, deadlineMs: number, open: Set<Closable>): Promise<Cancel> {
  const { verb, args } = subscription;
  return new Promise((resolve, reject) => {
    let holds = false;
    const link = createLink({
      ...base,
      persistent: base.retry !== undefined,
      onConnected: (connection) => void begin(connection),
      onDown: interrupted,
    });
    const closable = { close: () => fail(closedError()) };
    open.add(closable);

    async function begin(connection: AgentConnection): Promise<void> {
      connection.onPush((message) => subscription.onPush(message));
      try {
        const reply = await connection.call(verb, args, deadlineMs);
        if (reply.kind === "error") throw reply.error;
        await subscription.onEstablished?.(connection);
        holds = true;
        cancelDeadline();
        resolve(cancel);
      } catch (thrown) {
        const error = toAgentError(thrown);
        // When the connection ended, that is told by itself.
        if (error.code !== "IO") interrupted(error);
        connection.close();
      }
    }

    /** Before it held once, it is a failure unless it may come by itself; afterwards it does. */
    function interrupted(reason: AgentError): void {
      if (holds) subscription.onInterrupted?.(reason);
      else if (base.retry === undefined || reason.code !== "IO") fail(reason);
    }

    function fail(reason: AgentError): void {
      cancel();
      reject(reason);
    }

    function cancel(): void {
      cancelDeadline();
      open.delete(closable);
      link.close();
    }

    // Says why it cannot be reached; before the other, which only knows that it took too long.
    link.ready(deadlineMs).catch((thrown: unknown) => fail(toAgentError(thrown)));
    const cancelDeadline = base.clock.after(deadlineMs, () =>
      fail(new AgentError("TIMEOUT", `the subscription does not hold after ${deadlineMs} ms`)),
    );
  });
}
