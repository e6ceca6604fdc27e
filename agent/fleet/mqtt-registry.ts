import { parseBirth, type KnownBirth } from "./mqtt-birth.ts";
import type { FleetTopics } from "./mqtt-topics.ts";
import type { Health } from "./node.ts";
import type { BrokerFleetOptions } from "./options.ts";
import type { Broker, BrokerMessage } from "../contract/broker.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { Figures } from "../contract/request.ts";

/** A node that the broker knows of. */
export interface FoundNode {
  readonly birth: KnownBirth;
  /** When it was last heard of, monotonic. */
  readonly heardMs: number;
  asked: number;
  failed: number;
  inFlight: number;
  /** Why it is not to be asked as long as there are others: it left something unanswered. Until it is heard of again. */
  silent: string | undefined;
}

/** `usable`: it may be asked, though perhaps without hope. */
export interface FoundState {
  readonly health: Health;
  readonly reason: string | undefined;
  readonly usable: boolean;
  /** Whether it is not known to have gone. */
  readonly online: boolean;
}

/** The nodes whose births the broker keeps: bounded, each as old as its last word. */
export interface FoundNodes {
  get(name: string): FoundNode | undefined;
  all(): readonly FoundNode[];
  state(node: FoundNode): FoundState;
  /** Called when this node itself is said to be offline, as the broker does for a connection before this one. */
  onOwnOffline: (() => void) | undefined;
  figures(): Figures;
  close(): void;
}

export interface FoundNodesOptions {
  readonly broker: Broker;
  readonly topics: FleetTopics;
  readonly self: string;
  readonly options: BrokerFleetOptions;
  readonly clock: Clock;
  readonly log: Log;
}

interface Entry extends FoundNode {
  birth: KnownBirth;
  heardMs: number;
}

const UP: FoundState = { health: "up", reason: undefined, usable: true, online: true };

export function createFoundNodes({ broker, topics, self, options, clock, log }: FoundNodesOptions): FoundNodes {
  const entries = new Map<string, Entry>();
  /** Nodes that are said to be offline, also those whose birth is not known yet. */
  const offline = new Set<string>();
  const counts = { births: 0, ignored: 0 };
  const found: FoundNodes = {
    get: (name) => entries.get(name),
    all: () => [...entries.values()],
    state,
    onOwnOffline: undefined,
    figures() {
      const up = [...entries.values()].filter((entry) => state(entry).health === "up").length;
      return { broker_nodes: entries.size, broker_up: up, births: counts.births, births_ignored: counts.ignored };
    },
    close() {
      for (const cancel of cancels) cancel();
    },
  };
  const cancels = [broker.subscribe(topics.status("+"), onStatus, 1), broker.subscribe(topics.birth("+"), onBirth, 1)];

  function state(node: FoundNode): FoundState {
    const entry = node as Entry;
    const { node: name } = entry.birth;
    const online = !offline.has(name);
    if (!broker.connected) return { health: "down", reason: "this node has no connection to the broker", usable: false, online };
    if (!online) return { health: "down", reason: "it is offline", usable: false, online };
    const ageMs = clock.monotonicMs() - entry.heardMs;
    if (ageMs > options.expireMs)
      return { health: "down", reason: `not heard of for ${Math.round(ageMs / 1000)} s`, usable: false, online };
    return entry.silent === undefined ? UP : { health: "down", reason: entry.silent, usable: true, online };
  }

  function onBirth({ topic, payload, retained }: BrokerMessage): void {
    const name = topics.nodeOf(topic);
    if (name === undefined || name === self) return;
    counts.births += 1;
    const birth = payload.length > options.maxBirthBytes ? undefined : parseBirth(name, payload);
    if (birth === undefined) counts.ignored += 1;
    else take(birth, retained);
  }

  function take(birth: KnownBirth, retained: boolean): void {
    const known = entries.get(birth.node);
    const isNews = known?.birth.boot !== birth.boot || known.birth.number < birth.number;
    // With every connection the broker sends all it has kept again, of the dead as of the living.
    if (!isNews) return;
    // Who speaks is there, whatever was said of a connection it had before.
    if (!retained) offline.delete(birth.node);
    const heardMs = clock.monotonicMs();
    if (known !== undefined) {
      known.birth = birth;
      known.heardMs = heardMs;
      known.silent = undefined;
      return;
    }
    if (entries.size >= options.maxNodes && !forgetOne()) {
      if (counts.ignored === 0)
        log.warn({ maxNodes: options.maxNodes }, `the broker knows more than ${options.maxNodes} nodes; the rest is left out`);
      counts.ignored += 1;
      return;
    }
    entries.set(birth.node, { birth, heardMs, asked: 0, failed: 0, inFlight: 0, silent: undefined });
    log.info({ node: birth.node, version: birth.version }, `node ${birth.node} was found through the broker`);
  }

  /** Makes room: one that would not be asked anyway. */
  function forgetOne(): boolean {
    for (const [name, entry] of entries) {
      if (!state(entry).usable && entry.inFlight === 0) {
        offline.delete(name);
        return entries.delete(name);
      }
    }
    return false;
  }

  function onStatus({ topic, payload }: BrokerMessage): void {
    const name = topics.nodeOf(topic);
    if (name === undefined) return;
    const isOffline = Buffer.from(payload).toString("latin1") === "offline";
    if (name === self) {
      if (isOffline) found.onOwnOffline?.();
    } else if (!isOffline) offline.delete(name);
    // A name without a birth may be any device's or program's; as many as nodes are kept until it has one.
    else if (entries.has(name) || offline.size < options.maxNodes) offline.add(name);
  }

  return found;
}
