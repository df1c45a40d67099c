// The one line that says what happened; read out by screen readers.
import { h, text } from "./dom.js";
import { icon } from "./icons.js";

const PASSING = 8000; // ms

const icons = { ok: "check", error: "warn", busy: "clock", info: "info" };

/** Make a status line: `status.say("Approved", "ok")`; the kind is shown by an icon too. */
export function createStatus() {
  const words = h("span", { class: "ark-status-text" });
  const mark = h("span", { class: "ark-status-icon" });
  const dom = h(
    "div",
    {
      class: "ark-status",
      role: "status",
      "aria-live": "polite",
      tabindex: "-1",
      testid: "status",
    },
    mark,
    words,
  );
  let at = 0;
  return {
    dom,
    focus: () => dom.focus({ preventScroll: true }),
    say(message, kind = "info") {
      at = Date.now();
      dom.dataset.kind = message ? kind : "";
      mark.replaceChildren(...(message ? [icon(icons[kind])] : []));
      text(words, message);
    },
    /** Say what is old news in a moment: it is read out, and goes by itself. */
    mention(message) {
      this.say(message);
      setTimeout(() => words.textContent === message && this.say(""), PASSING);
    },
    /** Clear what was under way or is older than `ms`: news of the last page, under the next. */
    clearOlder(ms) {
      if (dom.dataset.kind === "busy" || Date.now() - at > ms) this.say("");
    },
  };
}
