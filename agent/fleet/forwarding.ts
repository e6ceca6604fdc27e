import { AgentError } from "../contract/errors.ts";
import { didYouMean } from "../contract/nearest.ts";
import { errorReply, refusal } from "../contract/request.ts";
import { isPending } from "../contract/value.ts";
import type { Clock } from "../contract/clock.ts";
import type { Fleet } from "../contract/fleet.ts";
import type { ByteString, Caller, Reply, Request, Service } from "../contract/request.ts";
import type { Eventually } from "../contract/value.ts";

export interface ForwardingOptions {
  /** The device host of this node: whatever is not for another node is left to it. */
  readonly devices: Service;
  readonly fleet: Fleet;
  /** Time another node has when the request names no deadline, milliseconds. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

export interface ForwardingDevices extends Service {
  /** Functions of this node's devices that have begun and not ended. */
  readonly running: number;
}

/** What a CLONE says about where it is to be done; the device host reads the rest. */
interface Route {
  /** The name after the last NODE. */
  readonly node: ByteString;
  /** Index of the function. */
  readonly at: number;
  readonly deadlineMs: number | undefined;
  readonly priority: number | undefined;
}

/** What a node may call itself. One known by its address only is not asked by a name that it does not know. */
const NODE_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Sends `CLONE NODE other …` to that node, and `CLONE NODE ANY …` to the one the balancer picks; everything else goes to this node's devices as it is. What is
 * sent on names the node that is to do it and nothing else, so that it is not sent on again. Lease, deadline and number of the command stay as they are; the
 * priority is the caller's, and at most what it may ask for.
 */
export function createForwardingDevices({ devices, fleet, deadlineMs, clock }: ForwardingOptions): ForwardingDevices {
  let running = 0;

  function ended(): void {
    running -= 1;
  }

  function here(request: Request, caller: Caller): Eventually<Reply> {
    const reply = devices.handle(request, caller);
    if (!isPending(reply)) return reply;
    running += 1;
    reply.then(ended, ended);
    return reply;
  }

  async function toAny(request: Request, route: Route, caller: Caller): Promise<Reply> {
    const startedMs = clock.monotonicMs();
    const fn = functionOf(request.args, route.at);
    const tried = new Set<string>();
    let refused: Reply | undefined;
    for (;;) {
      const node = fn === undefined ? fleet.self : await fleet.pick(fn, tried);
      const pickedMs = clock.monotonicMs();
      if (node === undefined) return refused ?? known(await here(request, caller));
      const reply = node === fleet.self ? await here(request, caller) : await sendOn(node, request, route, caller, pickedMs - startedMs);
      if (fn !== undefined && reply.kind !== "error") fleet.learned(node, fn, clock.monotonicMs() - pickedMs);
      const isOver = clock.monotonicMs() - startedMs >= (route.deadlineMs ?? deadlineMs);
      if (isOver || fleet.refused?.(reply) !== true) return reply;
      refused = reply;
      tried.add(node);
    }
  }

  async function sendOn(node: string, request: Request, route: Route, caller: Caller, spentMs: number): Promise<Reply> {
    const refused = refusalOf(request, route, caller);
    if (refused !== undefined) return errorReply(refused);
    const limitMs = route.deadlineMs ?? deadlineMs;
    return fleet.ask(node, { verb: "CLONE", args: argsFor(node, request.args, route, caller) }, Math.max(1, limitMs - spentMs));
  }

  function clone(request: Request, caller: Caller): Eventually<Reply> {
    const route = routeOf(request.args);
    if (route === undefined || route.node === fleet.self || fleet.others.length === 0) return here(request, caller);
    if (route.node.toUpperCase() === "ANY") return toAny(request, route, caller);
    if (fleet.others.includes(route.node)) return sendOn(route.node, request, route, caller, 0);
    const guess = didYouMean(route.node, fleet.others);
    return errorReply(new AgentError("UNKNOWN", `no node ${route.node} is known here${guess}; this is ${fleet.self}`));
  }

  return {
    verbs: devices.verbs,
    handle(request, caller) {
      // Nearly every request begins with its function: nothing is read twice then, and nothing made.
      if (request.verb !== "CLONE" || request.args[0]?.includes(".") !== false) return here(request, caller);
      return clone(request, caller);
    },
    get running() {
      return running;
    },
  };
}

/** This node says best what is wrong with a name that nobody knows. */
function known(reply: Reply): Reply {
  if (reply.kind !== "error" || reply.error.code !== "UNKNOWN") return reply;
  const text = `${reply.error.message}; no other node that answers has it (NODES lists them)`;
  return errorReply(new AgentError("UNKNOWN", text, { cause: reply.error }));
}

/** Undefined when the request names no node, or is not complete: the device host answers it then. */
function routeOf(args: readonly ByteString[]): Route | undefined {
  let node: ByteString | undefined;
  let deadlineMs: number | undefined;
  let priority: number | undefined;
  let at = 0;
  for (let option = optionAt(args, at); option !== undefined; option = optionAt(args, at)) {
    const value = args[at + 1];
    if (value === undefined) return undefined;
    if (option === "NODE") node = value;
    else if (option === "DEADLINE") deadlineMs = wholeNumber(value);
    else if (option === "PRIORITY") priority = wholeNumber(value);
    at += 2;
  }
  return node === undefined ? undefined : { node, at, deadlineMs, priority };
}

function optionAt(args: readonly ByteString[], at: number): string | undefined {
  const word = args[at]?.toUpperCase();
  return word === "NODE" || word === "LEASE" || word === "DEADLINE" || word === "PRIORITY" || word === "SEQ" || word === "TOKEN"
    ? word
    : undefined;
}

/** Undefined for what is none: whoever does it answers that. */
function wholeNumber(text: ByteString): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** `lamp.on`, also when it came as two words. */
function functionOf(args: readonly ByteString[], at: number): string | undefined {
  const word = args[at];
  const second = args[at + 1];
  return word === undefined || word.includes(".") || second === undefined ? word : `${word}.${second}`;
}

/** Asked here, since the other node knows this one only. */
function refusalOf(request: Request, route: Route, caller: Caller): AgentError | undefined {
  const highest = caller.maxPriority ?? caller.priority;
  if (route.priority !== undefined && route.priority > highest) {
    return new AgentError("DENIED", `priority ${route.priority} is above ${highest}, the highest ${caller.name} may ask for`);
  }
  const fn = functionOf(request.args, route.at);
  return fn === undefined ? undefined : refusal(caller, "function", fn);
}

/** The request as the node gets it: its own name instead of ANY, and the caller's priority where it asked for none. */
function argsFor(node: string, args: readonly ByteString[], route: Route, caller: Caller): ByteString[] {
  const sent: ByteString[] = NODE_NAME.test(node) ? ["NODE", node] : [];
  if (route.priority === undefined) sent.push("PRIORITY", String(caller.priority));
  for (let at = 0; at < route.at; at += 2) {
    if (optionAt(args, at) !== "NODE") sent.push(args[at] as ByteString, args[at + 1] as ByteString);
  }
  return sent.concat(args.slice(route.at));
}
