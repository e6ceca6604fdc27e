import { createConnection } from "node:net";

import { AgentError, messageOf } from "../contract/errors.ts";
import type { Clock } from "../contract/clock.ts";

/** The original's services, each on its own port. */
export interface ClassicPorts {
  readonly clone: number;
  readonly eventnet: number;
  readonly memory: number;
  readonly files: number;
  readonly queue: number;
}

export interface ClassicClientOptions {
  readonly host: string;
  readonly clock: Clock;
  /** The original's own when absent: 10000, 20000, 30000, 50000, 60000. */
  readonly ports?: Partial<ClassicPorts> | undefined;
  /** Time for one exchange, connecting included, milliseconds. */
  readonly deadlineMs?: number | undefined;
  /** How long to wait for a node of 32 bits that never answers `virgo_cloud_free`, milliseconds. */
  readonly silentFreeMs?: number | undefined;
}

/**
 * Talks to an original VIRGO node, which is neither asked who we are nor answers errors. Every call is a connection of its own: at most 500 bytes there,
 * at most 500 bytes back, of which those before the first NUL count. Rejects ARGUMENT for what the node would read differently, LIMIT for what does not fit,
 * IO when it cannot be reached, closes without an answer or answers something else, TIMEOUT after the deadline.
 */
export interface ClassicClient {
  /** One exchange with any of its ports. */
  exchange(port: number, request: string | Uint8Array): Promise<Buffer>;
  /** Invokes what `token` names; resolves with the acknowledgement, which says nothing about success. */
  clone(token: string): Promise<string>;
  readonly memory: {
    /** The address of the block. */
    malloc(bytes: number): Promise<bigint>;
    /** Text without blanks, line breaks, NUL and `)`. */
    set(address: bigint, data: string): Promise<void>;
    get(address: bigint): Promise<Buffer>;
    free(address: bigint): Promise<void>;
  };
  readonly files: {
    /** Opens for reading and appending, and makes what is not there. The original answers a descriptor also when it could not. */
    open(path: string): Promise<number>;
    /** Up to 499 bytes from `position`, as far as the first NUL. */
    read(descriptor: number, bytes: number, position?: number): Promise<Buffer>;
    /** Appends. Text without commas, line breaks and NUL. The original answers nothing of use, so only the exchange itself is certain. */
    write(descriptor: number, data: string): Promise<void>;
    close(descriptor: number): Promise<void>;
  };
  readonly events: {
    /** Adds two partakers and their conversation to the event `id`. */
    vertex(id: number, first: string, second: string): Promise<void>;
    edge(from: string | number, to: string | number): Promise<void>;
  };
  readonly queue: {
    /** A message without blanks, line breaks and NUL; resolves with what was answered: the acknowledgement, or nothing by builds since 2015. */
    enqueue(payload: string): Promise<string>;
  };
}

/** What an original node reads of a request, and the size of its reply. */
const EXCHANGE_BYTES = 500;

const PORTS: ClassicPorts = { clone: 10_000, eventnet: 20_000, memory: 30_000, files: 50_000, queue: 60_000 };

const DEADLINE_MS = 5000;
const SILENT_FREE_MS = 500;

const MAX_ADDRESS_32 = 0xffff_ffffn;
const MAX_ADDRESS_64 = 0xffff_ffff_ffff_ffffn;

const NUL = Uint8Array.of(0);

