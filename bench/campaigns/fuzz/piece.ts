import type { Handles } from "./handles.ts";

/** What is sent at one time: a request, or what is none. */
export type Piece = RequestPiece | BytesPiece;

/** A request that is well formed, whatever its words mean: the agent gives exactly one reply. */
export interface RequestPiece {
  readonly kind: "request";
  readonly form: "array" | "line";
  /** Words of one character per byte, and names of handles (see handles.ts). */
  readonly words: readonly string[];
  /** The agent closes after it. */
  readonly ends: boolean;
  /** What the reply must be. */
  readonly expected?: string;
}

export interface BytesPiece {
  readonly kind: "bytes";
  readonly bytes: string;
  /** What is done to the bytes before they are sent: the result is something else, and nobody knows how it is answered. */
  readonly edits: readonly Edit[];
  /** `one`: it gets exactly one reply, and the agent closes. `any`: nobody knows. */
  readonly answers: "one" | "any";
}

/** Takes bytes out and puts others there. Positions count modulo the length. */
export interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

/** One connection: what is sent, and where it is cut. */
export interface Case {
  readonly dialect: "modern" | "classic" | "none";
  readonly pieces: readonly Piece[];
  /** Positions modulo the length. */
  readonly cuts: readonly number[];
}

/** A request as an array of bulk strings. */
export function arrayOf(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

/** A request as somebody would type it; bytes that cannot be typed as escapes. */
export function lineOf(words: readonly string[]): string {
  return `${words.map(typed).join(" ")}\r\n`;
}

function typed(word: string): string {
  if (/^[!#-&(-[\]-~]+$/.test(word)) return word;
  const escaped = word.replaceAll(/[^ !#-[\]-~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}

function edited(bytes: string, edits: readonly Edit[]): string {
  return edits.reduce((before, { at, remove, insert }) => {
    const from = at % (before.length + 1);
    return before.slice(0, from) + insert + before.slice(from + remove);
  }, bytes);
}

/** The piece with handles the agent has given out in place of their names. */
export function filled(piece: Piece, handles: Handles): Piece {
  if (piece.kind === "bytes") return { ...piece, bytes: handles.fill(piece.bytes) };
  return { ...piece, words: piece.words.map((word) => handles.fill(word)) };
}

/** The bytes that are sent for a piece. */
export function bytesOfPiece(piece: Piece): string {
  if (piece.kind === "bytes") return edited(piece.bytes, piece.edits);
  return piece.form === "array" ? arrayOf(piece.words) : lineOf(piece.words);
}

/** `bytes` cut at the case's places. */
export function partsOf(bytes: string, { cuts }: Case): Buffer[] {
  const all = Buffer.from(bytes, "latin1");
  const places = [...cuts.map((cut) => cut % (all.length + 1)), 0, all.length].sort((a, b) => a - b);
  return places.slice(1).map((to, i) => all.subarray(places[i], to));
}
