import fc from "fast-check";

import { bytes, hostile, mostly, number, request, withOptions } from "../words.ts";
import type { Grammar } from "./grammar.ts";

const id = mostly(fc.integer({ min: 0, max: 3000 }).map(String));
const partaker = mostly(
  fc.oneof(
    fc.integer({ min: 0, max: 50 }).map((n) => `p${n}`),
    bytes(8),
  ),
);

const requests = fc.oneof(
  { weight: 10, arbitrary: request("EVENT.EDGE", id, id) },
  {
    weight: 6,
    arbitrary: fc.tuple(id, fc.array(partaker, { maxLength: 5 })).map(([vertex, partakers]) => ["EVENT.VERTEX", vertex, ...partakers]),
  },
  { weight: 3, arbitrary: request("EVENT.WHY", id) },
  { weight: 1, arbitrary: request("EVENT.WHY", number) },
  { weight: 1, arbitrary: request("EVENT.EDGE", id, id, "LAMPORT", number) },
  { weight: 1, arbitrary: request("EVENT.GRAPH", mostly(fc.constantFrom("DOT", "JSON", "dot"))) },
  {
    weight: 1,
    arbitrary: withOptions(request("EVENT.GRAPH", fc.constantFrom("DOT", "JSON")), request("FROM", number), request("COUNT", number)),
  },
  { weight: 1, arbitrary: withOptions(request("EVENT.ORDER"), request("FROM", number), request("COUNT", number)) },
  { weight: 1, arbitrary: withOptions(request("EVENT.WHY", id), request("COUNT", number)) },
  { weight: 1, arbitrary: request("EVENT.STAT") },
);

const field = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 3000 }).map(String) },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 10 }) },
  { weight: 1, arbitrary: hostile },
);
const separator = fc.constantFrom("#", "#", "#", "-");

const classic = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom("eventnet_edgemsg", "eventnet_vertexmsg", "eventnet_vertextmsg"), fc.array(field, { maxLength: 5 }), separator)
      .map(([what, fields, mark]) => `${what}#${fields.join(mark)}#`),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom("eventnet_", "eventnet_edgemsg", "z", "eventnet_vertexmsg#"), hostile).map((all) => all.join("")),
  },
);

export const eventnet: Grammar = { requests, classic };
