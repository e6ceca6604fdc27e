import fc from "fast-check";

import { handleName } from "../handles.ts";
import { data, hostile, mostly, number, request, withOptions } from "../words.ts";
import type { Grammar } from "./grammar.ts";

const topic = mostly(fc.constantFrom("orders", "logs", "a", "b", "dead.orders", ""));
const message = mostly(fc.oneof({ weight: 8, arbitrary: fc.constant(handleName("message")) }, { weight: 2, arbitrary: number }));

const mark = mostly(fc.integer({ min: 0, max: 200 }).map((n) => `mark-${n}`));

/** Waiting is bounded by the option's own limit and by what a connection may take here. */
const waitMs = fc.constantFrom("0", "1", "20", "-1", "x", "", "1.5", "99999999999999999999");

const requests = fc.oneof(
  {
    weight: 8,
    arbitrary: withOptions(request("ENQUEUE", data), request("TOPIC", topic), request("PRIORITY", number), request("CORRELATION", mark)),
  },
  {
    weight: 8,
    arbitrary: withOptions(request("DEQUEUE"), request("TOPIC", topic), request("VISIBILITY", number), request("WAIT", waitMs)),
  },
  { weight: 8, arbitrary: request("ACK", message) },
  { weight: 3, arbitrary: withOptions(request("NACK", message), request("DELAY", number), request("REASON", data)) },
  { weight: 3, arbitrary: request("REPLY", message, data) },
  { weight: 3, arbitrary: withOptions(request("AWAIT", message), request("WAIT", waitMs)) },
  { weight: 1, arbitrary: withOptions(request("AWAIT", "CORRELATION", mark), request("WAIT", waitMs)) },
  { weight: 1, arbitrary: request("QSTAT") },
  { weight: 1, arbitrary: request("QSTAT", topic) },
);

const text = fc.string({ unit: "grapheme-ascii", maxLength: 60 });

const classic = fc.oneof(
  { weight: 6, arbitrary: text.map((what) => `z${what}`) },
  { weight: 1, arbitrary: hostile.map((what) => `z${what}`) },
  { weight: 2, arbitrary: text.map((what) => `REPLY#7f000001#1:2 ${what}`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("REPLY#", "REPLY##", "REQUEST#", "REPLY#zz#", "REPLY#7f000001#"), hostile)
      .map((all) => all.join("")),
  },
  { weight: 1, arbitrary: fc.constantFrom("x".repeat(499), "x".repeat(2999), "x".repeat(3100)) },
);

export const queue: Grammar = { requests, classic };
