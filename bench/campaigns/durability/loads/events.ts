import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

import { bytesOfValue, type Client, valueOf, withClient } from "../client.ts";
import { createFindings, type Findings } from "../findings.ts";
import type { Random } from "../random.ts";
import { createSequence, type Sequence } from "../sequence.ts";
import { inParallel, type Load } from "./load.ts";

/** Requests under way on one connection. */
const WINDOW = 4;

/** Everything is looked at after every start: what is written is kept small enough for that by pauses up to this, milliseconds. */
const PAUSE_MS = 12;

/** Ids of one writer's events lie within so many. */
const IDS_PER_WRITER = 1_000_000;

/** Vertices and edges of one page of the graph. */
const PAGE = 20_000;

/** The text files follow within this. */
const TEXT_LIMIT_MS = 10_000;

interface Vertex {
  readonly id: string;
  readonly partakers: readonly string[];
  readonly conversations: readonly (readonly string[])[];
}

interface Graph {
  readonly vertices: readonly Vertex[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

/** One connection: edges from one event to ever new ones, and events with partakers. */
interface Writer {
  /** The event all its edges begin at; edge n ends at base + n. */
  readonly base: number;
  /** Event n is vertexBase + n. */
  readonly vertexBase: number;
  readonly edges: Sequence;
  readonly vertices: Sequence;
}

function createWriter(i: number): Writer {
  const base = (2 * i + 1) * IDS_PER_WRITER;
  return {
    base,
    vertexBase: base + IDS_PER_WRITER,
    edges: createSequence(`edge of ${base}`),
    vertices: createSequence(`vertex of ${base}`),
  };
}

function partakersOf(number: number): readonly string[] {
  return [`p${number}`, `q${number}`];
}

async function write(client: Client, writer: Writer, random: Random, stop: AbortSignal): Promise<void> {
  await inParallel(WINDOW, async () => {
    const isEdge = random.chance(0.7);
    const sequence = isEdge ? writer.edges : writer.vertices;
    const number = sequence.ask();
    const words = isEdge
      ? ["EVENT.EDGE", String(writer.base), String(writer.base + number)]
      : ["EVENT.VERTEX", String(writer.vertexBase + number), ...partakersOf(number)];
    const outcome = await client.ask(...words);
    if (outcome.kind === "value") sequence.kept(number);
    else if (outcome.kind === "error") sequence.refused(number);
    await wait(random.below(PAUSE_MS));
    return outcome.kind !== "gone" && !stop.aborted;
  });
}

/** All of it, page by page. */
async function readGraph(client: Client): Promise<Graph> {
  const vertices: Vertex[] = [];
  const edges: Graph["edges"][number][] = [];
  for (let from: number | null = 0; from !== null;) {
    const answer = valueOf(await client.ask("EVENT.GRAPH", "JSON", "FROM", String(from), "COUNT", String(PAGE)), "EVENT.GRAPH");
    const page = JSON.parse(bytesOfValue(answer) ?? "") as Graph & { readonly next: number | null };
    vertices.push(...page.vertices);
    edges.push(...page.edges);
    from = page.next;
  }
  return { vertices, edges };
}

function checkWriter({ base, vertexBase, edges, vertices }: Writer, graph: Graph, findings: Findings): void {
  edges.check(
    graph.edges.flatMap(({ from, to }) => (from === String(base) ? [Number(to) - base] : [])),
    findings,
  );
  vertices.check(
    graph.vertices.flatMap(({ id, partakers }): (number | "torn")[] => {
      const number = Number(id) - vertexBase;
      if (number < 1 || number >= IDS_PER_WRITER) return [];
      return [partakers.join() === partakersOf(number).join() ? number : "torn"];
    }),
    findings,
  );
}

function edgesText({ edges }: Graph): string {
  return edges.map(({ from, to }) => `${from},${to}\n`).join("");
}

/** What was started in vertices and is written of them; ids and partakers here hold nothing that would be escaped. */
function verticesText({ vertices }: Graph): string {
  return vertices
    .map(({ id, partakers, conversations }) => {
      const talks = conversations.map((names) => `(${names.join(",")})`).join("#");
      return `${id} - ${partakers.join(",")} - ${talks}\n`;
    })
    .join("");
}

function orderedIds(text: string): string {
  return sortedIds(text.split("\n").flatMap((line) => line.split(" - ")[1]?.trim() ?? []));
}

function sortedIds(ids: readonly string[]): string {
  return ids.toSorted().join();
}

async function becomesTrue(check: () => boolean): Promise<boolean> {
  const untilMs = performance.now() + TEXT_LIMIT_MS;
  while (!check()) {
    if (performance.now() > untilMs) return false;
    await wait(20);
  }
  return true;
}

function textOf(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Vertices and edges, and the text files that show them. `folder` is where those are. */
export function createEventsLoad(random: Random, folder: string, writerCount = 2): Load {
  const writers = Array.from({ length: writerCount }, (_, i) => createWriter(i));
  const findings = createFindings();
  return {
    name: "EventNet: vertices and edges",
    findings,
    get acknowledged() {
      return writers.reduce((sum, { edges, vertices }) => sum + edges.acknowledged + vertices.acknowledged, 0);
    },
    async write(agent, stop) {
      const port = agent.port("eventnet");
      await Promise.all(writers.map((writer) => withClient(port, (client) => write(client, writer, random, stop))));
    },
    check: (agent) =>
      withClient(agent.port("eventnet"), async (client) => {
        const graph = await readGraph(client);
        for (const writer of writers) checkWriter(writer, graph, findings);
      }),
    checkTexts: (agent) =>
      withClient(agent.port("eventnet"), async (client) => {
        const graph = await readGraph(client);
        const edges = edgesText(graph);
        if (!(await becomesTrue(() => textOf(folder, "EventNetEdges.txt") === edges))) {
          findings.add("differing text", `EventNetEdges.txt is not the ${graph.edges.length} edges there are`);
        }
        const vertices = verticesText(graph);
        if (!(await becomesTrue(() => textOf(folder, "EventNetVertices.txt") === vertices))) {
          findings.add("differing text", `EventNetVertices.txt is not the ${graph.vertices.length} vertices there are`);
        }
        const ids = sortedIds(graph.vertices.map(({ id }) => id));
        if (!(await becomesTrue(() => orderedIds(textOf(folder, "EventNetOrdering.txt")) === ids))) {
          findings.add("differing text", `EventNetOrdering.txt does not list the ${graph.vertices.length} vertices there are`);
        }
      }),
  };
}
