import { mkdir } from "node:fs/promises";

import { AgentError, messageOf, toAgentError } from "../contract/errors.ts";
import { errorReply, OK, refusal, textOf, valueReply } from "../contract/request.ts";
import type { Clock } from "../contract/clock.ts";
import type { Log } from "../contract/log.ts";
import type { ByteString, Caller, OpenService, Reply, Request, VerbDoc } from "../contract/request.ts";
import type { Eventually } from "../contract/value.ts";
import { createDescriptors, type Descriptor } from "./files/descriptors.ts";
import type { FilesOptions } from "./files/options.ts";
import { parsePath, pathText, type Names } from "./files/path.ts";
import { describe, list, measure, move, openFile, remove, type Entry, type OpenMode } from "./files/tree.ts";
import { createSlots } from "./files/turns.ts";
import { createUsage } from "./files/usage.ts";
import { openRoot, type Allow, type Root } from "./files/walk.ts";

const VERBS: readonly VerbDoc[] = [
  { verb: "FOPEN", usage: "path [RW|R]", summary: "open a file, made with its folders unless R; answers its descriptor" },
  { verb: "FREAD", usage: "descriptor count [offset]", summary: "bytes from the offset, or from where the last FREAD without one ended" },
  { verb: "FWRITE", usage: "descriptor data [offset]", summary: "write at the offset, else append; answers the bytes written: all" },
  { verb: "FCLOSE", usage: "descriptor", summary: "close; answered when everything written is on disk" },
  { verb: "FSTAT", usage: "path", summary: "kind, size and time of change" },
  { verb: "FLIST", usage: "[path] [AFTER name]", summary: "what is in a folder, by name; go on after the last name until nothing comes" },
  { verb: "FRENAME", usage: "from to", summary: "give a file another name, replacing what has it, in one step" },
  { verb: "FREMOVE", usage: "path", summary: "remove a file, a link or an empty folder" },
];

/** The classic write: `args` are descriptor, data and count. Appended: cut to `count` bytes, and padded with NUL to them if so configured. */
const FILES_WRITE = "FILES.WRITE";

/** What a request that moves no bytes counts for in `files.maxPendingBytes`. */
const REQUEST_BYTES = 512;

