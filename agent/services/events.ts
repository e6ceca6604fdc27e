import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import {
  errorReply,
  OK,
  refusal,
  textOf,
  valueReply,
  type ByteString,
  type Caller,
  type OpenService,
  type Reply,
  type Request,
  type VerbDoc,
} from "../contract/request.ts";
import type { Clock } from "../contract/clock.ts";
import type { Journal } from "../contract/journal.ts";
import type { Log } from "../contract/log.ts";
import type { Eventually, Value } from "../contract/value.ts";
import { openDerivedFiles } from "./events/derived-files.ts";
import { openEdgesFile } from "./events/edges-file.ts";
import { EDGES_FILE, finishImport, hasFilesToImport, importFiles, LOG_FOLDER, ORDERING_FILE, VERTICES_FILE } from "./events/import.ts";
import { openLedger, type Change, type Done, type Ledger } from "./events/ledger.ts";
import { eventId, journalNumber, partakerName } from "./events/names.ts";
import { createOrderings, type Ordering } from "./events/order.ts";
import { pageOf, vertexValue, type GraphFormat } from "./events/pages.ts";
import { createTurns, inSlices } from "./events/slices.ts";
import { createTail } from "./events/tail.ts";
import { causesOf, causeValue, journalValue, latestChain } from "./events/why.ts";
import { readWords } from "./events/words.ts";
import type { EventsOptions } from "./events/options.ts";

const VERBS: readonly VerbDoc[] = [
  {
    verb: "EVENT.VERTEX",
    usage: "id partaker [partaker …]",
    summary: "make an event, or add partakers and one conversation of theirs to it; its Lamport time once it is on disk",
  },
  {
    verb: "EVENT.EDGE",
    usage: "from to [LAMPORT n]",
    summary: "the second event follows from the first; missing events are made; its Lamport time, later than n, once it is on disk",
  },
  {
    verb: "EVENT.GRAPH",
    usage: "[DOT|JSON] [FROM lamport] [COUNT n]",
    summary: "all events and edges, or those from a Lamport time on, and where the next part begins",
  },
  {
    verb: "EVENT.WHY",
    usage: "id|device|@entry [COUNT n]",
    summary: "what an event, a device's state or an entry of the journal follows from",
  },
  { verb: "EVENT.ORDER", usage: "[FROM place] [COUNT n]", summary: "the events in topological order; one cycle where there is any" },
  { verb: "EVENT.STAT", usage: "", summary: "how many events and edges there are, Lamport time, bytes" },
  { verb: "EVENT.TAIL", usage: "[STOP]", summary: "push event, vertex|edge|journal, and what it is, as it happens, until STOP" },
];

/** What EVENT.WHY and EVENT.ORDER answer when not asked for more. */
const DEFAULT_CAUSES = 100;
const DEFAULT_PLACES = 1000;

/** Half of what can be counted exactly: the clock still goes on after it was set to this. */
const MAX_LAMPORT = 2 ** 52;

/** More names are not looked through for what somebody may have meant. */
const MAX_GUESSED = 1000;

