import fc from "fast-check";

import { handleName } from "../handles.ts";
import { bytes, data, hostile, number, request } from "../words.ts";
import type { Grammar } from "./grammar.ts";

const path = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 0, max: 30 }).map((n) => `f${n}`) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom("a", "b", "a/b"), fc.integer({ min: 0, max: 9 })).map(([folder, n]) => `${folder}/f${n}`),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        "",
        ".",
        "..",
        "/",
        "//",
        "a/../..",
        "../x",
        "a/../../etc/passwd",
        "/etc/passwd",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "/dev/zero",
      ],
      ...["%2e%2e/x", "..\\x", "a//b", "a/./b", "a/", "f1/f2", "/var/log/virgo_fs/f1", "/var/log/virgo_fs/../../x", "~", "a\0b"],
      ...["x".repeat(255), "x".repeat(256), "y/".repeat(300), "z".repeat(5000), "con", ".hidden", "-rf", "f1\n", "\u00e4\u00ff"],
    ),
  },
  { weight: 1, arbitrary: bytes(30) },
);
const descriptor = fc.oneof(
  { weight: 10, arbitrary: fc.constant(handleName("descriptor")) },
  { weight: 1, arbitrary: number },
  { weight: 1, arbitrary: hostile },
);

const requests = fc.oneof(
  { weight: 6, arbitrary: request("FOPEN", path) },
  { weight: 3, arbitrary: request("FOPEN", path, fc.constantFrom("RW", "R", "rw", "W", "")) },
  { weight: 5, arbitrary: request("FREAD", descriptor, number) },
  { weight: 4, arbitrary: request("FREAD", descriptor, number, number) },
  { weight: 6, arbitrary: request("FWRITE", descriptor, data) },
  { weight: 4, arbitrary: request("FWRITE", descriptor, data, number) },
  { weight: 6, arbitrary: request("FCLOSE", descriptor) },
  { weight: 3, arbitrary: request("FSTAT", path) },
  { weight: 1, arbitrary: request("FLIST", path) },
  { weight: 1, arbitrary: request("FLIST", path, "AFTER", path) },
  { weight: 2, arbitrary: request("FRENAME", path, path) },
  { weight: 2, arbitrary: request("FREMOVE", path) },
);

const text = fc.string({ unit: "grapheme-ascii", maxLength: 60 });

const classic = fc.oneof(
  { weight: 4, arbitrary: path.map((name) => `virgo_cloud_open(${name})`) },
  { weight: 4, arbitrary: fc.tuple(descriptor, number, number).map(([fd, count, at]) => `virgo_cloud_read(${fd},"none",${count},${at})`) },
  {
    weight: 4,
    arbitrary: fc.tuple(descriptor, text, number, number).map(([fd, what, count, at]) => `virgo_cloud_write(${fd},${what},${count},${at})`),
  },
  { weight: 4, arbitrary: descriptor.map((fd) => `virgo_cloud_close(${fd})`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("virgo_cloud_open", "virgo_cloud_nothing(", "virgo_cloud_write(0", "z"), hostile)
      .map((all) => all.join("")),
  },
  { weight: 1, arbitrary: text.map((what) => `z${what}`) },
);

export const files: Grammar = { requests, classic };
