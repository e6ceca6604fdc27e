import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";

import { AgentError, messageOf } from "../contract/errors.ts";
import { errorReply } from "../contract/request.ts";
import { abilitiesOf, type Abilities } from "./abilities.ts";
import { createBalancer, type Candidate } from "./balancer.ts";
import { readNodeList, weightsOf, type NodeEntry } from "./conf.ts";
import type { createRemoteNode, Health, RemoteNode } from "./node.ts";
import { createPrg } from "./prg.ts";
import { GATEWAY_PORT, parseTarget, targetText, type Target } from "./target.ts";
import type { Clock } from "../contract/clock.ts";
import type { Fleet } from "../contract/fleet.ts";
import type { Log } from "../contract/log.ts";
import type { Caller, Figures, Reply, Request, Service } from "../contract/request.ts";
import type { TlsMaterial } from "./connection.ts";
import type { FleetOptions } from "./options.ts";

export interface OpenFleetOptions {
  readonly options: FleetOptions;
  /** This node's name. */
  readonly node: string;
  /** Answers DEVICES for this node. */
  readonly devices: Service;
  /** This node's load, as `nodeLoad` has it. */
  readonly load: () => number;
  /** What this node shows to others, and whom it trusts: for nodes with `tls: true`. Asked before every connection. */
  readonly tls?: (() => Promise<TlsMaterial>) | undefined;
  /** Nodes that are found, not configured. */
  readonly others?: OtherNodes | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Nodes that are known without an address; one that is configured is asked at its address. */
export interface OtherNodes {
  names(): readonly string[];
  /** Those that have the function and may be asked; `down`: without much hope. */
  candidates(fn: string): readonly (Candidate & { readonly down: boolean })[];
  /** As `Fleet.ask`; carries CLONE only. */
  ask(node: string, request: Request, deadlineMs: number): Promise<Reply>;
  refused(reply: Reply): boolean;
  states(): readonly FoundReport[];
  /** The same after all were asked whether they answer; each has `deadlineMs` for it. Never rejects. */
  survey(deadlineMs: number): Promise<readonly FoundReport[]>;
  figures(): Figures;
  close(): void;
}

/** What is known of a node. */
export interface NodeReport {
  readonly node: string;
  readonly self: boolean;
  /** Empty for this node. */
  readonly address: string;
  readonly health: Health;
  readonly reason: string | null;
  readonly load: number;
  readonly abilities: Abilities | undefined;
  /** How likely the balancer `prg` draws it, in entries. */
  readonly weight: number;
  readonly asked: number;
  readonly failed: number;
  /** Of a node that is found through the broker. */
  readonly broker?: BrokerReport | undefined;
}

/** A node that is known without an address. */
export type FoundReport = Omit<NodeReport, "self" | "weight">;

/** What is known of a node through the broker. */
export interface BrokerReport {
  readonly version: string;
  /** When it was started by its own clock, milliseconds since 1970. */
  readonly since: number;
  /** How long ago it has announced itself, seconds. */
  readonly heardS: number;
  /** False when the broker, or the node itself, said that it has gone. */
  readonly online: boolean;
  /** How long it took to answer just now, milliseconds; null: it did not answer; absent: it was not asked. */
  readonly answeredMs?: number | null | undefined;
}

export interface OpenFleet extends Fleet {
  figures(): Figures;
  /** Every node with what is known of it now. */
  known(): readonly NodeReport[];
  /** The same after all were asked, those that are down too; takes up to `deadlineMs`, and twice that with as many nodes at the broker as may be asked at once. */
  survey(): Promise<readonly NodeReport[]>;
  close(): void;
}

const NONE: ReadonlySet<string> = new Set();

/** Nothing was asked by anybody in particular. */
const NO_SIGNAL = new AbortController().signal;

type CreateNode = typeof createRemoteNode;

/** What connects is loaded only where there is somebody to connect to. */
async function connecting(): Promise<CreateNode> {
  return (await import("./node.ts")).createRemoteNode;
}

/**
 * The other nodes of the configuration and of its virgo_client.conf. Connects to none before it is asked. Rejects ARGUMENT for an address that is none or a node
 * that wants TLS where there is none, IO for a file that cannot be read.
 */
export async function openFleet(setup: OpenFleetOptions): Promise<OpenFleet> {
  const { options, node: self, clock, log, load, others } = setup;
  const seed = options.seed ?? randomInt(0x1_0000_0000);
  const balancer = createBalancer({ kind: options.balancer, seed, clock });
  const weights = new Map<string, number>([[self, 1]]);
  const nodes = new Map<string, RemoteNode>();
  const own: { abilities: Abilities | undefined; freshUntilMs: number } = { abilities: undefined, freshUntilMs: -Infinity };
  const caller: Caller = { name: `fleet of ${self}`, priority: 0, signal: NO_SIGNAL };
  const prg = createPrg(randomInt(0x1_0000_0000));
  const random = () => prg.fraction();

  for (const [name, configured] of Object.entries(options.nodes)) {
    if (name === self) throw new AgentError("ARGUMENT", `fleet.nodes.${name} is this node itself; leave it out`);
    if (configured.tls && setup.tls === undefined) {
      throw new AgentError("ARGUMENT", `fleet.nodes.${name} wants TLS, and there is no certificate: configure tls`);
    }
    const { user, tokenFile } = configured;
    const token = tokenReader(name, tokenFile);
    await token();
    const target = addressOf(name, configured.address);
    const tls = configured.tls ? setup.tls : undefined;
    const create = await connecting();
    nodes.set(name, create({ name, target, named: true, tls, user, token, options, clock, log, random }));
    weights.set(name, 1);
  }
  if (options.clientConf !== undefined) addListed(options.clientConf, await connecting());
  if (options.cloudConf !== undefined) {
    const { entries, notes } = readNodeList(options.cloudConf);
    log.info(
      { file: options.cloudConf, nodes: entries.map(({ text }) => text), notes },
      "virgo_cloud.conf was read; nothing is routed by it",
    );
  }

  /** An entry for a configured node's address, or for this node, is weight for that one. */
  function addListed(file: string, create: CreateNode): void {
    const { entries, notes } = readNodeList(file);
    for (const note of notes) log.info({ file }, note);
    const counted = new Map<string, number>();
    for (const entry of entries) {
      const name = nameOf(entry, create);
      counted.set(name, (counted.get(name) ?? 0) + 1);
    }
    for (const [name, weight] of counted) weights.set(name, weight);
    log.info({ file, weights: Object.fromEntries(weightsOf(entries)) }, "virgo_client.conf was read");
  }

  function nameOf(entry: NodeEntry, create: CreateNode): string {
    // With a port it may be another agent on this machine.
    if (entry.port === undefined && isOwnAddress(entry.host)) return self;
    const target = { host: entry.host, port: entry.port ?? GATEWAY_PORT };
    const address = targetText(target);
    for (const node of nodes.values()) {
      if (node.address === address || (entry.port === undefined && hostOf(node.address) === entry.host)) return node.name;
    }
    const token = () => Promise.resolve(undefined);
    const remote = create({
      ...{ name: entry.text, target, named: false, tls: undefined, user: undefined, token },
      ...{ options, clock, log, random },
    });
    nodes.set(entry.text, remote);
    return entry.text;
  }

  /** What this node can do, asked as another would be. */
  async function ownAbilities(): Promise<Abilities> {
    if (own.abilities !== undefined && clock.monotonicMs() < own.freshUntilMs) return own.abilities;
    const reply = await setup.devices.handle({ verb: "DEVICES", args: [] }, caller);
    own.abilities = abilitiesOf(reply.kind === "value" ? reply.value : null);
    own.freshUntilMs = clock.monotonicMs() + options.refreshMs;
    return own.abilities;
  }

  /** Waits for what was never asked; what is only old is asked for behind the caller's back. */
  async function lookAround(): Promise<void> {
    const unknown: Promise<void>[] = [];
    for (const node of nodes.values()) {
      const refreshed = node.refresh();
      if (node.abilities === undefined && node.state().health !== "down") unknown.push(refreshed);
    }
    await Promise.all(unknown);
  }

  function candidate(name: string, abilities: Abilities | undefined, load: number, fn: string | undefined): Candidate | undefined {
    const ready = fn === undefined ? true : abilities?.functions.get(fn);
    return ready === undefined ? undefined : { name, weight: weights.get(name) ?? 1, load, ready };
  }

  /** Into those that are up and those that are down. */
  function addFound(fn: string, tried: ReadonlySet<string>, up: Candidate[], down: Candidate[]): void {
    for (const there of others?.candidates(fn) ?? []) {
      if (!nodes.has(there.name) && !tried.has(there.name)) (there.down ? down : up).push(there);
    }
  }

  async function pick(fn?: string, tried: ReadonlySet<string> = NONE): Promise<string | undefined> {
    // A draw over all nodes needs to know nothing of them.
    if (fn !== undefined || options.balancer !== "prg") await lookAround();
    const here = candidate(self, fn === undefined ? undefined : await ownAbilities(), load(), fn);
    const up: Candidate[] = here === undefined || tried.has(self) ? [] : [here];
    const down: Candidate[] = [];
    for (const node of nodes.values()) {
      const state = node.state();
      const there = candidate(node.name, node.abilities, state.load, fn);
      if (there !== undefined && !tried.has(node.name)) (state.health === "down" ? down : up).push(there);
      if (state.health === "down") void node.refresh();
    }
    if (fn !== undefined) addFound(fn, tried, up, down);
    return balancer.choose(up.length > 0 ? up : down, fn);
  }

  /** Found, and not configured. */
  function found(states: readonly FoundReport[]): readonly FoundReport[] {
    return states.filter(({ node }) => !nodes.has(node));
  }

  function report(name: string, more: Omit<NodeReport, "node" | "self" | "weight">): NodeReport {
    return { node: name, self: name === self, weight: weights.get(name) ?? 1, ...more };
  }

  function known(states: readonly FoundReport[] = others?.states() ?? []): readonly NodeReport[] {
    const here = report(self, { address: "", health: "up", reason: null, load: load(), abilities: own.abilities, asked: 0, failed: 0 });
    return [
      here,
      ...[...nodes.values()].map((node) => {
        const { health, reason = null, load: there, asked, failed } = node.state();
        const { address, abilities } = node;
        return report(node.name, { address, health, reason, load: there, abilities, asked, failed });
      }),
      ...found(states).map(({ node, ...more }) => report(node, more)),
    ];
  }

  const configured = [...nodes.keys()];

  return {
    self,
    get others() {
      return others === undefined ? configured : [...configured, ...others.names().filter((name) => !nodes.has(name))];
    },
    ask(name, request, deadlineMs) {
      const node = nodes.get(name);
      if (node !== undefined) return node.ask(request, Math.max(1, Math.ceil(deadlineMs)));
      if (others !== undefined) return others.ask(name, request, deadlineMs);
      return Promise.resolve(errorReply(new AgentError("UNKNOWN", `no node ${name} is known here; NODES lists them`)));
    },
    pick,
    refused: (reply) => others?.refused(reply) ?? false,
    learned: (node, fn, tookMs) => balancer.learned(node, fn, tookMs),
    figures() {
      const states = [...nodes.values()].map((node) => node.state());
      const count = (health: Health) => states.filter((state) => state.health === health).length;
      const sum = (of: "asked" | "failed" | "inFlight") => states.reduce((total, state) => total + state[of], 0);
      return {
        ...{ balancer: options.balancer, nodes: states.length, up: count("up"), down: count("down"), unknown: count("unknown") },
        ...{ asked: sum("asked"), failed: sum("failed"), in_flight: sum("inFlight") },
        ...others?.figures(),
      };
    },
    known: () => known(),
    async survey() {
      const asked = others?.survey(options.deadlineMs);
      await Promise.all([ownAbilities(), ...[...nodes.values()].map((node) => node.probe())]);
      return known(await asked);
    },
    close() {
      others?.close();
      for (const node of nodes.values()) node.close();
    },
  };
}

function addressOf(name: string, text: string): Target {
  try {
    return parseTarget(text);
  } catch (thrown) {
    throw new AgentError("ARGUMENT", `fleet.nodes.${name}.address: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** Read before every connection: a token may be changed without a restart. */
function tokenReader(name: string, file: string | undefined): () => Promise<string | undefined> {
  if (file === undefined) return () => Promise.resolve(undefined);
  return async () => {
    try {
      return (await readFile(file, "utf8")).trim();
    } catch (thrown) {
      throw new AgentError("IO", `cannot read the token of node ${name}: ${messageOf(thrown)}`, { cause: thrown });
    }
  };
}

function hostOf(address: string): string {
  const target: Target = parseTarget(address);
  return "path" in target ? target.path : target.host;
}

/** Whether an address means this machine. */
function isOwnAddress(host: string): boolean {
  if (/^127\./.test(host) || host === "::1" || host === "0.0.0.0" || host === "localhost") return true;
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === host) ?? false);
}
