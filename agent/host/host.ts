import { AgentError, toAgentError } from "../contract/errors.ts";
import { didYouMean } from "../contract/nearest.ts";
import {
  errorReply,
  refusal,
  valueReply,
  type ByteString,
  type Caller,
  type Reply,
  type Request,
  type Service,
} from "../contract/request.ts";
import { isPending, type Eventually, type Value } from "../contract/value.ts";
import { parseCloneOptions, type CloneOptions } from "./clone-options.ts";
import { describe, summaryOf, type View } from "./describe.ts";
import { createModuleVerbs } from "./module-verbs.ts";
import { DEVICE_VERBS, HOST_VERBS } from "./verb-docs.ts";
import { createModuleTable, type ModulesOptions } from "./modules.ts";
import { createRegistry, type Entry, type RegistryOptions, type Target } from "./registry.ts";
import { createSupervisor } from "./supervisor.ts";
import type { ZodType } from "zod";
import type { Board } from "../contract/board.ts";
import type { Cancel, Clock } from "../contract/clock.ts";
import type { DeviceFunction, DeviceSpec } from "../contract/device.ts";
import type { Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { Variables } from "../contract/variable.ts";
import type { PendingSpec } from "./pending.ts";
import type { Order } from "./supervisor-slot.ts";

export interface HostOptions {
  /** The node's name, for `CLONE NODE`. */
  readonly node: string;
  readonly specs: readonly DeviceSpec[];
  readonly board: Board;
  readonly clock: Clock;
  readonly variables: Variables;
  readonly journal: Journal;
  readonly log: Log;
  /** Devices of modules that are loaded at run time. */
  readonly pending?: readonly PendingSpec[] | undefined;
  /** The modules to begin with, and where others may come from. Without it there are no verbs about modules. */
  readonly modules?: ModulesOptions | undefined;
  readonly openDevice?: RegistryOptions["openDevice"];
  readonly onDoing?: RegistryOptions["onDoing"];
  readonly quarantine?: RegistryOptions["quarantine"];
  readonly openMs?: RegistryOptions["openMs"];
  /** Who had latched the e-stop when an earlier process of this host ended: it is latched still. */
  readonly eStoppedBy?: string | undefined;
  readonly afterDeath?: RegistryOptions["afterDeath"];
  /** Awaited when the modules are loaded and nothing is opened yet. */
  readonly beforeOpening?: (() => Promise<void>) | undefined;
}

/** Devices, their supervisor and their functions. Reached from outside only as a Service. */
export interface Host extends Service {
  entries(): readonly Entry[];
  /** Who latched the e-stop. */
  readonly eStoppedBy: string | undefined;
  /** Where the modules come from that are loaded, but for the agent's own. */
  moduleSources(): readonly string[];
  /** The lease of a command that asks for none, milliseconds; 0 for a device that never was opened. */
  leaseMsOf(id: string): number;
  /** Whether the function, `lamp.state`, only reads. */
  reads(callName: string): boolean;
  /** See `Supervisor.loseFront`. */
  loseFront(reason: string): void;
  /** Every device to its exit state, then closed. */
  stop(): Promise<void>;
}

/** How a call was asked for. */
interface Terms {
  readonly priority: number;
  readonly leaseMs?: number | undefined;
  readonly seq?: number | undefined;
  readonly token?: string | undefined;
}

/** What RESET of a device is called in permits. */
function resetOf(id: string): string {
  return `${id}.reset`;
}

/** A description with only those functions that the caller may use. */
function withUsable(description: Record<string, Value>, { permits }: Caller): Record<string, Value> {
  if (permits === undefined) return description;
  const functions = description["functions"] as readonly { readonly name: string }[];
  return { ...description, functions: functions.filter(({ name }) => permits.allows("function", name)) };
}

/** Loads the modules and opens the devices. */
export async function openHost(options: HostOptions): Promise<Host> {
  const { node, clock, variables, journal, log, onDoing, quarantine } = options;
  const supervisor = createSupervisor({ clock, journal, log });
  if (options.eStoppedBy !== undefined) supervisor.startEStopped(options.eStoppedBy);
  const table = options.modules === undefined ? undefined : createModuleTable({ ...options.modules, clock, log, onDoing, quarantine });
  const registry = createRegistry({ ...options, supervisor, ...(table !== undefined && { drivers: table }) });
  const modules = table === undefined ? undefined : createModuleVerbs({ table, registry, journal, mustMay });
  await table?.loadAll();
  await options.beforeOpening?.();
  await registry.openAll();
  const secrets = new Map<DeviceFunction, readonly boolean[]>();
  const view: View = { clock, journal, variables, eStopped: () => supervisor.eStoppedBy !== undefined };

  function clone(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    const first = args[0];
    if (first === undefined) throw new AgentError("ARGUMENT", "CLONE needs a function, for example CLONE lamp.on; DEVICES lists them");
    const direct = registry.target(first);
    if (direct !== undefined) return call(direct, args, 1, caller, { priority: caller.priority });
    const options = parseCloneOptions(args);
    if (options.node !== undefined && options.node !== node && options.node.toUpperCase() !== "ANY") {
      throw new AgentError("UNKNOWN", `no node ${options.node} is known here; this is ${node}`);
    }
    const terms = { ...options, priority: priorityOf(options, caller) };
    const { target, from } = targetAt(args, options.at, caller);
    const reply = call(target, args, from, caller, terms);
    if (options.deadlineMs === undefined || !isPending(reply)) return reply;
    return within(options.deadlineMs, args[options.at] ?? "", reply);
  }

  function call(target: Target, words: readonly ByteString[], from: number, caller: Caller, terms: Terms): Eventually<Reply> {
    if (caller.permits !== undefined) mustMay(caller, `${target.slot.id}.${target.name}`);
    const args = target.bind(words, from);
    if (target.fn.effect === "read") return supervisor.read(target.slot, target.fn, args);
    const name = words.length > from ? `${target.name}(${shown(target.fn, words.slice(from)).join(",")})` : target.name;
    return supervisor.actuate(target.slot, name, target.fn, args, orderOf(caller, terms));
  }

  function orderOf(caller: Caller, { priority, leaseMs, seq, token }: Terms): Order {
    return { caller: caller.name, priority, leaseMs, seq, token, cause: caller.cause ?? 0 };
  }

  function priorityOf(options: CloneOptions, caller: Caller): number {
    const priority = options.priority ?? caller.priority;
    const highest = caller.maxPriority ?? caller.priority;
    if (priority <= highest) return priority;
    throw new AgentError("DENIED", `priority ${priority} is above ${highest}, the highest ${caller.name} may ask for`);
  }

  /** `CLAIM [LEASE ms] [PRIORITY n] device`: for orders that come from far away, and may come late. */
  function claim(args: readonly ByteString[], caller: Caller): Reply {
    const options = parseCloneOptions(args);
    const priority = priorityOf(options, caller);
    const { spec, slot } = needEntry(args.slice(options.at), "CLAIM", caller);
    if (slot !== undefined) return supervisor.claim(slot, orderOf(caller, { priority, leaseMs: options.leaseMs }));
    throw new AgentError("NOT_READY", `${spec.id} is not open; DEVICES says why`);
  }

  /** What the journal, the audit log and errors may show of the arguments: everything but parameters with `.meta({ secret: true })`. */
  function shown(fn: DeviceFunction, words: readonly ByteString[]): readonly ByteString[] {
    let secret = secrets.get(fn);
    if (secret === undefined) {
      secret = Object.values(fn.params.shape).map((param) => (param as ZodType).meta()?.["secret"] === true);
      secrets.set(fn, secret);
    }
    return secret.includes(true) ? words.map((word, i) => (secret[i] === true ? "***" : word)) : words;
  }

  /** `device.function`, or the two as separate words: `lights on`. */
  function targetAt(args: readonly ByteString[], at: number, caller: Caller): { target: Target; from: number } {
    const word = args[at];
    if (word === undefined) throw new AgentError("ARGUMENT", "CLONE needs a function after its options, for example lamp.on");
    const joined = registry.target(word);
    if (joined !== undefined) return { target: joined, from: at + 1 };
    const second = args[at + 1];
    const split = second === undefined ? undefined : registry.target(`${word}.${second}`);
    if (split !== undefined) return { target: split, from: at + 2 };
    throw unknownFunction(word, caller);
  }

  /** Whoever may not use a function is not told whether there is one. */
  function unknownFunction(word: string, caller: Caller): AgentError {
    const dot = word.indexOf(".");
    const denied = refusal(caller, "function", dot < 0 ? `${word}.` : word);
    if (denied !== undefined) return denied;
    const entry = registry.entry(dot < 0 ? word : word.slice(0, dot));
    if (entry !== undefined && entry.outcome !== "opened") {
      return new AgentError(
        "NOT_READY",
        `${entry.spec.id} was ${entry.outcome}: ${entry.reason ?? ""}; RESET ${entry.spec.id} tries again`,
      );
    }
    return new AgentError("UNKNOWN", `no function ${word}${didYouMean(word, usable(caller))}; DEVICES lists them`);
  }

  /** The functions that the caller may use. */
  function usable({ permits }: Caller): Iterable<string> {
    return permits === undefined ? registry.callNames() : [...registry.callNames()].filter((name) => permits.allows("function", name));
  }

  function mustMay(caller: Caller, name: string): void {
    const denied = refusal(caller, "function", name);
    if (denied !== undefined) throw denied;
  }

  /** Whoever may use one of a device's functions, or reset it, sees the device. */
  function sees({ permits }: Caller, { spec, slot }: Entry): boolean {
    if (permits === undefined || permits.allows("function", resetOf(spec.id))) return true;
    return Object.keys(slot?.device.functions ?? {}).some((name) => permits.allows("function", `${spec.id}.${name}`));
  }

  function within(deadlineMs: number, name: string, reply: Promise<Reply>): Promise<Reply> {
    let cancel: Cancel | undefined;
    const late = new Promise<Reply>((resolve) => {
      cancel = clock.after(deadlineMs, () => {
        resolve(errorReply(new AgentError("TIMEOUT", `${name}: no answer within the deadline of ${deadlineMs} ms; it may still happen`)));
      });
    });
    return Promise.race([reply, late]).finally(() => cancel?.());
  }

  function needEntry(args: readonly ByteString[], verb: string, caller: Caller): Entry {
    const id = args[0];
    if (id === undefined || args.length > 1) throw new AgentError("ARGUMENT", `${verb} takes one device`);
    const entry = registry.entry(id);
    if (entry !== undefined && sees(caller, entry)) return entry;
    const ids = visible(caller).map(({ spec }) => spec.id);
    const denied = refusal(caller, "function", resetOf(id));
    if (denied !== undefined) throw denied;
    throw new AgentError("UNKNOWN", `no device ${id}${didYouMean(id, ids)}; DEVICES lists them`);
  }

  function visible(caller: Caller): readonly Entry[] {
    return registry.entries().filter((entry) => sees(caller, entry));
  }

  async function reset(entry: Entry, caller: Caller): Promise<Reply> {
    mustMay(caller, resetOf(entry.spec.id));
    if (entry.slot !== undefined) return supervisor.reset(entry.slot, caller.name);
    const reopened = await registry.reopen(entry.spec.id);
    if (reopened.outcome === "opened") return { kind: "status", text: "OK" };
    return errorReply(new AgentError("NOT_READY", `${entry.spec.id} was ${reopened.outcome}: ${reopened.reason ?? ""}`));
  }

  function eStop(args: readonly ByteString[], caller: Caller): Eventually<Reply> {
    if (args.length === 0) return supervisor.eStop(caller.name);
    if (args.length === 1 && args[0]?.toUpperCase() === "RESET") {
      mustMay(caller, "estop.reset");
      return supervisor.clearEStop(caller.name);
    }
    throw new AgentError("ARGUMENT", `ESTOP takes nothing or RESET, not ${args.join(" ")}`);
  }

  function dispatch(request: Request, caller: Caller): Eventually<Reply> {
    switch (request.verb) {
      case "CLONE":
        return clone(request.args, caller);
      case "CLAIM":
        return claim(request.args, caller);
      case "DEVICES":
        return valueReply(visible(caller).map((entry) => withUsable(summaryOf(entry, view), caller)));
      case "DESCRIBE":
        return valueReply(withUsable(describe(needEntry(request.args, "DESCRIBE", caller), view), caller));
      case "RESET":
        return reset(needEntry(request.args, "RESET", caller), caller);
      case "ESTOP":
        return eStop(request.args, caller);
      default: {
        const reply = modules?.handle(request, caller);
        if (reply !== undefined) return reply;
        throw new AgentError("UNKNOWN", `the device host has no verb ${request.verb}`);
      }
    }
  }

  return {
    verbs: modules === undefined ? DEVICE_VERBS : HOST_VERBS,
    handle(request, caller) {
      try {
        const reply = dispatch(request, caller);
        return isPending(reply) ? reply.catch((error: unknown) => errorReply(toAgentError(error))) : reply;
      } catch (error) {
        return errorReply(toAgentError(error));
      }
    },
    entries: () => registry.entries(),
    get eStoppedBy() {
      return supervisor.eStoppedBy;
    },
    moduleSources: () => table?.sources() ?? [],
    reads: (callName) => registry.target(callName)?.fn.effect === "read",
    leaseMsOf(id) {
      const slot = registry.entry(id)?.slot;
      return slot === undefined ? 0 : (slot.policy.leaseMs ?? slot.lease.defaultMs);
    },
    loseFront(reason) {
      supervisor.loseFront(reason);
    },
    async stop() {
      await supervisor.stop();
      await registry.end();
    },
  };
}
