import fc from "fast-check";

import { handleName } from "../handles.ts";
import { data, hostile, mostly, number, request, withOptions } from "../words.ts";
import type { Grammar } from "./grammar.ts";

const key = mostly(fc.integer({ min: 0, max: 400 }).map((n) => `key:${n}`));
const counter = mostly(fc.constantFrom("count:a", "count:b", "count:c", "key:1"));
const pool = mostly(fc.constantFrom("kept", "common", "nothing"));
const pattern = mostly(fc.constantFrom("*", "key:*", "key:?", "k[e-z]y:*", "*1*2*3*", "[^a", "\\*", "a*".repeat(40)));
const vuid = mostly(
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(handleName("vuid")) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("virgo:ffff880000000000", "elsewhere:ffff880000000010", "ffff880000000000", "0", ":", "virgo:"),
    },
    { weight: 1, arbitrary: fc.constant(`${handleName("vuid")}0`) },
  ),
);

/** KEYS and FLUSHDB are rare: the one answers, the other empties everything. */
const rare = fc.oneof(request("KEYS", pattern), request("FLUSHDB"), request("SELECT", number), request("CONFIG", "GET", pattern));

const requests = fc.oneof(
  { weight: 4, arbitrary: request("MALLOC", number) },
  { weight: 2, arbitrary: withOptions(request("MALLOC", number), request("TTL", number), request("POOL", pool), request("HERE")) },
  { weight: 6, arbitrary: request("SETM", vuid, data) },
  { weight: 2, arbitrary: request("SETM", vuid, data, "IF", number) },
  { weight: 6, arbitrary: request("GETM", vuid) },
  { weight: 1, arbitrary: request("GETM", vuid, "REV") },
  { weight: 1, arbitrary: request("TOUCHM", vuid) },
  { weight: 4, arbitrary: request("FREEM", vuid) },
  {
    weight: 8,
    arbitrary: withOptions(
      request("SET", key, data),
      request("PX", number),
      request("EX", number),
      request("NX"),
      request("XX"),
      request("IFREV", number),
    ),
  },
  { weight: 6, arbitrary: request("GET", key) },
  { weight: 3, arbitrary: fc.array(key, { maxLength: 5 }).map((keys) => ["DEL", ...keys]) },
  { weight: 2, arbitrary: fc.array(key, { maxLength: 5 }).map((keys) => ["EXISTS", ...keys]) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("PTTL", "TTL", "STRLEN", "TYPE", "GETREV", "GETDEL", "PERSIST"), key) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("EXPIRE", "PEXPIRE"), key, number) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("SETNX", "APPEND"), key, data) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("SETEX", "PSETEX"), key, number, data) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("INCRBY", "DECRBY"), counter, number) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("DECR", "UNLINK"), counter) },
  { weight: 1, arbitrary: fc.array(fc.oneof(key, data), { maxLength: 6 }).map((pairs) => ["MSETNX", ...pairs]) },
  { weight: 1, arbitrary: withOptions(request("SCAN", number), request("MATCH", pattern), request("COUNT", number)) },
  { weight: 1, arbitrary: request("DBSIZE") },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 40 }).chain((draw) => (draw === 0 ? rare : request("DBSIZE"))) },
  { weight: 4, arbitrary: request("INCR", counter) },
  { weight: 1, arbitrary: request("SET", counter, number) },
  { weight: 3, arbitrary: fc.array(key, { maxLength: 10 }).map((keys) => ["MGET", ...keys]) },
  { weight: 3, arbitrary: fc.array(fc.oneof(key, data), { maxLength: 10 }).map((pairs) => ["MSET", ...pairs]) },
);

const address = fc.oneof(
  { weight: 6, arbitrary: fc.constant(handleName("vuid")) },
  { weight: 1, arbitrary: fc.constantFrom("ffff880000000000", "eca9f800", '"eca9f800"', "0x10", "0", "", "zz", "f".repeat(40)) },
);
const text = fc.string({ unit: "grapheme-ascii", maxLength: 60 });

const classic = fc.oneof(
  { weight: 4, arbitrary: number.map((size) => `virgo_cloud_malloc(${size})`) },
  { weight: 4, arbitrary: fc.tuple(address, text).map(([at, what]) => `virgo_cloud_set(${at},${what})`) },
  { weight: 4, arbitrary: address.map((at) => `virgo_cloud_get(${at})`) },
  { weight: 2, arbitrary: address.map((at) => `virgo_cloud_free(${at})`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("virgo_cloud_malloc", "virgo_cloud_nothing", "z", "virgo_cloud_set(", "virgo_cloud_set(1"), hostile)
      .map((all) => all.join("")),
  },
  { weight: 1, arbitrary: text.map((what) => `z${what}`) },
);

export const memory: Grammar = { requests, classic };
