// The files of a proposal: a tab each, one editor open at a time, and the tools above them.
import { attr, h, shown, text, uid } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { chunksOf, toDoc } from "./changes.js";
import { createEditor } from "./editor.js";
import { countLines } from "./linediff.js";

const WIDE = 1100; // px of window below which two halves of a notebook are too narrow for code

// The choice of view is a habit of the person, so it lasts; a browser may forbid the store.
const habit = {
  get split() {
    try {
      const kept = localStorage.getItem("autoresearch-kit.view");
      if (kept) return kept === "split";
    } catch {
      // no store: every page starts with what fits
    }
    return window.innerWidth >= WIDE;
  },
  set split(yes) {
    try {
      localStorage.setItem("autoresearch-kit.view", yes ? "split" : "unified");
    } catch {
      // no store: the choice lasts as long as the page
    }
  },
};

/** Make the part of the review that shows and edits files. */
export function createFiles({ onEdit, onEscape, say }) {
  const name = uid("files");
  const tabs = h("div", { class: "ark-tabs", role: "tablist", "aria-label": "Changed files" });
  const [plus, minus] = ["ark-plus", "ark-minus"].map((look) => h("span", { class: look }));
  const size = h("span", { class: "ark-size", testid: "lines" }, plus, " ", minus);
  const counter = h("span", { class: "ark-counter", testid: "counter", role: "note" });
  const tool = (testid, label, title, action, mark) =>
    h(
      "button",
      {
        type: "button",
        class: "ark-button ark-small",
        testid,
        title,
        onclick: action,
        "aria-label": mark ? title : null,
      },
      mark ? icon(mark) : label,
    );
  const before = tool("previous-change", "", "Previous change (Alt+P)", () => step(-1), "up");
  const after = tool("next-change", "", "Next change (Alt+N)", () => step(1), "down");
  const undo = tool(
    "revert-at-cursor",
    "Revert change",
    "Take the change at the cursor back (Alt+Z)",
    () => revert(),
  );
  const reset = tool(
    "reset",
    "Reset my edits",
    "Back to the text as proposed; Ctrl+Z in the editor undoes it",
    () => resetAll(),
  );
  const expand = tool("expand", "Show all lines", "Show unchanged lines too", () =>
    view({ expanded: !expanded }),
  );
  const toggle = tool("view-toggle", "", "Side by side or unified", () => {
    habit.split = !split;
    view({ split: !split });
  });
  const sides = h("div", { class: "ark-sides", "aria-hidden": "true" }, h("span"), h("span"));
  const box = h("div", { class: "ark-box" });
  const dom = h(
    "div",
    { class: "ark-files" },
    h(
      "div",
      { class: "ark-tools" },
      tabs,
      size,
      counter,
      h("span", { class: "ark-tool-group" }, before, after, undo, reset, expand, toggle),
    ),
    sides,
    box,
  );

  let files = []; // { path, old, proposed, text, editor, tab, counts }
  let current = null;
  let readOnly = true;
  let split = habit.split;
  let expanded = false;
  let recount = 0;

  function show(page, texts) {
    clear();
    readOnly = page.status !== "open";
    files = (page.files ?? []).map(({ path, old, new: proposed, draft }) => {
      const file = {
        path,
        old,
        proposed,
        text: readOnly ? proposed : (texts?.[path] ?? draft ?? proposed),
        editor: null,
      };
      const [was, made, is] = [old, proposed, file.text].map(toDoc);
      file.counts = { changes: chunksOf(was, is).length, mine: chunksOf(made, is).length };
      return file;
    });
    for (const button of [undo, reset]) shown(button, !readOnly);
    text(sides.firstChild, `before (${String(page.parent ?? 0).padStart(4, "0")})`);
    text(sides.lastChild, readOnly ? "after" : "as proposed: you can edit this side");
    tabs.replaceChildren(...files.map(makeTab));
    if (files.length) open(files[0]);
    tools();
    count();
  }

  function makeTab(file, index) {
    file.label = h("span");
    file.tab = h(
      "button",
      {
        type: "button",
        class: "ark-tab",
        role: "tab",
        id: `${name}-${index}`,
        testid: "file-tab",
        onclick: () => open(file),
        onkeydown: arrows,
      },
      file.label,
    );
    return file.tab;
  }

  function arrows(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const file = files[(files.indexOf(current) + by + files.length) % files.length];
    open(file);
    file.tab.focus();
  }

  // Editors are made when first looked at, and kept then: their history of undo lives in them.
  function open(file) {
    current = file;
    file.editor ??= createEditor({ file, readOnly, split, expanded, onEdit: edited, onEscape });
    if (!file.editor.dom.parentNode) box.append(file.editor.dom);
    for (const other of files) {
      if (other.editor) shown(other.editor.dom, other === file);
      attr(other.tab, "aria-selected", other === file);
      attr(other.tab, "tabindex", other === file ? 0 : -1);
    }
  }

  function view(change) {
    ({ split, expanded } = { split, expanded, ...change });
    for (const file of files) file.editor?.rebuild(split, expanded);
    tools();
  }

  function tools() {
    text(toggle, split ? "Unified" : "Side by side");
    attr(toggle, "data-view", split ? "split" : "unified");
    text(expand, expanded ? "Fold unchanged" : "Show all lines");
    shown(sides, split);
  }

  function edited() {
    clearTimeout(recount);
    recount = setTimeout(count, 100); // counting after each key of a burst is not worth it
    onEdit();
  }

  function count() {
    let [changes, mine, added, removed] = [0, 0, 0, 0];
    for (const file of files) {
      const found = countLines(file.old, file.editor ? file.editor.text() : file.text);
      added += found.added;
      removed += found.removed;
      if (file.editor) file.counts = file.editor.counts();
      changes += file.counts.changes;
      mine += file.counts.mine;
      text(file.label, files.length > 1 ? `${file.path} (${file.counts.changes})` : file.path);
    }
    text(plus, `+${added}`);
    text(minus, `−${removed}`);
    attr(size, "title", `${added} lines added, ${removed} removed`);
    text(counter, `${changes} ${changes === 1 ? "change" : "changes"}, ${mine} by you`);
    attr(counter, "data-mine", mine);
    reset.disabled = mine === 0;
    shown(counter, !readOnly || changes);
    if (readOnly) text(counter, `${changes} ${changes === 1 ? "change" : "changes"}`);
  }

  /** Go to the next or previous change, into the neighbouring file when this one has no more. */
  function step(direction) {
    if (!current || current.editor.step(direction)) return;
    const rest =
      direction > 0
        ? files.slice(files.indexOf(current) + 1)
        : files.slice(0, files.indexOf(current)).reverse();
    for (const file of rest) {
      if (!file.counts.changes) continue;
      open(file);
      file.editor.step(direction);
      return;
    }
    say(direction > 0 ? "No change further down." : "No change further up.");
  }

  function revert() {
    if (readOnly || !current) return;
    if (!current.editor.revertAtCursor()) say("No change at the cursor; Alt+N goes to the next.");
    else say("Change taken back; Ctrl+Z undoes it.");
  }

  function resetAll() {
    for (const file of files) {
      if (file.counts.mine && !file.editor) createAndOpen(file);
      file.editor?.reset();
    }
    say("Back to the text as proposed; Ctrl+Z in the editor undoes it.");
    current?.editor.focus();
  }

  // A file with a restored draft that nobody has opened yet.
  function createAndOpen(file) {
    const was = current;
    open(file);
    open(was);
  }

  function clear() {
    clearTimeout(recount);
    for (const file of files) file.editor?.destroy();
    files = [];
    current = null;
  }

  const texts = () =>
    Object.fromEntries(
      files.map((file) => [file.path, file.editor ? file.editor.text() : file.text]),
    );

  return {
    dom,
    show,
    step,
    revert,
    texts,
    /** The lines that are selected, to be quoted in a question about them; "" for none. */
    quote() {
      const found = current?.editor.selected();
      if (!found) return "";
      const { first, last, lines } = found;
      const where = first === last ? `line ${first}` : `lines ${first} to ${last}`;
      return `${current.path}, ${where}:\n${lines.map((line) => `> ${line}`).join("\n")}\n`;
    },
    /** Whether a person's text differs from the proposal. */
    edited: () =>
      files.some((file) => (file.editor ? file.editor.text() : file.text) !== file.proposed),
    destroy: clear,
  };
}
