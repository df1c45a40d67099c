// The look of the editors. All colours are variables of base.css, so that a change of JupyterLab's
// theme needs no work here. `.cm-editor` in a selector makes it win over the merge view's own
// light and dark colours.
import { EditorView } from "@codemirror/view";

const wash = (name) => ({ background: `var(${name})` });

export const theme = EditorView.theme({
  "&": {
    color: "var(--ark-text)",
    backgroundColor: "var(--ark-bg)",
    fontSize: "var(--ark-code-size)",
  },
  "&.cm-focused": { outline: "none" }, // the frame around both sides shows the focus
  ".cm-scroller": { fontFamily: "var(--ark-code-font)", lineHeight: "1.45" },
  ".cm-content": { caretColor: "var(--ark-text)", padding: "0" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ark-text)" },
  ".cm-gutters": {
    backgroundColor: "var(--ark-raised)",
    color: "var(--ark-muted)",
    border: "none",
  },
  "&.cm-focused .cm-activeLine, & .cm-activeLine": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine": { boxShadow: "inset 0 0 0 1px var(--ark-line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    wash("--ark-selection"),
  "&.cm-editor.cm-merge-a .cm-changedText, &.cm-editor .cm-deletedChunk .cm-deletedText":
    wash("--ark-del-strong"),
  "&.cm-editor.cm-merge-b .cm-changedText": wash("--ark-add-strong"),
  "&.cm-merge-b .cm-deletedText": wash("--ark-del-strong"),
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": wash("--ark-del"),
  "&.cm-merge-b .cm-changedLine, .cm-inlineChangedLine": wash("--ark-add"),
  "&.cm-editor.cm-merge-a .cm-changedLineGutter, &.cm-editor .cm-deletedLineGutter":
    wash("--ark-bad"),
  "&.cm-editor.cm-merge-b .cm-changedLineGutter": wash("--ark-ok"),
  "& .cm-deletedChunk": { paddingLeft: "6px", position: "relative" },
  "& .cm-deletedChunk .cm-chunkButtons": { insetInlineEnd: "6px", zIndex: "2" },
  ".cm-deletedLine, .cm-deletedLine del": { textDecoration: "none" },
  "&.cm-editor .cm-collapsedLines": {
    color: "var(--ark-muted)",
    background: "var(--ark-raised)",
    font: "12px var(--ark-font)",
    padding: "4px 10px",
    borderBlock: "1px solid var(--ark-line)",
  },
  "&.cm-editor .cm-collapsedLines:before": { content: '"↕"' },
  "&.cm-editor .cm-collapsedLines:after": { content: "none" },
  ".cm-collapsedLines:hover": { color: "var(--ark-text)", textDecoration: "underline" },
  ".ark-mine": { boxShadow: "inset 3px 0 0 var(--ark-accent)" },
  ".cm-panels": { backgroundColor: "var(--ark-raised)", color: "var(--ark-text)" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label": {
    font: "12px var(--ark-font)",
  },
  ".cm-textfield": {
    backgroundColor: "var(--ark-bg)",
    color: "var(--ark-text)",
    border: "1px solid var(--ark-border)",
  },
  ".cm-button": {
    backgroundImage: "none",
    backgroundColor: "var(--ark-bg)",
    color: "var(--ark-text)",
    border: "1px solid var(--ark-border)",
  },
  ".cm-searchMatch": wash("--ark-match"),
  ".cm-selectionMatch": wash("--ark-line"),
});
