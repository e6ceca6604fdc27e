import { ask } from "./ask.ts";
import { listOf, mapOf, timeText, wordOf } from "./event-text.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { Fields } from "./event-text.ts";
import type { CliIo } from "./io.ts";

export interface WhyOptions extends AskOptions {
  readonly count?: number;
}

/** `virgo why ID`: what an event, the state of a device, or an entry of the journal (`@57`) follows from, newest first. */
export function whyCommand(id: string, options: WhyOptions, io: CliIo): Promise<number> {
  const count = options.count === undefined ? [] : ["COUNT", String(options.count)];
  return ask("EVENT.WHY", [id, ...count], options, io, explanationText);
}

function explanationText(value: Value): string {
  const answer = mapOf(value);
  const id = wordOf(answer["id"]);
  const entries = listOf(answer["journal"]).map((entry, i) => `${i === 0 ? "" : "because of\n"}${entryText(mapOf(entry))}`);
  const vertex = answer["vertex"];
  const event =
    vertex === null || vertex === undefined ? "" : eventText(id, mapOf(vertex), listOf(answer["causes"]), answer["more"] === true);
  return `${entries.join("")}${entries.length > 0 && event !== "" ? "\n" : ""}${event}`;
}

/** `2023-11-14T22:13:20.000Z  lamp  actuate beam(low)  by rule low-beam  @57` */
function entryText(entry: Fields): string {
  const what = `${wordOf(entry["kind"])} ${wordOf(entry["detail"])}`.trimEnd();
  const caller = wordOf(entry["caller"]);
  const parts = [timeText(entry["wallMs"]), wordOf(entry["subject"]), what, caller === "" ? "" : `by ${caller}`, `@${wordOf(entry["id"])}`];
  return `${parts.filter((part) => part !== "").join("  ")}\n`;
}

function eventText(id: string, vertex: Fields, causes: readonly Value[], more: boolean): string {
  const head = `${timeText(vertex["wallMs"])}  event ${id}${partakersText(vertex["partakers"])}  Lamport ${wordOf(vertex["lamport"])}\n`;
  if (causes.length === 0) return `${head}follows from nothing that is known\n`;
  const lines = causes.map((cause) => causeText(mapOf(cause))).join("");
  return `${head}because of\n${lines}${more ? "and more; --count shows more of them\n" : ""}`;
}

/** `2023-11-14T22:13:20.000Z  5 -> 7  of 11, 12  Lamport 3` */
function causeText(cause: Fields): string {
  const edge = `${wordOf(cause["from"])} -> ${wordOf(cause["to"])}`;
  return `${timeText(cause["wallMs"])}  ${edge}${partakersText(cause["partakers"])}  Lamport ${wordOf(cause["lamport"])}\n`;
}

function partakersText(partakers: Value | undefined): string {
  const names = listOf(partakers).map(wordOf);
  return names.length === 0 ? "" : `  of ${names.join(", ")}`;
}
