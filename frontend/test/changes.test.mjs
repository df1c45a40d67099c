// The diff and the taking back of hunks, on thousands of small texts: `npm test`.
import assert from "node:assert/strict";
import test from "node:test";
import { Chunk } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { chunksOf, diffConfig, reverting, toDoc } from "../src/review/changes.js";
import { countLines, lineDiff } from "../src/review/linediff.js";

const TEXTS = 5000;
let seed = 1;

function random(below) {
  seed = (seed * 16807) % 2147483647; // the same texts in every run
  return seed % below;
}

function someText() {
  const words = ["a", "b", "", "xx = 1", "xx = 2", "  foo(bar, baz)"];
  const lines = Array.from({ length: random(9) }, () => words[random(words.length)]);
  return lines.join("\n") + (random(2) ? "\n" : "");
}

function eachPair(check) {
  for (let i = 0; i < TEXTS; i += 1) check(someText(), someText());
}

test("the changes of a diff lead from one text to the other", () => {
  eachPair((a, b) => {
    let [built, at] = ["", 0];
    for (const change of lineDiff(a, b)) {
      built += a.slice(at, change.fromA) + b.slice(change.fromB, change.toB);
      at = change.toA;
    }
    assert.equal(built + a.slice(at), b);
  });
});

test("all hunks taken back at once give the old text", () => {
  eachPair((a, b) => {
    const old = toDoc(a);
    const state = EditorState.create({ doc: toDoc(b) });
    const changes = chunksOf(old, state.doc).map((chunk) => reverting(old, chunk));
    assert.equal(state.update({ changes }).state.doc.toString(), a);
  });
});

test("hunks taken back one by one, in any order, give the old text", () => {
  eachPair((a, b) => {
    const old = toDoc(a);
    let state = EditorState.create({ doc: toDoc(b) });
    let chunks = chunksOf(old, state.doc);
    while (chunks.length) {
      const taken = state.update({ changes: reverting(old, chunks[random(chunks.length)]) });
      chunks = Chunk.updateB(chunks, old, taken.newDoc, taken.changes, diffConfig);
      state = taken.state;
    }
    assert.equal(state.doc.toString(), a);
  });
});

test("a long file of repetitive code keeps its hunks apart", () => {
  const lines = Array.from({ length: 1500 }, (_, i) => `    x = x + scale * ${i % 7}\n`);
  const changed = lines.map((line, i) => (i % 300 === 10 ? "    y = x\n" : line));
  assert.equal(chunksOf(toDoc(lines.join("")), toDoc(changed.join(""))).length, 5);
});

test("lines are counted as git counts them", () => {
  assert.deepEqual(countLines("a\nb\nc\n", "a\nx\nc\nd\n"), { added: 2, removed: 1 });
  assert.deepEqual(countLines("", "a\n"), { added: 1, removed: 0 });
  assert.deepEqual(countLines("a\n", "a"), { added: 1, removed: 1 });
  assert.deepEqual(countLines("a\n", "a\n"), { added: 0, removed: 0 });
});
