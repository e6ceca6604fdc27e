/** One thing of a pattern that stands for one character, and how often. */
interface Atom {
  readonly source: string;
  /** With how often, as it is written. */
  readonly text: string;
  readonly fewest: number;
  readonly most: number;
  /** It may be left out altogether: its group is optional, or one of several alternatives. */
  readonly optional: boolean;
}

/** Longer ones are programs. */
const MAX_CHARACTERS = 300;

/** Each doubles at worst what has to be tried. */
const MAX_CHOICES = 6;

/** Each multiplies at worst what has to be tried by the length of the line: two make it the cube, with going along the line itself. */
const MAX_AMBIGUOUS = 2;

const ATOM = /^(?:\\[dDwWsStrnfv.*+?^${}()|[\]\\/-]|\[\^?(?:\\[dDwWsStrnfv.*+?^${}()|[\]\\/-]|[^\]\\[])+\]|[^\\()[\]{}*+?|^$])/;
const QUANTIFIER = /^(?:[*+?]|\{(\d{1,3})(,(\d{0,3}))?\})\??/;
const GROUP = /^\((?:\?:|\?<[A-Za-z_]\w{0,31}>)?/;

interface Scan {
  readonly atoms: Atom[];
  choices: number;
}

function quantity(text: string): readonly [number, number] {
  const [whole = "", fewest, comma, most] = QUANTIFIER.exec(text) ?? [];
  if (whole === "") return [1, 1];
  if (whole.startsWith("*")) return [0, Infinity];
  if (whole.startsWith("+")) return [1, Infinity];
  if (whole.startsWith("?")) return [0, 1];
  const least = Number(fewest);
  if (comma === undefined) return [least, least];
  return [least, most === "" || most === undefined ? Infinity : Number(most)];
}

function quantifierLength(text: string): number {
  return QUANTIFIER.exec(text)?.[0].length ?? 0;
}

/** Takes what is between two parentheses; answers where it ends. Throws with the reason for what is not possible. */
function scanGroup(pattern: string, from: number, scan: Scan): number {
  const first = scan.atoms.length;
  let at = from;
  let alternatives = 1;
  while (at < pattern.length && pattern[at] !== ")") {
    if (pattern[at] === "|") {
      alternatives += 1;
      at += 1;
    } else {
      at = pattern[at] === "(" ? scanInner(pattern, at, scan) : scanAtom(pattern, at, scan);
    }
  }
  scan.choices += alternatives - 1;
  if (alternatives > 1) makeOptional(scan, first);
  return at;
}

function makeOptional({ atoms }: Scan, first: number): void {
  for (let i = first; i < atoms.length; i++) atoms[i] = { ...(atoms[i] as Atom), optional: true };
}

function scanInner(pattern: string, from: number, scan: Scan): number {
  const opening = GROUP.exec(pattern.slice(from))?.[0] ?? "(";
  if (pattern[from + opening.length] === "?") throw new RangeError("it looks ahead or behind; groups may only have a name");
  const first = scan.atoms.length;
  const end = scanGroup(pattern, from + opening.length, scan);
  if (pattern[end] !== ")") throw new RangeError("a parenthesis is not closed");
  const rest = pattern.slice(end + 1);
  const length = quantifierLength(rest);
  if (length === 0) return end + 1;
  if (!rest.startsWith("?")) throw new RangeError("a group is repeated; only ? is possible behind one");
  scan.choices += 1;
  makeOptional(scan, first);
  return end + 1 + length;
}

function scanAtom(pattern: string, at: number, scan: Scan): number {
  const rest = pattern.slice(at);
  const source = ATOM.exec(rest)?.[0];
  if (source === undefined) throw new RangeError(`${rest.slice(0, 10)} is not possible; a pattern is for a whole line, without ^ and $`);
  const behind = rest.slice(source.length);
  const [fewest, most] = quantity(behind);
  const length = source.length + quantifierLength(behind);
  scan.atoms.push({ source, text: rest.slice(0, length), fewest, most, optional: false });
  return at + length;
}

/** The characters of one byte that an atom stands for. */
function charactersOf({ source }: Atom): ReadonlySet<number> {
  const one = new RegExp(`^${source}$`, "s");
  const found = new Set<number>();
  for (let code = 0; code < 256; code++) if (one.test(String.fromCharCode(code))) found.add(code);
  return found;
}

/** Whether what the atom at `at` takes could as well be taken by what follows it: then there are several ways to try. */
function isAmbiguous(atoms: readonly Atom[], sets: readonly ReadonlySet<number>[], at: number): boolean {
  const atom = atoms[at] as Atom;
  if (atom.fewest === atom.most) return false;
  const own = sets[at] as ReadonlySet<number>;
  for (let next = at + 1; next < atoms.length; next++) {
    const follower = atoms[next] as Atom;
    for (const code of sets[next] as ReadonlySet<number>) if (own.has(code)) return true;
    if (follower.fewest > 0 && !follower.optional && !atom.optional) return false;
  }
  return false;
}

/**
 * A pattern for whole lines, whose groups have names. Throws RangeError with the reason for one that could take long: JavaScript tries every way a pattern
 * can fit, so groups may not repeat, there is no looking around and no reference back, and at most two things of changing length may overlap with
 * what follows them. What is left tries at worst the cube of the line's length: a tenth of a second for the 256 bytes that a line may have, 10 ms for 128.
 */
export function linePattern(pattern: string): RegExp {
  if (pattern.length > MAX_CHARACTERS) throw new RangeError(`it has ${pattern.length} characters; ${MAX_CHARACTERS} are possible`);
  const scan: Scan = { atoms: [], choices: 0 };
  if (scanGroup(pattern, 0, scan) < pattern.length) throw new RangeError("a parenthesis is closed that was not opened");
  if (scan.choices > MAX_CHOICES)
    throw new RangeError(`it has ${scan.choices} alternatives and optional groups; ${MAX_CHOICES} are possible`);
  const sets = scan.atoms.map(charactersOf);
  const ambiguous = scan.atoms.filter((_, at) => isAmbiguous(scan.atoms, sets, at)).map(({ text }) => text);
  if (ambiguous.length > MAX_AMBIGUOUS) {
    const which = ambiguous.join(", ");
    throw new RangeError(
      `${ambiguous.length} parts of changing length (${which}) could take what follows them too; ${MAX_AMBIGUOUS} are possible`,
    );
  }
  return new RegExp(`^(?:${pattern})$`, "s");
}

/** The names of a pattern's groups. */
export function groupNames(pattern: string): readonly string[] {
  return [...pattern.matchAll(/\(\?<([A-Za-z_]\w*)>/g)].map(([, name]) => name as string);
}
