// What is put until nothing fits any more, of each kind.
import { bytesOfValue, type Client, type Outcome, valueOf } from "./client.ts";
import { readRecord, recordText } from "./record.ts";
import { createSequence, type Sequence } from "./sequence.ts";

export interface Hoard {
  readonly name: string;
  readonly listener: string;
  readonly sequence: Sequence;
  readonly put: (client: Client, number: number) => Promise<Outcome>;
  /** Removes one; absent where nothing is ever removed. Resolves undefined when there is none to remove. */
  readonly removeOne?: (client: Client) => Promise<{ readonly number: number; readonly outcome: Outcome } | undefined>;
  /** What is there, in order. */
  readonly find: (client: Client) => Promise<readonly (number | "torn")[]>;
}

const NAME = "hoard";
const PUT_BYTES = 6000;

/** Longer than the campaign: what is delivered here comes back after a restart only. */
const VISIBILITY_MS = "600000";

function textOf(number: number): string {
  return recordText({ name: NAME, number }, PUT_BYTES);
}

function numberOf(text: string): number | "torn" {
  const record = readRecord(text);
  return record === "torn" ? record : record.number;
}

function messageOf(value: unknown): { readonly id: string; readonly number: number | "torn" } {
  const { id, payload } = value as { readonly id: number; readonly payload: string | Uint8Array };
  return { id: String(id), number: numberOf(bytesOfValue(payload) ?? "") };
}

function queueHoard(): Hoard {
  const sequence = createSequence("hoarded message");
  const next = async (client: Client) =>
    valueOf(await client.ask("DEQUEUE", "TOPIC", NAME, "VISIBILITY", VISIBILITY_MS), "DEQUEUE on a full disk");
  return {
    name: "queue",
    listener: "queue",
    sequence,
    put: (client, number) => client.ask("ENQUEUE", textOf(number), "TOPIC", NAME),
    async removeOne(client) {
      const value = await next(client);
      if (value === null) return undefined;
      const { id, number } = messageOf(value);
      if (number === "torn") return undefined;
      sequence.take(number);
      return { number, outcome: await client.ask("ACK", id) };
    },
    async find(client) {
      const found: (number | "torn")[] = [];
      for (let value = await next(client); value !== null; value = await next(client)) found.push(messageOf(value).number);
      return found;
    },
  };
}

/** Numbers up to the last one that was ever sent, so that what was refused is looked for as well. */
function numbersOf(sequence: Sequence): readonly number[] {
  return Array.from({ length: sequence.last }, (_, i) => i + 1);
}

function keysHoard(): Hoard {
  const sequence = createSequence("hoarded key");
  const keyOf = (number: number) => `kept:${NAME}-${number}`;
  return {
    name: "memory",
    listener: "memory",
    sequence,
    put: (client, number) => client.ask("SET", keyOf(number), textOf(number)),
    async removeOne(client) {
      const number = sequence.expected[0];
      if (number === undefined) return undefined;
      sequence.take(number);
      return { number, outcome: await client.ask("DEL", keyOf(number)) };
    },
    async find(client) {
      const found: (number | "torn")[] = [];
      for (const number of numbersOf(sequence)) {
        const value = valueOf(await client.ask("GET", keyOf(number)), "GET");
        if (value !== null) found.push(numberOf(bytesOfValue(value) ?? ""));
      }
      return found;
    },
  };
}

function filesHoard(): Hoard {
  const sequence = createSequence("hoarded file");
  const pathOf = (number: number) => `${NAME}/${number}`;

  async function open(client: Client, number: number, mode: "R" | "RW"): Promise<string | Outcome> {
    const outcome = await client.ask("FOPEN", pathOf(number), mode);
    return outcome.kind === "value" ? (bytesOfValue(outcome.value) ?? "") : outcome;
  }

  /** The bytes of a file; none when it is not there or empty, as one that could be made and not filled. */
  async function read(client: Client, number: number): Promise<string> {
    const fd = await open(client, number, "R");
    if (typeof fd !== "string") {
      if (fd.kind === "error" && fd.error.code === "UNKNOWN") return "";
      throw new Error(`a hoarded file cannot be opened: ${JSON.stringify(fd)}`);
    }
    const text = bytesOfValue(valueOf(await client.ask("FREAD", fd, String(2 * PUT_BYTES), "0"), "FREAD")) ?? "";
    await client.ask("FCLOSE", fd);
    return text;
  }

  return {
    name: "files",
    listener: "files",
    sequence,
    async put(client, number) {
      const fd = await open(client, number, "RW");
      if (typeof fd !== "string") return fd;
      const written = await client.ask("FWRITE", fd, textOf(number));
      const closed = await client.ask("FCLOSE", fd);
      return written.kind === "value" ? closed : written;
    },
    async removeOne(client) {
      const number = sequence.expected[0];
      if (number === undefined) return undefined;
      sequence.take(number);
      return { number, outcome: await client.ask("FREMOVE", pathOf(number)) };
    },
    async find(client) {
      const found: (number | "torn")[] = [];
      for (const number of numbersOf(sequence)) {
        const text = await read(client, number);
        if (text !== "") found.push(numberOf(text));
      }
      return found;
    },
  };
}

function eventsHoard(): Hoard {
  const sequence = createSequence("hoarded event");
  /** Ids that no other writer uses. */
  const base = 900_000_000;
  const partakersOf = (number: number) => Array.from({ length: 40 }, (_, i) => `${"p".repeat(100)}${number}x${i}`);
  return {
    name: "EventNet",
    listener: "eventnet",
    sequence,
    put: (client, number) => client.ask("EVENT.VERTEX", String(base + number), ...partakersOf(number)),
    async find(client) {
      const found: (number | "torn")[] = [];
      for (let from: number | null = 0; from !== null;) {
        const answer = valueOf(await client.ask("EVENT.GRAPH", "JSON", "FROM", String(from), "COUNT", "500"), "EVENT.GRAPH");
        const page = JSON.parse(bytesOfValue(answer) ?? "") as {
          readonly vertices: readonly { readonly id: string; readonly partakers: readonly string[] }[];
          readonly next: number | null;
        };
        for (const { id, partakers } of page.vertices) {
          const number = Number(id) - base;
          if (number > 0) found.push(partakers.join() === partakersOf(number).join() ? number : "torn");
        }
        from = page.next;
      }
      return found;
    },
  };
}

export function createHoards(): readonly Hoard[] {
  return [queueHoard(), keysHoard(), filesHoard(), eventsHoard()];
}
