import { randomUUID } from "node:crypto";

import { toAgentError } from "../../contract/errors.ts";
import { bytesIn } from "./words.ts";
import type { Hub } from "./hub.ts";

/** An open file, on the node that opened it. */
export interface Descriptor {
  readonly node: string;
  readonly fd: number;
}

export interface FileDescription {
  readonly name: string;
  /** `file`, `folder` … */
  readonly kind: string;
  readonly size: number;
  readonly modifiedMs: number;
}

export interface CopyOptions {
  readonly node?: string;
  /** Told after every part: bytes done, and of how many. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface FileVerbs {
  /** Opens for reading and writing, and makes what is not there; with `R` neither. */
  open(path: string, mode?: "R" | "RW", options?: { readonly node?: string }): Promise<Descriptor>;
  /** Bytes from `offset`, else from where the last read without one ended; none at the end. */
  read(file: Descriptor, bytes: number, offset?: number): Promise<Buffer>;
  /** Writes all at `offset`, else appends. Resolves with the bytes written. */
  write(file: Descriptor, data: string | Uint8Array, offset?: number): Promise<number>;
  /** Resolves when everything written is on disk. */
  close(file: Descriptor): Promise<void>;
  stat(path: string, options?: { readonly node?: string }): Promise<FileDescription>;
  /** All of a folder, by name. */
  list(path?: string, options?: { readonly node?: string }): Promise<readonly FileDescription[]>;
  rename(from: string, to: string, options?: { readonly node?: string }): Promise<void>;
  remove(path: string, options?: { readonly node?: string }): Promise<void>;
  /** All of a file, part by part. */
  readFile(path: string, options?: CopyOptions): Promise<Buffer>;
  /** Writes beside the file and then gives it its name: whoever reads it finds the old or the new, whole. Resolves when it is on disk. */
  writeFile(path: string, data: string | Uint8Array, options?: CopyOptions): Promise<void>;
}

/** Within the limits an agent has unless configured otherwise; one that allows less says LIMIT, and gets half. */
const PART_BYTES = 256 * 1024;

const LEAST_PART_BYTES = 512;

export function createFileVerbs(hub: Hub): FileVerbs {
  const offsetWords = (offset: number | undefined): string[] => (offset === undefined ? [] : [String(offset)]);

  const verbs: FileVerbs = {
    async open(path, mode = "RW", { node } = {}) {
      const answer = await hub.ask("FOPEN", [path, mode], { node, anywhere: true });
      return { node: answer.node, fd: Number(answer.value) };
    },
    async read({ node, fd }, bytes, offset) {
      return bytesIn((await hub.ask("FREAD", [String(fd), String(bytes), ...offsetWords(offset)], { node })).value);
    },
    async write({ node, fd }, data, offset) {
      return Number((await hub.ask("FWRITE", [String(fd), data, ...offsetWords(offset)], { node })).value);
    },
    async close({ node, fd }) {
      await hub.ask("FCLOSE", [String(fd)], { node });
    },
    async stat(path, { node } = {}) {
      return (await hub.ask("FSTAT", [path], { node })).value as unknown as FileDescription;
    },
    async list(path = "", { node } = {}) {
      const listed: FileDescription[] = [];
      for (;;) {
        const after = listed.at(-1)?.name;
        const { value } = await hub.ask("FLIST", after === undefined ? [path] : [path, "AFTER", after], { node });
        if (!Array.isArray(value) || value.length === 0) return listed;
        listed.push(...(value as unknown as readonly FileDescription[]));
      }
    },
    async rename(from, to, { node } = {}) {
      await hub.ask("FRENAME", [from, to], { node });
    },
    async remove(path, { node } = {}) {
      await hub.ask("FREMOVE", [path], { node });
    },
    async readFile(path, { node, onProgress } = {}) {
      const file = await verbs.open(path, "R", node === undefined ? {} : { node });
      return closing(file, async () => {
        const { size } = await verbs.stat(path, file);
        const parts: Buffer[] = [];
        let at = 0;
        const nextPart = partwise();
        for (;;) {
          const part = await nextPart((bytes) => verbs.read(file, bytes, at));
          if (part.length === 0) return Buffer.concat(parts);
          parts.push(part);
          at += part.length;
          onProgress?.(at, Math.max(size, at));
        }
      });
    },
    async writeFile(path, data, { node, onProgress } = {}) {
      const bytes = Buffer.from(data);
      const beside = `${path}.${randomUUID().slice(0, 8)}.part`;
      const file = await verbs.open(beside, "RW", node === undefined ? {} : { node });
      try {
        await closing(file, async () => {
          const nextPart = partwise();
          for (let at = 0; at < bytes.length; onProgress?.(at, bytes.length)) {
            const from = at;
            at += await nextPart((most) => verbs.write(file, bytes.subarray(from, from + most), from));
          }
        });
        await verbs.rename(beside, path, file);
      } catch (thrown) {
        // What it failed of is what counts, not that what it left behind may stay there too.
        await verbs.remove(beside, file).catch(() => undefined);
        throw thrown;
      }
    },
  };

  /** Closes whatever comes of `work`; a failure to close counts only when it went well. */
  async function closing<T>(file: Descriptor, work: () => Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work();
    } catch (thrown) {
      await verbs.close(file).catch(() => undefined);
      throw thrown;
    }
    await verbs.close(file);
    return result;
  }

  return verbs;
}

/** Does parts of at most so many bytes, smaller ones from where the agent says LIMIT. */
function partwise(): <T>(part: (bytes: number) => Promise<T>) => Promise<T> {
  let most = PART_BYTES;
  return async (part) => {
    for (;;) {
      try {
        return await part(most);
      } catch (thrown) {
        if (toAgentError(thrown).code !== "LIMIT" || most <= LEAST_PART_BYTES) throw thrown;
        most /= 2;
      }
    }
  };
}
