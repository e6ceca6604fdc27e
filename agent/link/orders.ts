import type { ByteString, Request } from "../contract/request.ts";

/** What stands before the function in a CLONE, each with a value. */
const OPTIONS: ReadonlySet<string> = new Set(["NODE", "LEASE", "DEADLINE", "PRIORITY", "SEQ", "TOKEN"]);

/** `lamp.on`, also when it came as two words; empty when none is named. */
export function functionNamed(args: readonly ByteString[]): string {
  let at = 0;
  while (OPTIONS.has(args[at]?.toUpperCase() ?? "")) at += 2;
  const word = args[at] ?? "";
  const second = args[at + 1];
  return word.includes(".") || second === undefined ? word : `${word}.${second}`;
}

/** The order as the journal has it: what it is about, and in words. */
export function orderText({ verb, args }: Request): { readonly subject: string; readonly text: string } {
  if (verb !== "CLONE") return { subject: verb === "RESET" ? (args[0] ?? "") : "estop", text: `${verb} ${args[0] ?? ""}` };
  const name = functionNamed(args);
  return { subject: name.slice(0, Math.max(0, name.indexOf("."))), text: name };
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
