import { OK, valueReply } from "../../contract/request.ts";
import { isPending, type Eventually } from "../../contract/value.ts";
import { flat } from "./part.ts";
import { canonicalAddress, type AddressWidth } from "./vuid.ts";
import type { ByteString, Caller, Reply } from "../../contract/request.ts";
import type { BlockVerbs } from "./block-verbs.ts";
import type { VerbHandler } from "./key-verbs.ts";

export interface ClassicVerbsOptions {
  /** Bits of the addresses given out: 64 are written with 16 digits, 32 with 8. */
  readonly addressWidth: AddressWidth;
  /** Takes the request instead of the memory. */
  readonly queue: ((payload: ByteString, caller: Caller) => Eventually<Reply>) | undefined;
}

/** The original's four commands, as its grammar hands them on: quotes are gone from sizes and addresses, everything else is as it was sent. */
export function createClassicVerbs(verbs: BlockVerbs, { addressWidth, queue }: ClassicVerbsOptions): Readonly<Record<string, VerbHandler>> {
  const digits = addressWidth / 4;

  function onQueue(command: string, take: (payload: ByteString, caller: Caller) => Eventually<Reply>): VerbHandler {
    return (args, caller) => succeeded(take(`virgo_cloud_${command}(${args.join(",")})`, caller), () => OK);
  }

  function echoed(address: string, reply: Eventually<Reply>): Eventually<Reply> {
    return succeeded(reply, () => valueReply(padded(address)));
  }

  const padded = (address: string): string => address.padStart(digits, "0");

  if (queue !== undefined) {
    return {
      "MEMORY.MALLOC": onQueue("malloc", queue),
      "MEMORY.SET": onQueue("set", queue),
      "MEMORY.GET": onQueue("get", queue),
      "MEMORY.FREE": onQueue("free", queue),
    };
  }
  return {
    "MEMORY.MALLOC": ([size = ""], caller) =>
      succeeded(verbs.allocate(decimal(size), caller, addressWidth), (reply) =>
        reply.kind === "value" && typeof reply.value === "string" ? valueReply(padded(reply.value)) : reply,
      ),
    "MEMORY.SET": ([argument = "", data = ""], caller) => {
      const address = addressIn(argument);
      return echoed(address, verbs.store(address, flat(data), caller));
    },
    "MEMORY.GET": ([argument = ""], caller) => verbs.load(addressIn(argument), caller),
    "MEMORY.FREE": ([argument = ""], caller) => {
      const address = addressIn(argument);
      return echoed(address, verbs.free(address, caller));
    },
  };
}

/** As C's `%d` reads it: white space, a sign, digits, and whatever follows; NaN when there are none. */
function decimal(text: ByteString): number {
  return Number(/^\s*([+-]?\d{1,15})/.exec(text)?.[1] ?? Number.NaN);
}

/** Hex digits up to the first other character, so that `0x1` is address 0, as the original reads it. */
function addressIn(text: ByteString): string {
  return canonicalAddress(/^[0-9a-f]*/i.exec(text)?.[0] ?? "");
}

/** What follows from a success; an error stays what it is. */
function succeeded(reply: Eventually<Reply>, then: (reply: Reply) => Reply): Eventually<Reply> {
  if (isPending(reply)) return reply.then((outcome) => (outcome.kind === "error" ? outcome : then(outcome)));
  return reply.kind === "error" ? reply : then(reply);
}
