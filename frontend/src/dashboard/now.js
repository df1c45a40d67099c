// What happens now: the head line and the three steps, from proposing to a person's decision.
import { attr, h, shown, text } from "../shared/dom.js";
import { figure, isNumber } from "../shared/numbers.js";
import { isOver } from "./night.js";

/** Make the head; `toWaiting()` leads to what waits for a person. */
export function createNow({ toWaiting }) {
  const campaign = h("b", { testid: "campaign" });
  const host = h("span", { class: "ark-muted" });
  const best = h("span", { class: "ark-best", testid: "best" });
  // Not a live region: its percentages would be read out every second.
  const state = h("span", { class: "ark-state", testid: "state" });
  const [proposing, training] = ["proposing", "training"].map((name) =>
    step(name, h("span", { class: "ark-step" })),
  );
  const approval = step(
    "approval",
    h("button", {
      type: "button",
      class: "ark-step",
      onclick: toWaiting,
      title: "Go to what waits for you",
    }),
  );
  const steps = h(
    "ol",
    { class: "ark-steps-now", "aria-label": "Steps" },
    [proposing, training, approval].map((s) => h("li", {}, s.dom)),
  );
  const bar = h("div", { class: "ark-bar-fill" });
  const meter = h(
    "div",
    {
      class: "ark-meter",
      role: "progressbar",
      "aria-label": "The run's budget",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      testid: "run-progress",
    },
    bar,
  );
  const line = h("span", { class: "ark-line", testid: "run-line" });
  const run = h("div", { class: "ark-row ark-run" }, meter, line);

  return {
    dom: h("div", {}, h("div", { class: "ark-row" }, campaign, host, best, state), steps, run),
    show(board) {
      text(campaign, board.campaign ?? "");
      text(host, board.host ?? "");
      text(best, board.best ? `best ${board.best}` : "no baseline yet");
      text(state, board.state ?? "");
      const waiting = board.steps?.approval ?? 0;
      proposing.show("proposing", isOver(board.night) ? "" : board.steps?.proposing);
      training.show("training", board.steps?.training);
      approval.show("waiting for you", waiting ? String(waiting) : "");
      approval.dom.disabled = !waiting;
      const now = board.run;
      // Empty between two runs, but in place: they follow each other every few minutes.
      run.style.visibility = now ? "" : "hidden";
      const share = isNumber(now?.progress) ? Math.min(1, Math.max(0, now.progress)) : 0;
      bar.style.transform = `scaleX(${share.toFixed(4)})`;
      attr(meter, "aria-valuenow", Math.round(share * 100));
      const words = now
        ? [now.title, now.phase, now.line || (isNumber(now.loss) && `loss ${figure(now.loss)}`)]
            .filter(Boolean)
            .join(" · ")
        : "";
      text(line, words);
      attr(line, "title", words || null);
    },
  };
}

function step(name, dom) {
  const label = h("span", { class: "ark-step-name" });
  const value = h("span", { class: "ark-step-value" });
  dom.dataset.testid = `step-${name}`;
  dom.append(label, value);
  return {
    dom,
    show(title, words) {
      text(label, title);
      text(value, words || "–");
      attr(value, "title", words || null); // a narrow notebook shows its beginning
      attr(dom, "data-active", words ? "true" : null);
    },
  };
}
