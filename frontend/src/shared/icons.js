// The few icons, drawn so that they look the same with every font.
import { s } from "./dom.js";

const paths = {
  check: "M3 8.5l3.2 3.2L13 4.8",
  cross: "M4 4l8 8M12 4l-8 8",
  warn: "M8 2.2L14.6 13.6H1.4ZM8 6.4v3.4M8 11.4v.6",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.2v3h-3",
  clock: "M8 2a6 6 0 1 0 .01 0M8 4.6V8l2.4 1.6",
  info: "M8 2a6 6 0 1 0 .01 0M8 7.4v3.4M8 5v.4",
  undo: "M6 3.5L2.8 6.7 6 9.9M3 6.7h6.2a3.2 3.2 0 0 1 0 6.4H6.5",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  left: "M10 4L6 8l4 4",
  right: "M6 4l4 4-4 4",
  copy: "M6 6h7.5v7.5H6ZM3.5 10H2.5V2.5H10V3.5",
};

/** Return a decorative icon; the words beside it carry the meaning. */
export function icon(name) {
  return s(
    "svg",
    {
      class: "ark-icon",
      viewBox: "0 0 16 16",
      width: 16,
      height: 16,
      "aria-hidden": "true",
      focusable: "false",
    },
    s("path", { d: paths[name] }),
  );
}
