import type { ByteString } from "../../contract/request.ts";

/** What every graph of the original starts with. */
export const DOT_HEAD = `digraph D {\n  rankdir=LR\n  size="4,3"\n  ratio="fill"\n  edge[style="bold"]\n  node[shape="circle"]\n`;

export const DOT_END = "}\n";

/** `"7 " [Label="11,12"]` and LF, with the original's blank after the id. */
export function dotVertex(id: ByteString, partakers: readonly ByteString[]): ByteString {
  return `${quoted(`${id} `)} [Label=${quoted(partakers.join(","))}]\n`;
}

/** `5  -> 7[label="1", color="grey"]` and LF. */
export function dotEdge(from: ByteString, to: ByteString): ByteString {
  return `${dotId(from)}  -> ${dotId(to)}[label="1", color="grey"]\n`;
}

/** What needs no quotes: a number, or a word that means nothing to DOT. */
const BARE = /^(?:[A-Za-z_][A-Za-z_0-9]*|\d+(?:\.\d*)?)$/;
const KEYWORD = /^(?:node|edge|graph|digraph|subgraph|strict)$/i;

function dotId(id: ByteString): ByteString {
  return BARE.test(id) && !KEYWORD.test(id) ? id : quoted(id);
}

/** Two backslashes for one: a single one at the end would take the quote with it. Names have no line breaks. */
function quoted(text: ByteString): ByteString {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
