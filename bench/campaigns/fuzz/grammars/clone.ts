import fc from "fast-check";

import { hostile, mostly, number, request, withOptions } from "../words.ts";
import type { Grammar } from "./grammar.ts";

const device = mostly(fc.constantFrom("lamp", "pump"));
const called = mostly(fc.constantFrom("lamp.on", "lamp.off", "lamp.beam", "pump.on", "pump.off", "virgo_cloud_test_kernelspace"));

const requests = fc.oneof(
  { weight: 6, arbitrary: request("CLONE", called) },
  { weight: 2, arbitrary: request("CLONE", called, mostly(fc.constantFrom("low", "high"))) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.array(
          fc.oneof(
            request("LEASE", number),
            request("DEADLINE", number),
            request("PRIORITY", number),
            request("SEQ", number),
            request("NODE", mostly(fc.constantFrom("ANY", "virgo", "elsewhere"))),
          ),
          { maxLength: 4 },
        ),
        called,
      )
      .map(([options, name]) => ["CLONE", ...options.flat(), name]),
  },
  { weight: 1, arbitrary: request("DEVICES") },
  { weight: 2, arbitrary: request("DESCRIBE", device) },
  { weight: 2, arbitrary: request("RESET", device) },
  { weight: 1, arbitrary: withOptions(request("ESTOP"), request("RESET"), request(hostile)) },
);

const classic = fc.oneof(
  fc.constantFrom(
    ...["lamp.on", "virgo_cloud_test_kernelspace", "nothing", "0:x", "1:/bin/false", "2:lamp.off"],
    ...['lamp.beam("low")', "lamp.beam(", "f(1,)", "lamp.beam(1,2,{})", "x".repeat(3100), "(", ")", "lamp.on()"],
  ),
  fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }).map((text) => `z${text}`),
);

export const clone: Grammar = { requests, classic };