export interface EventsServiceOptions {
  /** Of the text files; the log is in `log` in it. */
  readonly folder: string;
  readonly options: EventsOptions;
  /** The node's name. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
}

/**
 * EventNet: a graph of events that follow from each other, on disk when acknowledged, and in the text files that the original's readers know. Rejects IO when the
 * folder cannot be used, FULL when it has more to take over than may be kept.
 */
export async function openEventsService(settings: EventsServiceOptions): Promise<OpenService> {
  const { folder, options, node, clock, log, journal } = settings;
  const tail = createTail(journal);
  let changed: (changes: readonly Change[]) => Promise<void> | undefined = () => undefined;
  const ledger = await openOrImport(settings, (changes) => changed(changes));
  const { graph } = ledger;
  const orderings = createOrderings(graph, clock);
  const paths = { verticesPath: join(folder, VERTICES_FILE), orderingPath: join(folder, ORDERING_FILE) };
  const edgesFile = await openEdgesFile({ path: join(folder, EDGES_FILE), graph, clock, log });
  const derivedFiles = await openDerivedFiles({ ...paths, graph, orderings, clock, log, fileMs: options.fileMs });
  const inTurn = createTurns();
  changed = (changes) => {
    tail.tell(changes);
    derivedFiles.touch();
    // As with the original, who was answered finds the edge in the file.
    return changes.some(({ kind }) => kind === "edge") ? edgesFile.append() : undefined;
  };

  function check(caller: Caller, ...names: readonly ByteString[]): void {
    for (const name of names) {
      const refused = refusal(caller, "events", textOf(name));
      if (refused !== undefined) throw refused;
    }
  }

  function vertex(
    id: ByteString,
    names: readonly ByteString[],
    groups: readonly (readonly ByteString[])[],
    caller: Caller,
  ): Promise<Reply> {
    const event = eventId(id);
    const partakers = names.map(partakerName);
    if (partakers.length === 0) throw new AgentError("ARGUMENT", `event ${textOf(event)} needs at least one partaker`);
    check(caller, event);
    const conversations = groups.map((group) => group.map(partakerName));
    return acknowledged((done) => ledger.extend(event, { partakers: [...new Set(partakers)], conversations }, done));
  }

  function edge(from: ByteString, to: ByteString, seen: number, caller: Caller): Promise<Reply> {
    const source = eventId(from);
    const target = eventId(to);
    check(caller, source, target);
    return acknowledged((done) => ledger.addEdge(source, target, seen, done));
  }

  function typedEdge(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [from = "", to = "", ...rest] = args;
    if (args.length < 2) throw new AgentError("ARGUMENT", `EVENT.EDGE takes two events, got ${args.length} words`);
    const { LAMPORT = 0 } = readWords("EVENT.EDGE", rest, { LAMPORT: MAX_LAMPORT });
    return edge(from, to, LAMPORT, caller);
  }

  function typedVertex(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [id, ...partakers] = args;
    if (id === undefined || partakers.length === 0) {
      throw new AgentError("ARGUMENT", `EVENT.VERTEX takes an event and who takes part, got ${args.length} words`);
    }
    return vertex(id, partakers, [partakers], caller);
  }

  function whole(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    check(caller, "*");
    const word = args[0]?.toUpperCase();
    const format: GraphFormat = word === "JSON" ? "JSON" : "DOT";
    const rest = word === "JSON" || word === "DOT" ? args.slice(1) : args;
    const { FROM = 0, COUNT } = readWords("EVENT.GRAPH", rest, { FROM: MAX_LAMPORT * 2 - 1, COUNT: Number.MAX_SAFE_INTEGER });
    return inTurn(async () => {
      // Who waited for a turn may be gone.
      if (caller.signal.aborted) throw new AgentError("NOT_READY", `${caller.name} is gone`);
      const { lamport } = ledger;
      const page = { format, node, lamport, from: FROM, count: COUNT, maxBytes: options.maxReplyBytes };
      return valueReply(await inSlices(pageOf(graph, page), clock));
    }).catch(failed);
  }

  function why(args: readonly ByteString[], caller: Caller): Reply {
    const [asked, ...rest] = args;
    if (asked === undefined) throw new AgentError("ARGUMENT", "EVENT.WHY takes an event, a device or @ and the number of an entry");
    const most = options.maxCauses;
    const { COUNT = Math.min(DEFAULT_CAUSES, most) } = readWords("EVENT.WHY", rest, { COUNT: most });
    const entry = journalNumber(asked);
    if (entry !== undefined) return whyEntry(entry, COUNT, caller);
    const id = eventId(asked);
    check(caller, id);
    const text = textOf(id);
    const entries = latestChain(journal, text).slice(0, COUNT).map(journalValue);
    const number = graph.find(id);
    if (number < 0 && entries.length === 0) throw unknown(text);
    if (number < 0) return explanation(text, null, [], false, entries);
    const { edges, more } = causesOf(graph, number, COUNT);
    const causes = edges.map((cause) => causeValue(graph, cause));
    return explanation(text, vertexValue(graph, number), causes, more, entries);
  }

  function whyEntry(entry: number, count: number, caller: Caller): Reply {
    const chain = journal.chain(entry);
    const [first] = chain;
    if (first === undefined) {
      throw new AgentError(
        "UNKNOWN",
        `the journal has no entry @${entry}; it keeps the newest, up to @${journal.recorded}, and starts anew with the agent`,
      );
    }
    const refused = refusal(caller, "events", first.subject);
    if (refused !== undefined) throw refused;
    return explanation(`@${entry}`, null, [], false, chain.slice(0, count).map(journalValue));
  }

  function unknown(id: string): AgentError {
    const meant = nearest(id, guesses());
    const guess = meant === undefined ? "" : ` (did you mean ${meant}?)`;
    return new AgentError("UNKNOWN", `no event and no device ${id}${guess}; EVENT.GRAPH and DEVICES list them`);
  }

  function* guesses(): Generator<string> {
    for (const { subject } of journal.latest(MAX_GUESSED)) yield subject;
    for (let number = 0; number < Math.min(graph.vertices, MAX_GUESSED); number++) yield textOf(graph.idOf(number));
  }

  function order(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    check(caller, "*");
    const bounds = { FROM: Number.MAX_SAFE_INTEGER, COUNT: Number.MAX_SAFE_INTEGER };
    const { FROM = 0, COUNT = DEFAULT_PLACES } = readWords("EVENT.ORDER", args, bounds);
    return orderings.current().then((ordering) => valueReply(places(ordering, FROM, COUNT)), failed);
  }

  function places({ order, cycle, vertices, edges, components, onCycles }: Ordering, from: number, count: number): Value {
    const idOf = (number: number) => textOf(graph.idOf(number));
    const ids: string[] = [];
    let bytes = 0;
    let at = from;
    for (; at < order.length && ids.length < count && bytes < options.maxReplyBytes; at++) {
      const id = idOf(order[at] as number);
      ids.push(id);
      bytes += 3 * id.length + 8;
    }
    const shown = [...cycle.subarray(0, options.maxCauses)].map(idOf);
    const next = at < order.length ? at : null;
    return { vertices, edges, components, onCycles, cycle: shown, cycleLength: cycle.length, from, order: ids, next };
  }

  function follow(args: readonly ByteString[], caller: Caller): Reply {
    const [word] = args;
    if (args.length > 1 || (word !== undefined && word.toUpperCase() !== "STOP")) {
      throw new AgentError("ARGUMENT", `EVENT.TAIL takes STOP or nothing, got ${args.map(textOf).join(" ")}`);
    }
    if (word === undefined) tail.start(caller);
    else tail.stop(caller);
    return OK;
  }

  const figures = () => ({ ...ledger.figures(), tails: tail.listeners });

  function stat(args: readonly ByteString[]): Reply {
    if (args.length > 0) throw new AgentError("ARGUMENT", `EVENT.STAT takes nothing, got ${args.length} words`);
    return valueReply({ node, ...figures() });
  }

  function dispatch({ verb, args }: Request, caller: Caller): Eventually<Reply> {
    switch (verb) {
      case "EVENT.VERTEX":
        return typedVertex(args, caller);
      case "EVENT.EDGE":
        return typedEdge(args, caller);
      case "EVENT.GRAPH":
        return whole(args, caller);
      case "EVENT.WHY":
        return why(args, caller);
      case "EVENT.ORDER":
        return order(args, caller);
      case "EVENT.STAT":
        return stat(args);
      case "EVENT.TAIL":
        return follow(args, caller);
      case "EVENTNET.EDGE":
        return edge(args[0] ?? "", args[1] ?? "", 0, caller);
      case "EVENTNET.VERTEX": {
        const [id = "", ...groups] = args;
        const [partakers = [], ...conversations] = groups.map((names) => names.split(","));
        return vertex(id, partakers, conversations, caller);
      }
      default:
        throw new AgentError("UNKNOWN", `eventnet has no verb ${verb}`);
    }
  }

  return {
    verbs: VERBS,
    handle(request, caller) {
      try {
        return dispatch(request, caller);
      } catch (error) {
        return failed(error);
      }
    },
    figures,
    async close() {
      tail.close();
      await ledger.close();
      await edgesFile.close();
      await derivedFiles.close();
    },
  };
}

/** The log, after what other agents have left was put into it if it was empty. */
async function openOrImport(
  settings: EventsServiceOptions,
  changed: (changes: readonly Change[]) => Promise<void> | undefined,
): Promise<Ledger> {
  const { folder, options, clock, log } = settings;
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new AgentError("IO", `eventnet: cannot make the folder ${folder}: ${messageOf(error)}`, { cause: error });
  }
  const open = () => openLedger({ folder: join(folder, LOG_FOLDER), options, clock, log, changed });
  let ledger = await open();
  if (ledger.found === 0 && (await hasFilesToImport(folder))) {
    await ledger.close();
    await importFiles({ folder, options, clock, log });
    ledger = await open();
  }
  if (ledger.found > 0) await finishImport(folder);
  return ledger;
}

function explanation(id: string, vertex: Value, causes: readonly Value[], more: boolean, entries: readonly Value[]): Reply {
  return valueReply({ id, vertex, causes, more, journal: entries });
}

function acknowledged(take: (done: Done) => void): Promise<Reply> {
  return new Promise((resolve) => {
    try {
      take(resolve);
    } catch (error) {
      resolve(failed(error));
    }
  });
}

function failed(thrown: unknown): Reply {
  return errorReply(toAgentError(thrown));
}
