// The night: how far it is, when it ends, what it cost, and how it is paused and stopped.
import { attr, h, shown, text } from "../shared/dom.js";
import { duration, figure, isNumber, moment } from "../shared/numbers.js";

const ENDED = ["finished", "stopped", "died"];

/** Whether a night has ended; what it last said of the present is old then. */
export const isOver = (night) => ENDED.includes(night?.phase);

const NOTES = 2; // the newest, in sight

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
  const facts = h("div", { class: "ark-row ark-night-facts", testid: "night-facts" });
  const notes = createNotes();
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
    h("div", { class: "ark-row" }, phase, meter, done, tools),
    facts,
    notes.dom,
  );
  question.addEventListener("keydown", (event) => event.key === "Escape" && ask(false));

  function ask(yes) {
    shown(normal, !yes);
    shown(question, yes);
    (yes ? after : stopButton).focus();
  }

  return {
    dom,
    show(night) {
      shown(dom, night);
      if (!night) return;
      const over = isOver(night);
      dom.dataset.phase = night.phase;
      text(phase, `Night ${night.phase}${night.reason ? `: ${night.reason}` : ""}`);
      const share = night.of ? Math.min(1, night.done / night.of) : 0;
      shown(meter, night.of && !over);
      bar.style.transform = `scaleX(${share.toFixed(4)})`;
      attr(meter, "aria-valuemax", night.of ?? 100);
      attr(meter, "aria-valuenow", night.done);
      text(done, night.of ? `${night.done} of ${night.of}` : `${night.done} done`);
      shown(tools, !over);
      if (over || night.phase === "stopping") {
        shown(normal, true);
        shown(question, false);
      }
      shown(pauseButton, night.phase !== "paused");
      shown(resumeButton, night.phase === "paused");
      pauseButton.disabled = night.phase === "stopping";
      showFacts(facts, factsOf(night, over));
      notes.show(night.notes ?? []);
    },
  };
}

/** What is known of a night as [label, value], in the order in which a person asks. */
function factsOf(night, over) {
  const of = (value, most) =>
    isNumber(most) ? `${figure(value ?? 0)} of ${figure(most)}` : figure(value);
  const counts = [
    `${night.kept} kept`,
    `${night.discarded} discarded`,
    night.crashed && `${night.crashed} crashed`,
    night.refused && `${night.refused} refused`,
    night.quarantined && `${night.quarantined} in quarantine`,
    night.failures && `${night.failures} failed proposals`,
  ];
  return [
    ["", counts.filter(Boolean).join(", ")],
    !over && night.finish && ["expected finish", `${moment(night.finish)}${until(night.finish)}`],
    isNumber(night.busy) && ["busy", `${Math.round(night.busy * 100)} %`],
    (night.cost > 0 || isNumber(night.max_cost)) && ["cost", of(night.cost, night.max_cost)],
    night.tokens > 0 && ["tokens", figure(night.tokens)],
    night.started && ["since", moment(night.started)],
    !over && night.deadline && ["no later than", moment(night.deadline)],
    !over && night.policy && ["policy", night.policy],
  ].filter(Boolean);
}

function until(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  return seconds > 60 ? `, in ${duration(Math.round(seconds / 60) * 60)}` : "";
}

/** Set labels and values, and leave alone what is the same: a selection in them survives. */
function showFacts(list, facts) {
  while (list.childElementCount > facts.length) list.lastElementChild.remove();
  facts.forEach(([label, value], i) => {
    const item =
      list.children[i] ??
      list.appendChild(h("span", {}, h("span", { class: "ark-muted" }), h("b")));
    text(item.firstChild, label ? `${label} ` : "");
    text(item.lastChild, value);
  });
}

/** The night's notes: the newest ones, the others behind a button. */
function createNotes() {
  const list = h("ul", { class: "ark-notes" });
  const more = h("button", { type: "button", class: "ark-link", onclick: () => toggle() });
  const dom = h("div", { class: "ark-notes-box", testid: "night-notes" }, list, more);
  let [notes, all] = [[], false];

  function toggle() {
    all = !all;
    paint();
    list.scrollTop = list.scrollHeight; // the newest stay in sight
  }

  function paint() {
    const words = all ? notes : notes.slice(-NOTES);
    while (list.childElementCount > words.length) list.lastElementChild.remove();
    words.forEach((word, i) => {
      const item = list.children[i] ?? list.appendChild(h("li"));
      text(item, word);
      attr(item, "title", all ? null : word); // one line each until they are unfolded
    });
    list.dataset.all = all;
    shown(dom, notes.length);
    shown(more, notes.length > NOTES);
    text(more, all ? "fewer notes" : `${notes.length - NOTES} more`);
    attr(more, "aria-expanded", String(all));
  }

  return {
    dom,
    show(next) {
      notes = next;
      paint();
    },
  };
}
