import type { ByteString, Request } from "../contract/request.ts";

/** What stands before the function in a CLONE, each with a value. */
const OPTIONS: ReadonlySet<string> = new Set(["NODE", "LEASE", "DEADLINE", "PRIORITY", "SEQ"]);

/** `lamp.on`, also when it came as two words; empty when none is named. */
export function functionNamed(args: readonly ByteString[]): string {
  let at = 0;
  while (OPTIONS.has(args[at]?.toUpperCase() ?? "")) at += 2;
  const word = args[at] ?? "";
  const second = args[at + 1];
  return word.includes(".") || second === undefined ? word : `${word}.${second}`;
}

/**
 * Whether the request changes what devices do, so that it must not be carried out when it comes late. The emergency stop is none: it may come late, but its
 * reset may not.
 */
export function isOrder({ verb, args }: Request, reads: (callName: string) => boolean): boolean {
  switch (verb) {
    case "CLONE":
      return !reads(functionNamed(args));
    case "RESET":
      return true;
    case "ESTOP":
      return args.length > 0;
    default:
      return false;
  }
}
