import { isUtf8 } from "node:buffer";

import { AgentError } from "../../contract/errors.ts";
import { textOf } from "../../contract/request.ts";
import type { ByteString } from "../../contract/request.ts";

/** The names from the root down; empty for the root itself. None is empty, `.` or `..`, none holds a slash or a control character. */
export type Names = readonly string[];

/** NAME_MAX of Linux. */
const MAX_NAME_BYTES = 255;

/** PATH_MAX of Linux, less its NUL. */
const MAX_PATH_BYTES = 4095;

/** What an error shows of a path. */
const MAX_SHOWN = 80;

/**
 * The names of a path. It starts at the root, with or without a slash in front; `.` and doubled slashes mean nothing. Nothing is decoded: `%2e%2e` is a
 * name like any other. Throws DENIED for `..`, ARGUMENT for what is no UTF-8, has control characters, or is too long or too deep.
 */
export function parsePath(path: ByteString, maxDepth: number): Names {
  if (path.length > MAX_PATH_BYTES) throw new AgentError("ARGUMENT", `a path has up to ${MAX_PATH_BYTES} bytes, not ${path.length}`);
  if (!isUtf8(Buffer.from(path, "latin1"))) throw new AgentError("ARGUMENT", `the path ${shown(path)} is not UTF-8`);
  const text = textOf(path);
  if (/\p{Cc}/u.test(text)) throw new AgentError("ARGUMENT", `the path ${shown(path)} holds a control character`);
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) throw new AgentError("DENIED", `the path ${shown(path)} holds ..; paths go down from the files root only`);
  const long = names.find((name) => Buffer.byteLength(name) > MAX_NAME_BYTES);
  if (long !== undefined) {
    throw new AgentError(
      "ARGUMENT",
      `a name has up to ${MAX_NAME_BYTES} bytes, not ${Buffer.byteLength(long)}: ${long.slice(0, MAX_SHOWN)}...`,
    );
  }
  if (names.length > maxDepth) {
    throw new AgentError("LIMIT", `the path has ${names.length} names, and files.maxDepth is ${maxDepth}`);
  }
  return names;
}

/** The path as errors, permits and replies name it: relative to the root, which is `.`. */
export function pathText(names: Names): string {
  return names.length === 0 ? "." : names.join("/");
}

function shown(path: ByteString): string {
  return JSON.stringify(textOf(path.length > MAX_SHOWN ? `${path.slice(0, MAX_SHOWN)}...` : path));
}
