// Changed line ranges of two texts, and how one is taken back. Nothing here touches the page.
import { Chunk } from "@codemirror/merge";
import { Text } from "@codemirror/state";
import { lineDiff } from "./linediff.js";

export const diffConfig = { override: lineDiff };

/** Return a text as a document of the editor; nothing but line feeds ends a line. */
export function toDoc(string) {
  return Text.of(string.split("\n"));
}

/** Return the changed ranges between two documents. */
export function chunksOf(a, b) {
  return Chunk.build(a, b, diffConfig);
}

/** Return the changed range that the position lies in or at, if any. */
export function chunkAt(chunks, pos) {
  return chunks.find((chunk) => chunk.fromB <= pos && chunk.endB >= pos) ?? null;
}

/**
 * Return the changes of document `b` that take one changed range back to what `a` has there.
 *
 * Character by character rather than line by line, as the merge view's own revert does it: at the
 * end of a file without a last line break that one goes wrong.
 */
export function reverting(a, chunk) {
  return chunk.changes.map((c) => ({
    from: chunk.fromB + c.fromB,
    to: chunk.fromB + c.toB,
    insert: a.slice(chunk.fromA + c.fromA, chunk.fromA + c.toA),
  }));
}
