import type { ByteString } from "../../contract/request.ts";
import type { Details } from "./graph.ts";

// The text files of the original's ecosystem. What separates inside a file is written %XX in it, and so is a % that two hexadecimal digits follow:
// whoever does not know that still finds the right number of fields.

/** `from,to` and LF. */
export function edgeLine(from: ByteString, to: ByteString): ByteString {
  return `${edgeText(from)},${edgeText(to)}\n`;
}

/** `7 - 11,12,15 - (11,12)#(12,15)` and LF: id, partakers, conversations. */
export function vertexLine(id: ByteString, { partakers, conversations }: Details): ByteString {
  return `${vertexText(id)} - ${namesText(partakers)} - ${conversations.map((names) => `(${namesText(names)})`).join("#")}\n`;
}

/** `0 - 7 ` and LF: place in the order, from 0, and id; the blank before the line feed is the original's. */
export function orderingLine(place: number, id: ByteString): ByteString {
  return `${place} - ${vertexText(id)} \n`;
}

/** The name that was written so. */
export function unescaped(text: ByteString): ByteString {
  return text.includes("%") ? text.replaceAll(/%([\dA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))) : text;
}

const EDGE_SEPARATORS = /,|%(?=[\dA-F]{2})/g;
const VERTEX_SEPARATORS = /[-,#()]|%(?=[\dA-F]{2})/g;

function edgeText(id: ByteString): ByteString {
  return id.includes(",") || id.includes("%") ? escaped(id, EDGE_SEPARATORS) : id;
}

/** An id as EventNetVertices.txt and EventNetOrdering.txt have it. */
export function vertexText(name: ByteString): ByteString {
  return escaped(name, VERTEX_SEPARATORS);
}

function namesText(names: readonly ByteString[]): ByteString {
  return names.map(vertexText).join(",");
}

function escaped(name: ByteString, separators: RegExp): ByteString {
  return name.replaceAll(separators, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
