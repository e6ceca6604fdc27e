import fc from "fast-check";

import { bytes, data, hostile, mostly, request } from "../words.ts";

/** Verbs every port answers. QUIT ends a connection: it is sent elsewhere. */
export const session = fc.oneof(
  { weight: 4, arbitrary: request("PING") },
  { weight: 2, arbitrary: request("PING", data) },
  { weight: 2, arbitrary: request("HELLO", mostly(fc.constantFrom("2", "3"))) },
  { weight: 1, arbitrary: request("HELLO", "3", "AUTH", hostile, hostile, "SETNAME", bytes(80)) },
  { weight: 1, arbitrary: request("AUTH", hostile) },
  { weight: 1, arbitrary: request("HELP", mostly(fc.constantFrom("PING", "SET", "enqueue"))) },
  { weight: 1, arbitrary: request("INFO", mostly(fc.constantFrom("server", "memory", "queue"))) },
  { weight: 1, arbitrary: request("COMMAND", mostly(fc.constantFrom("COUNT", "LIST", "INFO")), hostile) },
  { weight: 2, arbitrary: request("CLIENT", mostly(fc.constantFrom("SETNAME", "GETNAME", "ID", "SETINFO", "INFO", "LIST")), hostile) },
);

/** Verbs that no service has, or that only codecs make. VAR.WATCH and EVENT.TAIL send what was not asked for: they are sent elsewhere. */
export const strangers = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(
        "CLONE.CALL",
        "CLONE.TOKEN",
        "MEMORY.CLASSIC",
        "FILES.CLASSIC",
        "QUEUE.CLASSIC",
        "EVENT.CLASSIC",
        "CONFIG",
        "EVAL",
        "KEYS",
        "FLUSHALL",
        "SHUTDOWN",
      ),
      fc.array(hostile, { maxLength: 3 }),
    )
    .map(([verb, rest]) => [verb, ...rest]),
  fc.tuple(bytes(20), fc.array(bytes(40), { maxLength: 4 })).map(([verb, rest]) => [verb, ...rest]),
);
