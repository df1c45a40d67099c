// One file: what it was beside (or within) what it becomes; the new text can be edited in place.
import {
  defaultKeymap,
  history,
  historyField,
  historyKeymap,
  indentWithTab,
} from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { Chunk, MergeView, getChunks, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, StateField } from "@codemirror/state";
import {
  Decoration,
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { h } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { chunkAt, chunksOf, diffConfig, reverting, toDoc } from "./changes.js";
import { languageOf } from "./languages.js";
import { theme } from "./theme.js";

const collapsed = { margin: 3, minSize: 6 };

/**
 * Open a file `{path, old, proposed, text}` in an editor.
 *
 * `onEdit()` is called after each change, `onEscape()` when Escape has nothing left to close.
 */
export function createEditor({ file, readOnly, split, expanded, onEdit, onEscape }) {
  const old = toDoc(file.old);
  const proposed = toDoc(file.proposed);
  const mine = mineField(proposed);
  const dom = h("div", { class: "ark-editor", testid: "editor" });
  let merge = null; // only when split
  let view = null; // the editable side
  let visited = false; // until then, "next" means the first change

  const looks = [
    lineNumbers(),
    highlightSpecialChars(),
    EditorView.lineWrapping, // half a notebook is 50 columns; scrolling sideways hides changes
    EditorState.tabSize.of(4),
    languageOf(file.path),
    theme,
  ];

  function editable(before) {
    return [
      looks,
      history(),
      // Undo goes on where it was when the view is switched.
      before ? historyField.init(() => before.field(historyField)) : [],
      drawSelection(),
      highlightActiveLine(),
      highlightSelectionMatches(),
      bracketMatching(),
      indentOnInput(),
      search({ top: true }),
      mine,
      EditorState.readOnly.of(readOnly),
      EditorView.contentAttributes.of({
        "aria-label": `${file.path}, ${readOnly ? "read only" : "as proposed, editable"}`,
      }),
      EditorView.updateListener.of((update) => {
        if (update.focusChanged) visited = true;
        if (update.docChanged) onEdit();
      }),
      keymap.of([
        ...defaultKeymap,
        ...historyKeymap,
        ...searchKeymap,
        indentWithTab,
        { key: "Escape", run: onEscape },
      ]),
    ];
  }

  function build(nowSplit, nowExpanded) {
    const before = view?.state;
    const doc = before?.doc ?? toDoc(file.text);
    const selection = before?.selection;
    const collapseUnchanged = nowExpanded ? undefined : collapsed;
    (merge ?? view)?.destroy();
    merge = null;
    if (nowSplit) {
      merge = new MergeView({
        parent: dom,
        a: {
          doc: old,
          extensions: [looks, EditorState.readOnly.of(true), EditorView.editable.of(false)],
        },
        b: { doc, selection, extensions: editable(before) },
        revertControls: readOnly ? undefined : "a-to-b",
        renderRevertControl: () =>
          revertButton((button) => merge.chunks[Number(button.dataset.chunk)]),
        collapseUnchanged,
        diffConfig,
      });
      view = merge.b;
    } else {
      const mergeControls = (type) =>
        type === "accept"
          ? h("span", { hidden: true }) // the patch is approved as a whole
          : revertButton((button) =>
              chunkAt(chunks(), view.posAtDOM(button.closest(".cm-deletedChunk"))),
            );
      view = new EditorView({
        parent: dom,
        state: EditorState.create({
          doc,
          selection,
          extensions: [
            editable(before),
            EditorView.editorAttributes.of({ class: "cm-merge-b" }),
            unifiedMergeView({
              original: old,
              mergeControls: readOnly ? false : mergeControls,
              collapseUnchanged,
              diffConfig,
            }),
          ],
        }),
      });
    }
    dom.dataset.view = nowSplit ? "split" : "unified";
  }

  function revertButton(find) {
    const label = "Take this change back (Alt+Z at the cursor)";
    const button = h(
      "button",
      {
        type: "button",
        class: "ark-revert",
        title: label,
        "aria-label": label,
        testid: "hunk-revert",
      },
      icon("undo"),
    );
    // The merge view acts on mousedown, which a keyboard never sends; a click comes from both.
    button.addEventListener("mousedown", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
    button.addEventListener("click", () => {
      revert(find(button));
      view.focus(); // the button is gone
    });
    return button;
  }

  const chunks = () => getChunks(view.state)?.chunks ?? [];

  function revert(chunk) {
    if (!chunk || readOnly) return false;
    view.dispatch({ changes: reverting(old, chunk), userEvent: "revert" });
    return true;
  }

  build(split, expanded);

  return {
    dom,
    /** The text as it stands. */
    text: () => view.state.doc.toString(),
    /** The lines of the selection {first, last, lines}, or null when nothing is selected. */
    selected() {
      const { from, to, empty } = view.state.selection.main;
      if (empty) return null;
      const { doc } = view.state;
      const [first, last] = [doc.lineAt(from).number, doc.lineAt(to).number];
      const lines = Array.from({ length: last - first + 1 }, (_, i) => doc.line(first + i).text);
      return { first, last, lines };
    },
    /** How many ranges differ from the parent, and how many from the proposal. */
    counts: () => ({ changes: chunks().length, mine: view.state.field(mine).length }),
    rebuild: build,
    /** Go to the next (1) or previous (-1) change; false when there is none in that direction. */
    step(direction) {
      const at = visited ? view.state.selection.main.head : -1;
      const all = chunks();
      const found =
        direction > 0
          ? all.find((c) => c.fromB > at)
          : all.findLast((c) => c.fromB < at && c.endB < at);
      if (!found) return false;
      visited = true;
      const pos = Math.min(found.fromB, view.state.doc.length);
      view.dispatch({
        selection: { anchor: pos },
        effects: EditorView.scrollIntoView(pos, { y: "center" }),
      });
      view.focus();
      return true;
    },
    /** Take back the change at the cursor; false when the cursor is at none. */
    revertAtCursor: () => revert(chunkAt(chunks(), view.state.selection.main.head)),
    /** Take back all that the person changed, as one step of undo. */
    reset() {
      const changes = chunksOf(proposed, view.state.doc).map((chunk) => reverting(proposed, chunk));
      if (changes.length) view.dispatch({ changes, userEvent: "revert" });
    },
    focus: () => view.focus(),
    destroy() {
      (merge ?? view).destroy();
      dom.remove();
    },
  };
}

/** The ranges that differ from the proposal, kept up to date, and a mark on their lines. */
function mineField(proposed) {
  const line = Decoration.line({ class: "ark-mine" });
  return StateField.define({
    create: (state) => chunksOf(proposed, state.doc),
    update: (found, tr) =>
      tr.docChanged ? Chunk.updateB(found, proposed, tr.newDoc, tr.changes, diffConfig) : found,
    provide: (field) =>
      EditorView.decorations.compute([field], (state) => {
        const marks = [];
        for (const chunk of state.field(field)) {
          for (let pos = chunk.fromB; pos < chunk.toB && pos <= state.doc.length; ) {
            const { from, to } = state.doc.lineAt(pos);
            marks.push(line.range(from));
            pos = to + 1;
          }
        }
        return Decoration.set(marks);
      }),
  });
}
