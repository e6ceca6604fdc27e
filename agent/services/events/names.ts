import { AgentError } from "../../contract/errors.ts";
import { textOf, type ByteString } from "../../contract/request.ts";

/** Bytes of an event's id, or of a partaker's name. */
export const MAX_NAME_BYTES = 128;

const BLANK = 0x20;
const DELETE = 0x7f;

/**
 * The id that `bytes` stand for: 1 to 128 bytes of UTF-8 without control characters, blanks at its ends dropped. Whole numbers are compared as the original
 * compares them: `007` is 7. `@` and digits are refused, which stand for an entry of the journal. Throws ARGUMENT.
 */
export function eventId(bytes: ByteString): ByteString {
  const id = checkedName(bytes, "an event's id");
  const first = id.charCodeAt(0);
  if (first === 0x30 && /^\d+$/.test(id)) return id.replace(/^0+(?=\d)/, "");
  if (first === 0x40 && journalNumber(id) !== undefined) {
    throw new AgentError("ARGUMENT", `${id} stands for an entry of the journal; an event's id is something else`);
  }
  return id;
}

/** The name of who takes part in an event: as an id, but never a number. Throws ARGUMENT. */
export function partakerName(bytes: ByteString): ByteString {
  return checkedName(bytes, "a partaker's name");
}

/** The number in `@123`. */
export function journalNumber(text: string): number | undefined {
  return /^@\d{1,15}$/.test(text) ? Number(text.slice(1)) : undefined;
}

function checkedName(bytes: ByteString, what: string): ByteString {
  const name = withoutOuterBlanks(bytes);
  if (name.length === 0 || name.length > MAX_NAME_BYTES) {
    throw new AgentError("ARGUMENT", `${what} has 1 to ${MAX_NAME_BYTES} bytes, got ${name.length}`);
  }
  let plain = true;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < BLANK || code === DELETE) {
      throw new AgentError("ARGUMENT", `${what} has no control characters, got ${JSON.stringify(textOf(name))}`);
    }
    if (code > DELETE) plain = false;
  }
  if (!plain && textOf(name).includes("\uFFFD")) throw new AgentError("ARGUMENT", `${what} is UTF-8, got bytes that are not`);
  return name;
}

/** Only spaces: `trim` would also take the last byte of some UTF-8 characters. */
export function withoutOuterBlanks(bytes: ByteString): ByteString {
  let start = 0;
  let end = bytes.length;
  while (start < end && bytes.charCodeAt(start) === BLANK) start += 1;
  while (end > start && bytes.charCodeAt(end - 1) === BLANK) end -= 1;
  return start === 0 && end === bytes.length ? bytes : bytes.slice(start, end);
}
