import { AgentError } from "../../contract/errors.ts";
import { textOf } from "../../contract/request.ts";
import type { ByteString } from "../../contract/request.ts";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Digits that a number holds exactly, with room for a sum. */
const SAFE_DIGITS = 15;

/** A 64-bit integer as Redis writes it: no plus, no zeros in front, no spaces. A number where that is exact; undefined when it is something else. */
export function parseInt64(text: ByteString): number | bigint | undefined {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return undefined;
  if (text.length <= SAFE_DIGITS) return Number(text);
  const value = BigInt(text);
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

/** The sum as text; undefined when it is beyond 64 bits. */
export function sumInt64(a: number | bigint, b: number | bigint): number | bigint | undefined {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = BigInt(a) + BigInt(b);
  return sum >= INT64_MIN && sum <= INT64_MAX ? sum : undefined;
}

/** A whole number from `least` to `most`. Throws ARGUMENT naming `what`. */
export function wholeNumber(text: ByteString, what: string, least: number, most: number): number {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new AgentError("ARGUMENT", `${what} is a whole number from ${least} to ${most}, not ${shown(text)}`);
}

/** How an error shows what came. */
export function shown(text: ByteString): string {
  return JSON.stringify(textOf(text.length > 40 ? `${text.slice(0, 40)}...` : text));
}
