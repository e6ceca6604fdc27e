import { DOT_END, DOT_HEAD, dotEdge, dotVertex } from "../services/events/dot.ts";
import { connect, printReply } from "./ask.ts";
import { listOf, mapOf, timeText, wordOf } from "./event-text.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText } from "./print.ts";
import type { Reply } from "../contract/request.ts";
import type { Value } from "../contract/value.ts";
import type { AgentConnection } from "../fleet/connection.ts";
import type { AskOptions } from "./ask.ts";
import type { Fields } from "./event-text.ts";
import type { CliIo } from "./io.ts";

export interface EventsCommandOptions extends AskOptions {
  readonly count?: number;
  readonly tail?: boolean;
  readonly dot?: boolean;
}

/** What is listed when not asked for more. */
const LISTED = 20;

/** Vertices and edges asked for at a time. */
const PAGE = 10_000;

/** A page of a large graph waits for others' turns. */
const PAGE_MS = 60_000;

/** `virgo events`: the latest events and edges; all of them as DOT; or those that happen until stopped. */
export async function eventsCommand(options: EventsCommandOptions, io: CliIo): Promise<number> {
  const connection = await connect(options, io);
  try {
    if (options.tail === true) return await tail(connection, options, io);
    return options.dot === true ? await dot(connection, options, io) : await list(connection, options, io);
  } finally {
    connection.close();
  }
}

async function list(connection: AgentConnection, options: EventsCommandOptions, io: CliIo): Promise<number> {
  const asked = await connection.call("EVENT.STAT", []);
  if (asked.kind !== "value") return printReply(asked, options, io, wordOf);
  const stat = mapOf(asked.value);
  const count = options.count ?? LISTED;
  // Every edge, and every first word of a vertex, has a Lamport time of its own.
  const from = Math.max(0, Number(stat["lamport"]) + 1 - count);
  // An edge may bring two events along.
  const reply = await connection.call("EVENT.GRAPH", ["JSON", "FROM", String(from), "COUNT", String(3 * count)], PAGE_MS);
  if (reply.kind !== "value") return printReply(reply, options, io, wordOf);
  const page = pageOf(reply.value);
  if (options.json === true) io.out(jsonText({ stat, vertices: page["vertices"] ?? [], edges: page["edges"] ?? [] }));
  else io.out(listText(stat, page));
  return EXIT.ok;
}

/** In the order in which they came. */
function listText(stat: Fields, page: Fields): string {
  const head = `${wordOf(stat["vertices"])} events, ${wordOf(stat["edges"])} edges, Lamport ${wordOf(stat["lamport"])}\n`;
  const vertices = listOf(page["vertices"])
    .map(mapOf)
    .map((vertex) => ({ lamport: vertex["born"], row: vertexRow(vertex, vertex["born"]) }));
  const edges = listOf(page["edges"])
    .map(mapOf)
    .map((edge) => ({ lamport: edge["lamport"], row: edgeRow(edge) }));
  const lines = [...vertices, ...edges].sort((a, b) => Number(a.lamport) - Number(b.lamport));
  return lines.length === 0
    ? head
    : `${head}\n${tableText(
        ["LAMPORT", "TIME", "EVENT", "PARTAKERS"],
        lines.map(({ row }) => row),
      )}`;
}

function vertexRow(vertex: Fields, lamport: Value | undefined): readonly string[] {
  const partakers = listOf(vertex["partakers"]).map(wordOf).join(", ");
  return [wordOf(lamport), timeText(vertex["wallMs"]), wordOf(vertex["id"]), partakers];
}

function edgeRow(edge: Fields): readonly string[] {
  return [wordOf(edge["lamport"]), timeText(edge["wallMs"]), `${wordOf(edge["from"])} -> ${wordOf(edge["to"])}`, ""];
}

/** Page by page, so that the graph may be larger than one answer. */
async function dot(connection: AgentConnection, options: EventsCommandOptions, io: CliIo): Promise<number> {
  let text = DOT_HEAD;
  for (let from: Value = 0; typeof from === "number";) {
    const reply: Reply = await connection.call("EVENT.GRAPH", ["JSON", "FROM", String(from), "COUNT", String(PAGE)], PAGE_MS);
    if (reply.kind !== "value") return printReply(reply, options, io, wordOf);
    const page = pageOf(reply.value);
    for (const vertex of listOf(page["vertices"]).map(mapOf))
      text += dotVertex(wordOf(vertex["id"]), listOf(vertex["partakers"]).map(wordOf));
    for (const edge of listOf(page["edges"]).map(mapOf)) text += dotEdge(wordOf(edge["from"]), wordOf(edge["to"]));
    io.out(text);
    text = "";
    from = page["next"] ?? null;
  }
  io.out(DOT_END);
  return EXIT.ok;
}

function pageOf(value: Value): Fields {
  return typeof value === "string" ? mapOf(JSON.parse(value) as Value) : {};
}

async function tail(connection: AgentConnection, options: EventsCommandOptions, io: CliIo): Promise<number> {
  connection.onPush(([, kind, event]) => {
    io.out(options.json === true ? jsonText({ kind: wordOf(kind), ...mapOf(event) }) : tailText(wordOf(kind), mapOf(event)));
  });
  const ended = new Promise<void>((resolve, reject) => {
    connection.onEnd((reason) => (reason === undefined ? resolve() : reject(reason)));
  });
  const reply = await connection.call("EVENT.TAIL", []);
  if (reply.kind === "error") {
    // Nobody waits for the end any more.
    ended.catch(() => undefined);
    return printReply(reply, options, io, wordOf);
  }
  if (io.stop.aborted) connection.close();
  io.stop.addEventListener("abort", () => connection.close());
  await ended;
  return EXIT.ok;
}

function tailText(kind: string, event: Fields): string {
  const time = timeText(event["wallMs"]);
  if (kind === "journal") {
    const caller = wordOf(event["caller"]);
    const what = `${wordOf(event["subject"])}  ${`${wordOf(event["kind"])} ${wordOf(event["detail"])}`.trimEnd()}`;
    const cause = event["cause"] === 0 ? "" : ` because of @${wordOf(event["cause"])}`;
    return `${time}  ${what}${caller === "" ? "" : `  by ${caller}`}  @${wordOf(event["id"])}${cause}\n`;
  }
  const row = kind === "edge" ? edgeRow(event) : vertexRow(event, event["lamport"]);
  return `${time}  ${row[2] ?? ""}${row[3] === "" ? "" : `  of ${row[3] ?? ""}`}  Lamport ${row[0] ?? ""}\n`;
}