export interface FilesServiceOptions {
  /** The root where the configuration names none. */
  readonly folder: string;
  readonly options: FilesOptions;
  readonly classic: {
    /** Whether a classic write is padded with NUL to its count. */
    readonly padWrites: boolean;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * virgo_open, virgo_read, virgo_write and virgo_close: files below one folder that no path leads out of. Makes the root when it is not there.
 * Rejects IO when it cannot be used.
 */
export async function openFilesService(setup: FilesServiceOptions): Promise<OpenService> {
  const { options, classic, clock, log } = setup;
  const root = await openRootFolder(options.root ?? setup.folder);
  const slots = createSlots(options.maxInFlight);
  const usage = createUsage({
    limits: options,
    count: () =>
      measure(root, options.maxDepth, (path, thrown) => log.warn({ path, err: thrown }, "a folder under the files root cannot be read")),
    clock,
    log,
  });
  const descriptors = createDescriptors({ options, usage, slots, clock, log });
  const inProgress = new Set<Promise<unknown>>();
  const moved = { read: 0, written: 0 };
  let pendingBytes = 0;
  let closing: Promise<void> | undefined;

  async function takeEntry(): Promise<() => void> {
    await usage.take(0, 1);
    return () => {
      usage.give(0, 1);
    };
  }

  async function open(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [path, modeText = "RW", ...more] = args;
    if (path === undefined || more.length > 0) throw new AgentError("ARGUMENT", `FOPEN takes a path and R or RW, got ${args.length} words`);
    const mode = openMode(modeText);
    const { names, allow } = asked(path, caller);
    // Before a slot is taken: the count needs none, but others who only read do.
    if (mode === "RW") await usage.counted();
    return valueReply(await descriptors.open(mode, () => openFile(root, names, mode, allow, takeEntry)));
  }

  /** A path the caller may use. Where it leads through links is asked once it is known. */
  function asked(path: ByteString, caller: Caller): { readonly names: Names; readonly allow: Allow } {
    const names = parsePath(path, options.maxDepth);
    const allow: Allow = (name) => {
      const refused = refusal(caller, "files", name);
      if (refused !== undefined) throw refused;
    };
    allow(pathText(names));
    return { names, allow };
  }

  function descriptorOf(text: ByteString, caller: Caller): Descriptor {
    const descriptor = descriptors.get(wholeNumber(text, "a descriptor"));
    const refused = refusal(caller, "files", descriptor.path);
    if (refused !== undefined) throw refused;
    return descriptor;
  }

  async function read(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [id, countText, offsetText, ...more] = args;
    if (id === undefined || countText === undefined || more.length > 0) {
      throw new AgentError("ARGUMENT", `FREAD takes a descriptor, a count and an offset, got ${args.length} words`);
    }
    const descriptor = descriptorOf(id, caller);
    const count = wholeNumber(countText, "a count");
    if (count > options.maxReadBytes)
      throw new AgentError("LIMIT", `${count} bytes in one read; files.maxReadBytes is ${options.maxReadBytes}`);
    const offset = offsetText === undefined ? undefined : wholeNumber(offsetText, "an offset");
    const bytes = await descriptors.read(descriptor, count, offset);
    moved.read += bytes.length;
    return valueReply(bytes);
  }

  async function write(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [id, data, offsetText, ...more] = args;
    if (id === undefined || data === undefined || more.length > 0) {
      throw new AgentError("ARGUMENT", `FWRITE takes a descriptor, the data and an offset, got ${args.length} words`);
    }
    const offset = offsetText === undefined ? undefined : wholeNumber(offsetText, "an offset");
    return writeBytes(descriptorOf(id, caller), data.length, () => Buffer.from(data, "latin1"), offset);
  }

  async function classicWrite([id = "", data = "", countText = ""]: readonly ByteString[], caller: Caller): Promise<Reply> {
    const count = wholeNumber(countText, "a count");
    const cut = data.slice(0, count);
    const length = classic.padWrites ? count : cut.length;
    return writeBytes(descriptorOf(id, caller), length, () => {
      const bytes = Buffer.alloc(length);
      bytes.write(cut, "latin1");
      return bytes;
    });
  }

  async function writeBytes(descriptor: Descriptor, length: number, data: () => Buffer, offset?: number): Promise<Reply> {
    if (descriptor.mode === "R")
      throw new AgentError("DENIED", `descriptor ${descriptor.id} was opened R; open ${descriptor.path} RW to write`);
    if (length > options.maxWriteBytes)
      throw new AgentError("LIMIT", `${length} bytes in one write; files.maxWriteBytes is ${options.maxWriteBytes}`);
    await descriptors.write(descriptor, data, offset);
    moved.written += length;
    return valueReply(length);
  }

  async function close(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    await descriptors.close(descriptorOf(only(args, "FCLOSE", "descriptor"), caller));
    return OK;
  }

  async function stat(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const { names, allow } = asked(only(args, "FSTAT", "path"), caller);
    return valueReply(fieldsOf(await slots.run(() => describe(root, names, allow))));
  }

  async function listed(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const afterAt = args.findIndex((word) => word.toUpperCase() === "AFTER");
    const paths = afterAt < 0 ? args : args.slice(0, afterAt);
    const after = afterAt < 0 ? [""] : args.slice(afterAt + 1);
    const [path = ""] = paths;
    const [name] = after;
    if (paths.length > 1 || name === undefined || after.length > 1) {
      throw new AgentError("ARGUMENT", `FLIST takes a folder, and a name after AFTER, got ${args.length} words`);
    }
    const { names, allow } = asked(path, caller);
    const entries = await slots.run(() => list(root, names, textOf(name), options.maxListed, allow));
    return valueReply(entries.map(fieldsOf));
  }

  async function renamed(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const [from, to, ...more] = args;
    if (from === undefined || to === undefined || more.length > 0) {
      throw new AgentError("ARGUMENT", `FRENAME takes the old path and the new one, got ${args.length} words`);
    }
    const { names, allow } = asked(from, caller);
    const target = asked(to, caller).names;
    await usage.counted();
    const replaced = await slots.run(() => move(root, names, target, allow, takeEntry));
    if (replaced === "link") usage.give(0, 1);
    else if (replaced !== undefined) descriptors.removed(replaced);
    return OK;
  }

  async function removed(args: readonly ByteString[], caller: Caller): Promise<Reply> {
    const { names, allow } = asked(only(args, "FREMOVE", "path"), caller);
    await usage.counted();
    const gone = await slots.run(() => remove(root, names, allow));
    if (gone === undefined) usage.give(0, 1);
    else descriptors.removed(gone);
    return OK;
  }

  function dispatch({ verb, args }: Request, caller: Caller): Promise<Reply> {
    switch (verb) {
      case "FOPEN":
        return open(args, caller);
      case "FREAD":
        return read(args, caller);
      case "FWRITE":
        return write(args, caller);
      case FILES_WRITE:
        return classicWrite(args, caller);
      case "FCLOSE":
        return close(args, caller);
      case "FSTAT":
        return stat(args, caller);
      case "FLIST":
        return listed(args, caller);
      case "FRENAME":
        return renamed(args, caller);
      case "FREMOVE":
        return removed(args, caller);
      default:
        throw new AgentError("UNKNOWN", `files have no verb ${verb}`);
    }
  }

  async function answer(request: Request, caller: Caller, weight: number): Promise<Reply> {
    pendingBytes += weight;
    try {
      return await dispatch(request, caller);
    } catch (error) {
      return errorReply(toAgentError(error));
    } finally {
      pendingBytes -= weight;
    }
  }

  async function closeAll(): Promise<void> {
    await Promise.all(inProgress);
    await descriptors.closeAll();
    await usage.counted();
    await root.close();
  }

  function handle(request: Request, caller: Caller): Eventually<Reply> {
    if (closing !== undefined) return errorReply(new AgentError("NOT_READY", "the agent is stopping"));
    const weight = weightOf(request, options.maxReadBytes);
    if (pendingBytes + weight > options.maxPendingBytes) {
      const text = `reads and writes of ${pendingBytes} bytes are waiting; files.maxPendingBytes is ${options.maxPendingBytes}`;
      return errorReply(new AgentError("FULL", text));
    }
    const reply = answer(request, caller, weight);
    inProgress.add(reply);
    void reply.then(() => inProgress.delete(reply));
    return reply;
  }

  return {
    verbs: VERBS,
    handle,
    figures: () => ({
      ...descriptors.counts,
      max_descriptors: options.maxDescriptors,
      bytes: usage.bytes,
      max_bytes: options.maxTotalBytes,
      files: usage.entries,
      max_files: options.maxFiles,
      bytes_read: moved.read,
      bytes_written: moved.written,
      bytes_pending: pendingBytes,
    }),
    close: () => (closing ??= closeAll()),
  };
}

async function openRootFolder(folder: string): Promise<Root> {
  try {
    await mkdir(folder, { recursive: true });
    const root = await openRoot(folder);
    // Everything is reached by what is held, /proc/self/fd.
    await root.where();
    return root;
  } catch (error) {
    const text = `the files root ${folder} cannot be used: ${messageOf(error)}; choose another as files.root`;
    throw new AgentError("IO", text, { cause: error });
  }
}

function fieldsOf({ name, kind, size, modifiedMs }: Entry): Readonly<Record<string, string | number>> {
  return { name, kind, size, modifiedMs };
}

/** What a request takes of `files.maxPendingBytes`. */
function weightOf({ verb, args }: Request, maxReadBytes: number): number {
  const asked = verb === "FREAD" || verb === FILES_WRITE ? Number(args[verb === "FREAD" ? 1 : 2]) : (args[1]?.length ?? 0);
  return REQUEST_BYTES + (asked > 0 && asked <= maxReadBytes ? asked : 0);
}

function openMode(text: ByteString): OpenMode {
  const mode = text.toUpperCase();
  if (mode === "R" || mode === "RW") return mode;
  throw new AgentError("ARGUMENT", `a file is opened R or RW, not ${textOf(text.slice(0, 40))}`);
}

function wholeNumber(text: ByteString, what: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new AgentError("ARGUMENT", `${what} is a whole number from 0, not ${JSON.stringify(textOf(text.slice(0, 40)))}`);
}

function only(args: readonly ByteString[], verb: string, what: string): ByteString {
  const [word] = args;
  if (word === undefined || args.length > 1) throw new AgentError("ARGUMENT", `${verb} takes one ${what}, got ${args.length} words`);
  return word;
}
