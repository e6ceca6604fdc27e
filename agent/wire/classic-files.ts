import { AgentError } from "../contract/errors.ts";
import { textOf } from "../contract/request.ts";
import type { ByteString, Reply, Request } from "../contract/request.ts";
import type { ClassicGrammar } from "./classic.ts";
import { CLASSIC_REPLY_BYTES } from "./classic.ts";

/** `virgo_cloud_write(descriptor,data,count,…)`: `args` are descriptor, data and count. Appended, as exactly `count` bytes where that is configured. */
export const FILES_WRITE = "FILES.WRITE";

/** What a descriptor is that none was given for. */
const FAILED_OPEN = "-1";

/** More of a file does not fit into one reply beside its NUL. */
const MAX_READ_BYTES = CLASSIC_REPLY_BYTES - 1;

/**
 * Port 50000: `virgo_cloud_open(path)`, `virgo_cloud_read(descriptor,ignored,count,position)`, `virgo_cloud_write(descriptor,data,count,ignored)` and
 * `virgo_cloud_close(descriptor)`, also with the mangled name of the original's plugin in front, whose read and write have no fourth field: such a read
 * goes on where the last one ended. Data may hold spaces and parentheses, but no comma. Numbers may be in quotes, and so may a path.
 */
export const filesGrammar: ClassicGrammar = {
  createDelimiter: () => () => false,
  request: filesRequest,
  payload: filesPayload,
};

function filesRequest(text: ByteString): Request {
  const [, command, rest] = /^(?:_Z\d+\w+ +)?virgo_cloud_([a-z]+)\((.*)$/s.exec(text) ?? [];
  switch (command) {
    case "open":
      return { verb: "FOPEN", args: [pathOf(rest ?? ""), "RW"] };
    case "read":
      return readRequest(rest ?? "");
    case "write":
      return writeRequest(rest ?? "");
    case "close":
      return { verb: "FCLOSE", args: [numberOf(rest, "the descriptor")] };
    default:
      throw new AgentError(
        "SYNTAX",
        `${shown(text)} is none of virgo_cloud_open, virgo_cloud_read, virgo_cloud_write and virgo_cloud_close`,
      );
  }
}

/** To the first closing parenthesis. */
function pathOf(rest: ByteString): ByteString {
  const end = rest.indexOf(")");
  const path = end < 0 ? rest : rest.slice(0, end);
  return /^".*"$/s.test(path) ? path.slice(1, -1) : path;
}

function readRequest(rest: ByteString): Request {
  const [descriptor, , count, position] = rest.split(",");
  const args = [numberOf(descriptor, "the descriptor"), String(Math.min(MAX_READ_BYTES, Number(numberOf(count, "the count"))))];
  return { verb: "FREAD", args: position === undefined ? args : [...args, numberOf(position, "the position")] };
}

function writeRequest(rest: ByteString): Request {
  const [descriptor, data = "", count] = rest.split(",");
  return { verb: FILES_WRITE, args: [numberOf(descriptor, "the descriptor"), data, numberOf(count, "the count")] };
}

/** The digits a field starts with; quotes and blanks in front do not count. Unlike the original, nothing stands for 0: not `-1`, not an empty field. */
function numberOf(field: ByteString | undefined, what: string): ByteString {
  const digits = /^[" ]*(\d+)/.exec(field ?? "")?.[1];
  if (digits === undefined) throw new AgentError("SYNTAX", `${what} is a whole number from 0, not ${shown(field ?? "")}`);
  return digits;
}

/** How an error shows what came. */
function shown(text: ByteString): string {
  return JSON.stringify(textOf(text.length > 40 ? `${text.slice(0, 40)}...` : text));
}

/** The descriptor, the bytes read, the number of bytes written, 0 for closed. A failure is `-1` for an open, nothing for everything else. */
function filesPayload(reply: Reply, request: Request | undefined): ByteString {
  if (reply.kind === "error") return request?.verb === "FOPEN" ? FAILED_OPEN : "";
  if (reply.kind === "status") return "0";
  if (reply.value instanceof Uint8Array) return Buffer.from(reply.value).toString("latin1");
  return typeof reply.value === "number" ? String(reply.value) : "";
}
