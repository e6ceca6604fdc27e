/** What a function takes and returns, and what a variable holds. Text is text; bytes are bytes. */
export type Value = null | boolean | number | bigint | string | Uint8Array | readonly Value[] | { readonly [name: string]: Value };

/** May be there already, or come later: hot paths answer at once, buses and files do not. */
export type Eventually<T> = T | Promise<T>;

/** Whether it has to be waited for. */
export function isPending<T>(result: Eventually<T>): result is Promise<T> {
  return result instanceof Promise;
}

/** For JSON.stringify: integers of 64 bits as numbers where they fit, else as text; bytes as UTF-8 text. */
export function asJson(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
}

/** 64-bit integers and bytes have no JSON of their own: both become text. */
export function plainOf(value: Value): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  if (Array.isArray(value)) return value.map((part: Value) => plainOf(part));
  return Object.fromEntries(Object.entries(value).map(([name, part]: [string, Value]) => [name, plainOf(part)]));
}
