// What the proposal claims: above the diff, so that it is read before the code.
import { h, shown, text } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { countdown } from "../shared/numbers.js";

const badges = {
  open: ["clock", "waits for you"],
  approved: ["check", "approved"],
  refused: ["cross", "refused"],
  revised: ["again", "revised"],
  rebased: ["again", "moved to a newer parent"],
};
const MOST_CHIPS = 12;

/** Make the header; `go(step)` asks for another proposal of the queue. */
export function createHeader({ go }) {
  const where = h("span", { class: "ark-where" });
  const place = h("span", { class: "ark-place", testid: "position" });
  const step = (testid, by, label, name) =>
    h(
      "button",
      {
        type: "button",
        class: "ark-button ark-small",
        testid,
        title: label,
        "aria-label": label,
        onclick: () => go(by),
      },
      icon(name),
    );
  const previous = step("previous", -1, "Previous proposal that waits", "left");
  const next = step("next", 1, "Next proposal that waits", "right");
  const queue = h("span", { class: "ark-queue" }, previous, place, next);
  const badge = h("span", { class: "ark-badge", testid: "badge" });
  const clock = h("span", {
    class: "ark-clock",
    role: "timer",
    "aria-live": "off",
    testid: "deadline",
  });
  const hypothesis = h("div", {
    class: "ark-hypothesis",
    role: "heading",
    "aria-level": "3",
    tabindex: "-1",
    testid: "hypothesis",
  });
  const facts = h("div", { class: "ark-facts", testid: "facts" });
  const touches = h("ul", {
    class: "ark-chips",
    "aria-label": "What the patch touches",
    testid: "touches",
  });
  const warnings = h("ul", { class: "ark-warnings", "aria-label": "Warnings", testid: "warnings" });
  const dom = h(
    "header",
    { class: "ark-header" },
    h("div", { class: "ark-row" }, where, badge, clock, queue),
    hypothesis,
    facts,
    touches,
    warnings,
  );
  let timer = 0;
  let seen = "";

  function tick(deadline) {
    clearInterval(timer);
    shown(clock, deadline);
    if (!deadline) return;
    const at = Date.parse(deadline.at);
    const show = () => {
      const left = (at - Date.now()) / 1000;
      text(
        clock,
        left > 0
          ? `decides by itself in ${countdown(left)}: ${deadline.then}`
          : `deciding by itself: ${deadline.then}`,
      );
      if (left <= 0) clearInterval(timer);
    };
    timer = setInterval(show, 1000);
    show();
  }

  return {
    dom,
    show(page) {
      text(where, `${page.campaign}, on top of ${String(page.parent ?? 0).padStart(4, "0")}`);
      const [at, of] = page.position ?? [1, 1];
      shown(queue, of > 1);
      text(place, `${at} of ${of}`);
      previous.disabled = at <= 1;
      next.disabled = at >= of;
      tick(page.status === "open" ? page.deadline : null);

      // The rest is built again only when it changed: a selection in it survives a new deadline.
      const now = JSON.stringify([
        page.status,
        page.hypothesis,
        page.author,
        page.expected,
        page.cost,
        page.touches,
        page.warnings,
      ]);
      if (now === seen) return;
      seen = now;
      const [name, words] = badges[page.status] ?? ["info", page.status];
      badge.dataset.status = page.status;
      badge.replaceChildren(icon(name), words);
      text(hypothesis, page.hypothesis || "(no hypothesis)");
      const rows = [
        ["author", page.author],
        ["expected", page.expected],
        ["cost", page.cost],
      ].filter(([, value]) => value);
      facts.replaceChildren(
        ...rows.map(([key, value]) =>
          h("span", {}, h("span", { class: "ark-muted" }, `${key} `), value),
        ),
      );
      chips(touches, page.touches ?? []);
      const list = page.warnings ?? [];
      shown(warnings, list.length);
      warnings.replaceChildren(
        ...list.map((w) =>
          h(
            "li",
            { "data-kind": w.kind },
            icon("warn"),
            h("span", {}, h("b", {}, "Warning: "), w.text),
          ),
        ),
      );
    },
    focus: () => hypothesis.focus({ preventScroll: true }),
    destroy: () => clearInterval(timer),
  };
}

function chips(list, words) {
  shown(list, words.length);
  const chip = (word) => h("li", {}, word);
  list.replaceChildren(...words.slice(0, MOST_CHIPS).map(chip));
  const rest = words.slice(MOST_CHIPS);
  if (!rest.length) return;
  const more = h("button", { type: "button", class: "ark-link" }, `and ${rest.length} more`);
  const item = h("li", { class: "ark-more" }, more);
  more.addEventListener("click", () => item.replaceWith(...rest.map(chip)));
  list.append(item);
}
