import { readFileSync } from "node:fs";

import { messageOf } from "../contract/errors.ts";
import { textOf } from "../contract/request.ts";
import { readRequestReplyRecords, type RequestReplyRecord } from "../services/queue/request-reply-records.ts";
import { ask } from "./ask.ts";
import { EXIT } from "./exit.ts";
import { jsonText, tableText, valueText } from "./print.ts";
import type { Value } from "../contract/value.ts";
import type { AskOptions } from "./ask.ts";
import type { CliIo } from "./io.ts";

type Fields = { readonly [name: string]: Value };

/** `virgo queue stat`: what is in the topics of the agent's queue, or in one of them. */
export function queueStatCommand(topic: string | undefined, options: AskOptions, io: CliIo): Promise<number> {
  return ask("QSTAT", topic === undefined ? [] : [topic], options, io, topicsText);
}

/** `virgo queue records`: the requests in a REQUEST_REPLY.queue, of this agent or of an original kernel. Asks no agent. */
export function queueRecordsCommand(file: string, options: { readonly json?: boolean }, io: CliIo): number {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    io.error(`IO ${file} cannot be read: ${messageOf(error)}\n`);
    return EXIT.failure;
  }
  const { records, empty, damaged } = readRequestReplyRecords(bytes);
  if (options.json === true) {
    for (const record of records) io.out(jsonText({ ...record, payload: textOf(record.payload) }));
    return EXIT.ok;
  }
  if (records.length > 0) io.out(tableText(["OFFSET", "TIME", "CLIENT", "PAYLOAD"], records.map(recordRow)));
  const others = [empty > 0 ? `${empty} empty` : "", damaged > 0 ? `${damaged} that are no record` : ""].filter((part) => part !== "");
  io.out(`${records.length} requests${others.length === 0 ? "" : `; blocks of 256 bytes: ${others.join(", ")}`}\n`);
  return EXIT.ok;
}

function recordRow({ offset, ip, timestamp, wallMs, payload, cutOf }: RequestReplyRecord): readonly string[] {
  const time = wallMs === undefined ? timestamp : new Date(wallMs).toISOString();
  const text = textOf(payload);
  return [String(offset), time, ip, cutOf === undefined ? text : `${text}... (${cutOf} bytes)`];
}

function topicsText(value: Value): string {
  const topics = Array.isArray(value) ? value.filter(isFields) : [value].filter(isFields);
  if (topics.length === 0) return "the queue is empty\n";
  return tableText(["TOPIC", "READY", "IN FLIGHT", "DELAYED", "WAITING", "BYTES", "OLDEST"], topics.map(topicRow));
}

function topicRow(topic: Fields): readonly string[] {
  const oldest = topic["oldestMs"];
  const numbers = ["ready", "inFlight", "delayed", "waiting", "bytes"].map((name) => text(topic[name]));
  return [text(topic["topic"]), ...numbers, oldest === null || oldest === undefined ? "" : `${text(oldest)} ms`];
}

function isFields(value: Value): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function text(value: Value | undefined): string {
  return value === undefined ? "" : valueText(value).trimEnd();
}
