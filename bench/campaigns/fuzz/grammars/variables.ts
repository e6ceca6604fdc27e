import fc from "fast-check";

import { data, mostly, number, request } from "../words.ts";

const name = mostly(fc.constantFrom("battery_v", "localhost_load", "match", "a", "b", "c"));

/** The analytics verbs, which the gateway answers. */
export const variables = fc.oneof(
  { weight: 3, arbitrary: request("VAR.SET", name, number) },
  { weight: 2, arbitrary: request("VAR.SET", name, data) },
  { weight: 1, arbitrary: request("VAR.SET", name, number, name, data) },
  { weight: 3, arbitrary: request("VAR.GET", name) },
  { weight: 1, arbitrary: request("VAR.LIST") },
  { weight: 1, arbitrary: request("VAR.SLOTS") },
  { weight: 1, arbitrary: request("VAR.UNWATCH", name) },
);
