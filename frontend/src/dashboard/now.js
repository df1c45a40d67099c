// What happens now: the head line and the three steps, from proposing to a person's decision.
import { attr, h, shown, text } from "../shared/dom.js";
import { figure, isNumber } from "../shared/numbers.js";

/** Make the head; `toQueue()` leads to what waits for a person. */
export function createNow({ toQueue }) {
  const campaign = h("b", { testid: "campaign" });
  const host = h("span", { class: "ark-muted" });
  const best = h("span", { class: "ark-best", testid: "best" });
  const state = h("span", {
    class: "ark-state",
    role: "status",
    "aria-live": "polite",
    testid: "state",
  });
  const [proposing, training] = ["proposing", "training"].map((name) =>
    step(name, h("span", { class: "ark-step" })),
  );
  const approval = step(
    "approval",
    h("button", {
      type: "button",
      class: "ark-step",
      onclick: toQueue,
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
      proposing.show("proposing", board.steps?.proposing);
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
        ? [now.title, now.phase, isNumber(now.loss) && `loss ${figure(now.loss)}`, now.line]
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
      attr(dom, "data-active", words ? "true" : null);
    },
  };
}

/** Make the row about the night; the callbacks send what the person wants of it. */
export function createNight({ pause, resume, stop }) {
  const phase = h("b", {
    class: "ark-phase",
    role: "status",
    "aria-live": "polite",
    testid: "night-phase",
  });
  const bar = h("div", { class: "ark-bar-fill" });
  const meter = h(
    "div",
    {
      class: "ark-meter",
      role: "progressbar",
      "aria-label": "Experiments of the night",
      "aria-valuemin": 0,
      testid: "night-progress",
    },
    bar,
  );
  const done = h("span", { testid: "night-done" });
  const facts = h("div", { class: "ark-row ark-facts", testid: "night-facts" });
  const notes = h("ul", { class: "ark-notes", testid: "night-notes" });
  const make = (testid, label, title, action, look = "") =>
    h(
      "button",
      { type: "button", class: `ark-button ark-small ${look}`, testid, title, onclick: action },
      label,
    );
  const pauseButton = make("pause", "Pause", "Let the current run end, start no other", pause);
  const resumeButton = make("resume", "Resume", "Go on", resume, "ark-primary");
  const stopButton = make("stop", "Stop…", "End the night", () => ask(true));
  const choose = (now) => {
    ask(false);
    stop(now);
  };
  const after = make(
    "stop-after",
    "Stop after this run",
    "The run that trains is finished and scored",
    () => choose(false),
    "ark-danger",
  );
  const atOnce = make(
    "stop-now",
    "Stop now",
    "The run that trains is stopped and not counted",
    () => choose(true),
    "ark-danger",
  );
  const never = make("stop-cancel", "Go on", "Don't stop", () => ask(false));
  const normal = h("span", { class: "ark-row" }, pauseButton, resumeButton, stopButton);
  const question = h(
    "span",
    { class: "ark-row", hidden: true, role: "group", "aria-label": "Stop the night" },
    after,
    atOnce,
    never,
  );
  const tools = h("span", { class: "ark-night-tools" }, normal, question);
  const dom = h(
    "section",
    { class: "ark-night", "aria-label": "Night", testid: "night" },
    h(
      "div",
      { class: "ark-row" },
      h("span", { class: "ark-muted" }, "night"),
      phase,
      meter,
      done,
      tools,
    ),
    facts,
    notes,
  );
  question.addEventListener("keydown", (event) => event.key === "Escape" && ask(false));

  function ask(yes) {
    shown(normal, !yes);
    shown(question, yes);
    (yes ? after : stopButton).focus();
  }

  return {
    dom,
    show(night, factsOf) {
      shown(dom, night);
      if (!night) return;
      const running = ["running", "paused", "stopping"].includes(night.phase);
      dom.dataset.phase = night.phase;
      text(phase, night.reason ? `${night.phase}: ${night.reason}` : night.phase);
      const share = night.of ? Math.min(1, night.done / night.of) : 0;
      shown(meter, night.of);
      bar.style.transform = `scaleX(${share.toFixed(4)})`;
      attr(meter, "aria-valuemax", night.of ?? 100);
      attr(meter, "aria-valuenow", night.done);
      text(done, night.of ? `${night.done} of ${night.of}` : `${night.done} done`);
      tools.style.visibility = running ? "" : "hidden";
      if (!running || night.phase === "stopping") {
        shown(normal, true);
        shown(question, false);
      }
      shown(pauseButton, night.phase !== "paused");
      shown(resumeButton, night.phase === "paused");
      pauseButton.disabled = night.phase === "stopping";
      fill(facts, "span", factsOf(night));
      fill(notes, "li", night.notes ?? []);
    },
  };
}

/** Set the words of a list, and leave alone what is the same. */
function fill(list, tag, words) {
  while (list.childElementCount > words.length) list.lastElementChild.remove();
  words.forEach((word, i) => text(list.children[i] ?? list.appendChild(h(tag)), word));
  shown(list, words.length);
}
