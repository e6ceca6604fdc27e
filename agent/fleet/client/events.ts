import { optionWords, textIn } from "./words.ts";
import type { Cancel } from "../../contract/clock.ts";
import type { Value } from "../../contract/value.ts";
import type { Hub } from "./hub.ts";
import type { WatchOptions } from "./variables.ts";

export interface TailedEvent {
  readonly kind: "vertex" | "edge" | "journal";
  /** The vertex, the edge, or the entry of the journal, as EVENT.GRAPH and EVENT.WHY have them. */
  readonly event: { readonly [name: string]: Value };
}

export interface GraphVertex {
  readonly id: string;
  readonly partakers: readonly string[];
  readonly conversations: readonly (readonly string[])[];
  /** Lamport times: when it was made, and when it last changed. */
  readonly born: number;
  readonly lamport: number;
  readonly wallMs: number;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly lamport: number;
  readonly wallMs: number;
}

export interface EventGraph {
  readonly node: string;
  readonly lamport: number;
  readonly vertices: readonly GraphVertex[];
  readonly edges: readonly GraphEdge[];
  /** The Lamport time from which the next part begins; null when this is the last. */
  readonly next: number | null;
}

export interface EventVerbs {
  /** Makes an event, or adds partakers and their conversation to it. Resolves with its Lamport time, once it is on disk. */
  vertex(id: string | number, ...partakers: readonly string[]): Promise<number>;
  /** The second follows from the first. Resolves with the edge's Lamport time, once it is on disk. */
  edge(from: string | number, to: string | number, options?: { readonly lamport?: number }): Promise<number>;
  /** All events and edges, or a part of them from a Lamport time on. */
  graph(options?: { readonly from?: number; readonly count?: number }): Promise<EventGraph>;
  /** The same in the language of Graphviz. */
  dot(options?: { readonly from?: number; readonly count?: number }): Promise<string>;
  /** What an event, or what a device last did, follows from. */
  why(id: string | number, options?: { readonly count?: number }): Promise<Value>;
  /** Tells what happens from now on, until cancelled; what happens during an interruption is not told. */
  tail(listener: (event: TailedEvent) => void, options?: WatchOptions): Promise<Cancel>;
}

export function createEventVerbs(hub: Hub): EventVerbs {
  return {
    async vertex(id, ...partakers) {
      return Number((await hub.ask("EVENT.VERTEX", [String(id), ...partakers])).value);
    },
    async edge(from, to, { lamport } = {}) {
      return Number((await hub.ask("EVENT.EDGE", [String(from), String(to), ...optionWords({ LAMPORT: lamport })])).value);
    },
    async graph({ from, count } = {}) {
      return JSON.parse(textIn((await hub.ask("EVENT.GRAPH", ["JSON", ...optionWords({ FROM: from, COUNT: count })])).value)) as EventGraph;
    },
    async dot({ from, count } = {}) {
      return textIn((await hub.ask("EVENT.GRAPH", ["DOT", ...optionWords({ FROM: from, COUNT: count })])).value);
    },
    async why(id, { count } = {}) {
      return (await hub.ask("EVENT.WHY", [String(id), ...optionWords({ COUNT: count })])).value;
    },
    tail: (listener, { onInterrupted } = {}) =>
      hub.subscribe({
        verb: "EVENT.TAIL",
        args: [],
        onPush: ([word, kind, event]) => {
          if (word === "event") listener({ kind: textIn(kind) as TailedEvent["kind"], event: event as TailedEvent["event"] });
        },
        onInterrupted,
      }),
  };
}
