// Highlighting by file name. The language packages' own helpers would bring HTML, CSS, JavaScript
// and completion along, so only the parsers are taken.
import { pythonLanguage } from "@codemirror/lang-python";
import {
  HighlightStyle,
  Language,
  defineLanguageFacet,
  indentUnit,
  languageDataProp,
  syntaxHighlighting,
} from "@codemirror/language";
import { tags as t } from "@lezer/highlight";
import { parser } from "@lezer/markdown";

const markdownData = defineLanguageFacet();
const markdownLanguage = new Language(
  markdownData,
  parser.configure({ props: [languageDataProp.add({ Document: markdownData })] }),
  [],
  "markdown",
);

// JupyterLab's own colours where they exist. Its comments are too faint on a changed line.
const colour = (name, light, dark) =>
  `var(--jp-mirror-editor-${name}-color, light-dark(${light}, ${dark}))`;

const style = HighlightStyle.define([
  {
    tag: [t.keyword, t.operatorKeyword, t.modifier],
    color: colour("keyword", "#006b1d", "#6ec27f"),
    fontWeight: "600",
  },
  { tag: [t.string, t.special(t.string)], color: colour("string", "#a31515", "#e6a08c") },
  { tag: [t.number], color: colour("number", "#006b5a", "#8fd3b6") },
  { tag: [t.bool, t.null, t.atom], color: colour("atom", "#7a3e9d", "#c8a0f0") },
  { tag: [t.comment], color: "light-dark(#3f6566, #9db8b9)", fontStyle: "italic" },
  {
    tag: [t.definition(t.variableName), t.function(t.definition(t.variableName)), t.className],
    color: colour("def", "#0033b3", "#7fb4ff"),
  },
  { tag: [t.propertyName], color: colour("property", "#7a4b00", "#d9b37a") },
  { tag: [t.operator], color: colour("operator", "#7a1fa2", "#c792ea") },
  { tag: [t.meta], color: colour("meta", "#7a1fa2", "#c792ea") },
  { tag: [t.heading], color: colour("header", "#0033b3", "#7fb4ff"), fontWeight: "600" },
  { tag: [t.emphasis], fontStyle: "italic" },
  { tag: [t.strong], fontWeight: "600" },
  {
    tag: [t.link, t.url],
    color: colour("link", "#0033b3", "#7fb4ff"),
    textDecoration: "underline",
  },
  { tag: [t.invalid], color: colour("error", "#b3261e", "#ff7b72") },
]);

/** Return the extensions that highlight and indent a file of this name. */
export function languageOf(path) {
  const unit = indentUnit.of("    ");
  if (/\.pyi?$/.test(path)) return [unit, pythonLanguage, syntaxHighlighting(style)];
  if (/\.(md|markdown)$/.test(path)) return [unit, markdownLanguage, syntaxHighlighting(style)];
  return [unit];
}
