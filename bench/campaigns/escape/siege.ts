import { connect } from "node:net";

import { createSystemClock } from "../../../agent/clock.ts";
import { connectAgent, type AgentConnection } from "../../../agent/fleet/connection.ts";
import type { Reply } from "../../../agent/contract/request.ts";
import { INSIDE, SECRET } from "./grounds.ts";
import type { Attempt } from "./paths.ts";

/** What became of what was tried. */
export interface Tally {
  attempts: number;
  refused: number;
  /** Opened a file inside, or made one there. */
  inside: number;
  /** Something of outside came back; the first ones described. */
  readonly escapes: string[];
  /** Had to be refused and was not. */
  readonly accepted: string[];
  /** Nothing came back for too long, or the connection ended. */
  readonly hung: string[];
  honest: number;
  honestFailed: number;
}

export function createTally(): Tally {
  return { attempts: 0, refused: 0, inside: 0, escapes: [], accepted: [], hung: [], honest: 0, honestFailed: 0 };
}

/** A request that takes longer hangs. */
const HANG_MS = 10_000;

/** Bytes of a classic reply. */
const REPLY_BYTES = 500;

export interface Modern {
  /** The agent's answer; undefined when there was none, which is counted. */
  ask(verb: string, ...words: readonly string[]): Promise<Reply | undefined>;
  close(): void;
}

/** A connection of the modern dialect; words are bytes, one character each. Connects again when it was ended. */
export function openModern(port: number, tally: Tally): Modern {
  let connection: Promise<AgentConnection> | undefined;
  return {
    async ask(verb, ...words) {
      tally.attempts += 1;
      try {
        connection ??= connectAgent({ target: { host: "127.0.0.1", port }, clock: createSystemClock() });
        const reply = await (
          await connection
        ).call(
          verb,
          words.map((word) => Buffer.from(word, "latin1")),
          HANG_MS,
        );
        if (holdsSecret(reply)) tally.escapes.push(`${verb} ${JSON.stringify(words)} answered what is outside`);
        if (reply.kind === "error") tally.refused += 1;
        return reply;
      } catch (error) {
        tally.hung.push(`${verb} ${JSON.stringify(words)}: ${String(error)}`);
        connection = undefined;
        return undefined;
      }
    },
    close() {
      void connection?.then((open) => open.close());
    },
  };
}

function holdsSecret(reply: Reply): boolean {
  // An error names what was asked, and that may be the secret's own name.
  if (reply.kind !== "value") return false;
  const { value } = reply;
  if (value instanceof Uint8Array) return Buffer.from(value).includes(SECRET);
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part)).includes(SECRET);
}

/** One classic request; the payload up to the first NUL, undefined when nothing came. */
export function askClassic(port: number, text: string, tally: Tally): Promise<string | undefined> {
  tally.attempts += 1;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const done = () => {
      clearTimeout(patience);
      socket.destroy();
      const reply = Buffer.concat(chunks).toString("latin1");
      if (reply.includes(SECRET)) tally.escapes.push(`classic ${JSON.stringify(text)} answered what is outside`);
      if (reply.length !== REPLY_BYTES) tally.hung.push(`classic ${JSON.stringify(text)}: ${reply.length} bytes of a reply`);
      resolve(reply.length === REPLY_BYTES ? reply.split("\0", 1)[0] : undefined);
    };
    const patience = setTimeout(done, HANG_MS);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", done);
    socket.on("error", done);
    socket.on("connect", () => socket.end(Buffer.from(text, "latin1")));
  });
}

/** Opens, looks at what it got, adds to it, closes. Counts what it should not have got. */
export async function tryOpen(modern: Modern, path: string, mode: "R" | "RW", tally: Tally): Promise<boolean> {
  const opened = await modern.ask("FOPEN", path, mode);
  if (opened?.kind !== "value") return false;
  tally.inside += 1;
  const descriptor = JSON.stringify(opened.value);
  await modern.ask("FREAD", descriptor, "4096", "0");
  if (mode === "RW") await modern.ask("FWRITE", descriptor, "x");
  await modern.ask("FCLOSE", descriptor);
  return true;
}

/** The path in everything it is good for, in the modern dialect. */
export async function tryModern(modern: Modern, attempt: Attempt, tally: Tally): Promise<void> {
  const { path, refused, changes, system } = attempt;
  const used: string[] = [];
  if (await tryOpen(modern, path, "R", tally)) used.push("FOPEN R");
  if (!system && (await tryOpen(modern, path, "RW", tally))) used.push("FOPEN RW");
  if ((await modern.ask("FLIST", path))?.kind === "value") used.push("FLIST");
  const stat = await modern.ask("FSTAT", path);
  if (stat?.kind === "value" && !saysOther(stat)) used.push("FSTAT");
  if (changes) {
    if ((await modern.ask("FREMOVE", path))?.kind === "status") used.push("FREMOVE");
    if ((await modern.ask("FRENAME", path, "stolen"))?.kind === "status") used.push("FRENAME from");
    if ((await modern.ask("FRENAME", "decoy", path))?.kind === "status") used.push("FRENAME to");
  }
  if (refused && used.length > 0) tally.accepted.push(`${used.join(", ")} ${JSON.stringify(path).slice(0, 200)}`);
}

/** FSTAT tells of a device, a FIFO, a socket or a hard link only that it is none of a file and a folder. */
function saysOther(reply: Reply): boolean {
  return reply.kind === "value" && JSON.stringify(reply.value).includes('"other"');
}

/** The path in the classic dialect, where what opens it also makes it. */
export async function tryClassic(port: number, { path, refused, system }: Attempt, tally: Tally): Promise<void> {
  if (system) return;
  const descriptor = await askClassic(port, `virgo_cloud_open(${path})\n`, tally);
  if (descriptor === undefined) return;
  if (!/^\d+$/.test(descriptor)) {
    tally.refused += 1;
    return;
  }
  tally.inside += 1;
  // A path with a line end or a NUL ends there, and a shorter one was asked for.
  if (refused && !/[\0\r\n)]/.test(path)) tally.accepted.push(`virgo_cloud_open ${JSON.stringify(path).slice(0, 200)}`);
  await askClassic(port, `virgo_cloud_read(${descriptor},x,499,0)\n`, tally);
  await askClassic(port, `virgo_cloud_write(${descriptor},x,1,0)\n`, tally);
  await askClassic(port, `virgo_cloud_close(${descriptor})\n`, tally);
}

/** What a client with nothing to hide does; it must go on working. */
export async function workHonestly(modern: Modern, name: string, tally: Tally): Promise<void> {
  tally.honest += 1;
  const opened = await modern.ask("FOPEN", `honest/${name}`, "RW");
  const descriptor = opened?.kind === "value" ? JSON.stringify(opened.value) : "none";
  const text = `${INSIDE} ${name}`;
  await modern.ask("FWRITE", descriptor, text, "0");
  const read = await modern.ask("FREAD", descriptor, "100", "0");
  const closed = await modern.ask("FCLOSE", descriptor);
  const same = read?.kind === "value" && (typeof read.value === "string" ? read.value : "") === text;
  if (!same || closed?.kind !== "status") tally.honestFailed += 1;
}
