import { SECRET, type Grounds } from "./grounds.ts";

/** A path that somebody tries, one character per byte. */
export interface Attempt {
  readonly path: string;
  /** Leads out, or to what is no file: must be refused. Otherwise it is a name like any other, and whatever it opens is inside. */
  readonly refused: boolean;
  /** The last name of it is outside too, so that removing or renaming it must be refused as well. */
  readonly changes: boolean;
  /** Would reach this machine itself if it got out: it is only ever opened to read, so that an agent that fails here does no harm. */
  readonly system: boolean;
}

const FOLDERS_OUT = [
  "absolute",
  "relative",
  "inner/up",
  "inner/deep/up",
  "through-root",
  "through-inner",
  "parent/outside",
  "chain",
  "inner/chain",
  "inner/deep/chain",
];

const LINKS_OUT = ["parent", "file", "file-relative", "beside", "dangling", "dangling-deep", "loop", "loop-a", "loop-b", "loop-folder"];

/** Links to what belongs to this machine. */
const SYSTEM_LINKS = [
  ...["top", "proc-root", "proc-cwd", "proc-fd", "proc-exe", "proc-one", "proc-environ", "dev-null", "dev-zero", "dev-stdin", "dev-tty"],
  ...["etc", "passwd", "sys"],
];

/** What some decoder somewhere takes for two dots, or for a slash. */
const DISGUISED = [
  ...["%2e%2e", "%2E%2E", "..%2f", "%2e%2e%2f", "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae", "%u002e%u002e", "..%00"],
  ...[
    "..\\",
    "..\\..\\outside\\canary",
    "....",
    "....//",
    "...",
    "..;",
    ".. ",
    " ..",
    "..\u{a0}",
    "~",
    "~root",
    "$HOME",
    "`pwd`",
    "*",
    "?anary",
  ],
  ...[
    "\u{2024}\u{2024}",
    "\u{2025}",
    "\u{ff0e}\u{ff0e}",
    "\u{ff0f}",
    "\u{2215}",
    "\u{29f8}",
    "\u{202e}..",
    ".\u{200b}.",
    "file:",
    "C:",
    "\\\\host\\share",
  ],
].map((text) => Buffer.from(text).toString("latin1"));

/** Bytes that are no UTF-8: overlong forms of . and /, halves of characters, UTF-16. */
const NO_TEXT = [
  "\xc0\xae\xc0\xae",
  "\xe0\x80\xae\xe0\x80\xae",
  "\xf0\x80\x80\xae",
  "..\xc0\xaf",
  "..\xe0\x80\xaf",
  "\xff\xfe.\0.\0",
  "\xed\xa0\x80",
  "a\xff",
];

const DOTS = ["..", "../", "./..", "../.", "..//", "/..", "//..", "/./../"];

/** Leads out, or to what is no file. */
function refused(path: string, changes = true): Attempt {
  return { path, refused: true, changes, system: false };
}

/** Leads to this machine's own files. */
function refusedSystem(path: string): Attempt {
  return { path, refused: true, changes: false, system: true };
}

/** A name like any other, however it looks. */
function plain(path: string): Attempt {
  return { path, refused: false, changes: false, system: false };
}

/** A path somebody made up. Only what neither climbs nor starts at the top is opened to write. */
export function madeUp(path: string): Attempt {
  return { path, refused: false, changes: false, system: path.includes("..") || path.startsWith("/") };
}

/** Every path there is a reason to try. */
export function attemptsAt(grounds: Grounds): readonly Attempt[] {
  return [...dotted(), ...linked(), ...special(grounds), ...malformed(), ...disguised(), ...absolute(grounds)];
}

function dotted(): readonly Attempt[] {
  const before = ["", "inner/", "inner/deep/", "none/", "/", "inner/plain/", "absolute/"];
  const after = ["", "/outside/canary", "/root-beside", "/root/inner/plain"];
  const starts = DOTS.flatMap((dots) => before.map((start) => start + dots));
  const climbs = Array.from({ length: 24 }, (_, depth) => `${"../".repeat(depth + 1)}etc/passwd`);
  return [
    ...starts.flatMap((start) => after.map((end) => refused(start + end))),
    ...starts.map((start) => refusedSystem(`${start}/../../../../../../etc/passwd`)),
    ...climbs.map(refusedSystem),
  ];
}

function linked(): readonly Attempt[] {
  const below = ["canary", `${SECRET}/canary`, "new", "new/folder/file", "./canary", "/canary"];
  const folders = FOLDERS_OUT.flatMap((folder) => [
    refused(folder, false),
    refused(`${folder}/.`, false),
    ...below.map((name) => refused(`${folder}/${name}`)),
  ]);
  const names = ["x", "0", "1", "etc/passwd", "self/environ", "passwd"];
  const links = LINKS_OUT.flatMap((link) => [refused(link, false), ...names.map((name) => refused(`${link}/${name}`))]);
  const system = SYSTEM_LINKS.flatMap((link) => [link, ...names.map((name) => `${link}/${name}`)].map(refusedSystem));
  return [...folders, ...links, ...system];
}

function special({ devices }: Grounds): readonly Attempt[] {
  const names = ["hard", "fifo", "socket", ...(devices ? ["null", "zero"] : [])];
  return names.flatMap((name) => [refused(name), refused(`${name}/x`)]);
}

function malformed(): readonly Attempt[] {
  const bytes = NO_TEXT.flatMap((name) => [name, `${name}/outside/canary`, `inner/${name}`]);
  const control = [...Array(32).keys(), 0x7f].map((code) => `inner/plain${String.fromCharCode(code)}x`);
  const deep = [`${"n/".repeat(33)}n`, "n/".repeat(2047), `${"/".repeat(4000)}${"x".repeat(500)}`];
  return [...bytes, ...control, "n".repeat(256), `inner/${"n".repeat(4000)}`, ...deep].map((path) => refused(path));
}

function disguised(): readonly Attempt[] {
  return DISGUISED.flatMap((name) => [name, `${name}/outside/canary`, `inner/${name}/${name}/outside/canary`]).map(plain);
}

function absolute({ root, outside }: Grounds): readonly Attempt[] {
  const here = [outside, `${outside}/canary`, `${root}/inner/plain`, `${root}-beside`];
  const system = ["/etc/passwd", "//etc/passwd", "/proc/self/root/etc/passwd", "/proc/self/fd/3", "/proc/self/environ", "/proc/1/root"];
  return [
    ...here.map(plain),
    ...[...system, "/dev/null", "/dev/zero", "/sys/power/state", "/var/log/virgo_fs/x"].map((path) => ({ ...plain(path), system: true })),
  ];
}

/** Names that paths are made of at random. */
export const SEGMENTS = [
  ...["..", ".", "", "inner", "deep", "plain", "canary", "outside", "root", "proc", "self", "fd", "0", "etc", "passwd"],
  ...FOLDERS_OUT,
  ...LINKS_OUT,
  ...["fifo", "socket", "hard", "null", "zero", "\0", "\xc0\xae\xc0\xae", "%2e%2e", "n".repeat(300)],
];
