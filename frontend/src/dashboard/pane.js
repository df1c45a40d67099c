// The lower part as tabs over panels of one height: ledger, card, and what waits for a person.
// Panels that are not shown keep their place and size, so that the editors in them measure right
// and nothing loses its scroll position.
import { attr, h, shown, text, uid } from "../shared/dom.js";

const QUIET = 10_000; // ms without a touch after which the pane may turn by itself

/** Make the pane of `panels`: [{ key, title, dom }]. */
export function createPane({ panels, label }) {
  const name = uid("pane");
  const parts = new Map();
  for (const { key, title, dom } of panels) {
    const words = h("span", {}, title);
    const count = h("span", { class: "ark-count", hidden: true });
    const tab = h(
      "button",
      {
        type: "button",
        role: "tab",
        class: "ark-pane-tab",
        id: `${name}-${key}`,
        "aria-controls": `${name}-${key}-panel`,
        testid: `tab-${key}`,
        onclick: () => open(key),
      },
      words,
      count,
    );
    const panel = h(
      "div",
      {
        role: "tabpanel",
        class: "ark-panel-of-pane",
        id: `${name}-${key}-panel`,
        "aria-labelledby": tab.id,
      },
      dom,
    );
    parts.set(key, { key, tab, words, count, panel });
  }
  const all = [...parts.values()];
  const tabs = h(
    "div",
    { class: "ark-pane-tabs", role: "tablist", "aria-label": label },
    all.map(({ tab }) => tab),
  );
  const body = h(
    "div",
    { class: "ark-pane" },
    all.map(({ panel }) => panel),
  );
  let current = null;
  let touched = -Infinity;
  let byItself = null; // the panel that was shown before the pane turned by itself

  function open(key) {
    current = key;
    byItself = null;
    for (const part of all) {
      const yes = part.key === key;
      attr(part.tab, "aria-selected", yes);
      attr(part.tab, "tabindex", yes ? 0 : -1);
      attr(part.panel, "data-shown", yes ? "true" : null);
      if (yes) shown(part.tab, true);
    }
  }

  tabs.addEventListener("keydown", (event) => {
    const visible = all.filter(({ tab }) => !tab.hidden);
    const at = visible.findIndex(({ key }) => key === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const { key, tab } = visible[(to + visible.length) % visible.length];
    open(key);
    tab.focus();
  });
  const touch = () => {
    touched = Date.now();
    byItself = null;
  };
  for (const part of [tabs, body])
    for (const kind of ["pointerdown", "keydown", "wheel"])
      part.addEventListener(kind, touch, { passive: true, capture: true });
  const inUse = () =>
    Date.now() - touched < QUIET || [tabs, body].some((e) => e.contains(document.activeElement));

  open(panels[0].key);

  return {
    tabs,
    dom: body,
    open,
    get current() {
      return current;
    },
    /** Turn to a panel without being asked, unless the person is at work in the pane. */
    offer(key) {
      if (key === current || inUse()) return;
      const before = current;
      open(key);
      byItself = before;
    },
    /** Turn back from where `offer` led, when nobody has touched the pane since. */
    withdraw() {
      if (byItself && !inUse()) open(byItself);
    },
    /** Name a tab, and show a number beside the name when there is one. */
    label(key, title, number = 0) {
      const { tab, words, count } = parts.get(key);
      text(words, title);
      shown(count, number);
      text(count, number ? String(number) : "");
      attr(tab, "aria-label", number ? `${title} (${number})` : null);
      attr(tab, "data-count", number);
    },
    hide: (key) => shown(parts.get(key).tab, false),
    focusTab: (key) => parts.get(key).tab.focus({ preventScroll: true }),
  };
}