export function createClassicClient(options: ClassicClientOptions): ClassicClient {
  const { deadlineMs = DEADLINE_MS, silentFreeMs = SILENT_FREE_MS } = options;
  const ports = { ...PORTS, ...options.ports };

  function exchange(port: number, request: string | Uint8Array, silentMs?: number): Promise<Buffer> {
    return exchangeOnce({ host: options.host, port, clock: options.clock, deadlineMs, silentMs }, request);
  }

  async function word(port: number, request: string): Promise<string> {
    return (await exchange(port, request)).toString("latin1");
  }

  return {
    exchange: (port, request) => exchange(port, request),
    clone: async (token) => word(ports.clone, checked("the token", token, /[\s\0]/)),
    memory: {
      malloc: async (bytes) => addressOf(await word(ports.memory, `virgo_cloud_malloc(${counted("a block", bytes, 1)})`)),
      async set(address, data) {
        const hex = hexOf(address);
        const answer = await word(ports.memory, `virgo_cloud_set(${hex},${checked("the data", data, /[\s\0)]/)})`);
        // Data that starts like this makes the original answer the rest of it.
        if (data.startsWith("virgodata:")) return;
        if (addressOf(answer) !== address) throw new AgentError("IO", `the node answered ${quoted(answer)} when ${hex} was set`);
      },
      get: async (address) => exchange(ports.memory, `virgo_cloud_get(${hexOf(address)})`),
      async free(address) {
        // Nodes of 32 bits free and say nothing, and leave the connection open.
        const silentMs = address <= MAX_ADDRESS_32 ? silentFreeMs : undefined;
        await exchange(ports.memory, `virgo_cloud_free(${hexOf(address)})`, silentMs);
      },
    },
    files: {
      async open(path) {
        const answer = await word(ports.files, `virgo_cloud_open(${checked("the path", path, /[\r\n\0)]/)})`);
        const digits = /^\d+/.exec(answer)?.[0];
        if (digits === undefined) throw new AgentError("IO", `the node did not open ${path}: it answered ${quoted(answer)}`);
        return Number(digits);
      },
      async read(descriptor, bytes, position = 0) {
        const count = counted("a read", bytes, 0, EXCHANGE_BYTES - 1);
        return exchange(ports.files, `virgo_cloud_read(${counted("a descriptor", descriptor, 0)},none,${count},${position})`);
      },
      async write(descriptor, data) {
        const text = checked("the data", data, /[\r\n\0,]/);
        const count = Buffer.byteLength(text);
        await exchange(ports.files, `virgo_cloud_write(${counted("a descriptor", descriptor, 0)},${text},${count},0)`);
      },
      async close(descriptor) {
        await exchange(ports.files, `virgo_cloud_close(${counted("a descriptor", descriptor, 0)})`);
      },
    },
    events: {
      async vertex(id, first, second) {
        const partakers = [first, second].map((name) => checked("a partaker", name, /[\r\n\0#]/)).join("#");
        await exchange(ports.eventnet, `eventnet_vertexmsg#${counted("an event", id, 0)}#${partakers}#`);
      },
      async edge(from, to) {
        const events = [from, to].map((event) => checked("an event", String(event), /[\r\n\0#]/)).join("#");
        await exchange(ports.eventnet, `eventnet_edgemsg#${events}#`);
      },
    },
    queue: {
      enqueue: async (payload) => word(ports.queue, checked("the payload", payload, /[\s\0]/)),
    },
  };
}

interface Exchange {
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Silence for this long is an answer: nothing. */
  readonly silentMs: number | undefined;
}

/** Sends, and reads until 500 bytes have come or the node has closed. A reset after some of the answer is an end like any other. */
async function exchangeOnce(how: Exchange, request: string | Uint8Array): Promise<Buffer> {
  const { host, port, clock, deadlineMs, silentMs } = how;
  const where = `${host}:${port}`;
  const bytes = Buffer.concat([Buffer.from(request), NUL]);
  if (bytes.length > EXCHANGE_BYTES) {
    throw new AgentError(
      "LIMIT",
      `a request of ${bytes.length - 1} bytes does not fit: an original node reads ${EXCHANGE_BYTES - 1} and a NUL`,
    );
  }
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port, noDelay: true });
    let reply: Buffer = Buffer.alloc(0);
    const cancelDeadline = clock.after(silentMs ?? deadlineMs, () => {
      if (silentMs !== undefined || reply.includes(0)) finish();
      else fail(new AgentError("TIMEOUT", `${where} has not answered within ${deadlineMs} ms; what was asked may still have happened`));
    });

    function finish(): void {
      settle();
      const end = reply.indexOf(0);
      resolve(end < 0 ? reply : reply.subarray(0, end));
    }

    function fail(error: AgentError): void {
      settle();
      reject(error);
    }

    function settle(): void {
      cancelDeadline();
      socket.destroy();
    }

    socket.on("data", (chunk: Buffer) => {
      reply = Buffer.concat([reply, chunk]).subarray(0, EXCHANGE_BYTES);
      if (reply.length === EXCHANGE_BYTES) finish();
    });
    socket.on("error", (error) => {
      // It closes with some of our bytes unread, which makes its system reset the connection.
      if (reply.length > 0) finish();
      else fail(new AgentError("IO", `cannot exchange anything with ${where}: ${messageOf(error)}`, { cause: error }));
    });
    socket.on("close", () => {
      if (reply.length > 0) finish();
      else fail(new AgentError("IO", `${where} closed the connection without an answer`));
    });
    socket.write(bytes);
  });
}

function checked(what: string, text: string, forbidden: RegExp): string {
  const found = forbidden.exec(text)?.[0];
  if (found === undefined) return text;
  throw new AgentError("ARGUMENT", `${what} holds ${JSON.stringify(found)}, where an original node would end it`);
}

function counted(what: string, value: number, least: number, most: number = 0x7fff_ffff): string {
  if (Number.isInteger(value) && value >= least && value <= most) return String(value);
  throw new AgentError("ARGUMENT", `${what} is ${value}; a whole number from ${least} to ${most} is expected`);
}

/** As the node that gave it out wrote it: 8 digits for 32 bits, 16 for 64. */
function hexOf(address: bigint): string {
  if (address <= 0n || address > MAX_ADDRESS_64) throw new AgentError("ARGUMENT", `${address} is no address that a node gave out`);
  return address.toString(16).padStart(address <= MAX_ADDRESS_32 ? 8 : 16, "0");
}

function addressOf(answer: string): bigint {
  const digits = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(answer.trim())?.[1];
  if (digits === undefined)
    throw new AgentError("IO", `the node answered ${quoted(answer)} instead of an address; it has no room, or knows no such block`);
  return BigInt(`0x${digits}`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
