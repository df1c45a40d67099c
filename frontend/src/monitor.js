// A run while it trains: budget, loss over the best run's, speed, memory, log, Stop.
// Two updates a second cost next to nothing: they only set what changed, once a frame at most.
import { adopt, attr, enable, h, shown, text } from "./shared/dom.js";
import { icon } from "./shared/icons.js";
import { duration, figure, isNumber, signed } from "./shared/numbers.js";
import { at } from "./shared/plot.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";
import { createCurve } from "./monitor/curve.js";

const SURE = 3000; // ms in which a second click on Stop counts
const NONE = "–";
const icons = {
  queued: "clock",
  done: "check",
  crash: "cross",
  stopped: "cross",
  lost: "warn",
  saving: "clock",
};

function render({ model, el }) {
  const root = adopt(el, "monitor");
  const status = createStatus();
  const title = h("b", { class: "ark-title", testid: "monitor-title" });
  const phase = h("span", {
    class: "ark-phase",
    role: "status",
    "aria-live": "polite",
    testid: "monitor-phase",
  });
  const stop = h(
    "button",
    {
      type: "button",
      class: "ark-button ark-small",
      testid: "stop",
      title: "Stop this run; what it reached is kept",
    },
    "Stop",
  );
  const bar = h("div", { class: "ark-bar-fill" });
  const meter = h(
    "div",
    {
      class: "ark-meter",
      role: "progressbar",
      "aria-label": "Budget used",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      testid: "monitor-progress",
    },
    bar,
  );
  const budget = h("span", { class: "ark-muted", testid: "monitor-budget" });
  const curve = createCurve();
  const cell = (name, testid) => {
    const value = h("div", { class: "ark-value", testid });
    return { value, dom: h("div", {}, h("div", { class: "ark-name" }, name), value) };
  };
  const loss = cell("loss", "monitor-loss");
  const delta = cell("to the best, same point", "monitor-delta");
  const speed = cell("tokens/s", "monitor-speed");
  const memory = cell("memory", "monitor-memory");
  const spent = cell("time", "monitor-time");
  const left = cell("left", "monitor-left");
  const figures = h(
    "div",
    { class: "ark-figures" },
    [loss, delta, spent, left, memory, speed].map((c) => c.dom),
  );
  const line = h("div", { class: "ark-line", testid: "monitor-line" });
  const log = h("pre", {
    tabindex: "0",
    "aria-label": "Last lines of the log",
    testid: "monitor-log",
  });
  const fold = h("details", { class: "ark-fold", testid: "log" }, h("summary", {}, "Log"), log);
  root.append(
    h("div", { class: "ark-row ark-head" }, title, phase, stop),
    h("div", { class: "ark-row" }, meter, budget),
    h("div", { class: "ark-main" }, curve.dom, figures),
    line,
    status.dom,
    fold,
  );
  root.setAttribute("role", "region");

  let timer = 0; // of the question "Really stop?"
  let frame = 0;
  let curveIsNew = true;

  const talk = connect({
    model,
    status,
    again: "start it and run the cell again; the run goes on by itself.",
    over: () => Boolean(model.get("now")?.final),
    answered: () => calm(),
    gaveUp: () => calm(),
  });

  function calm() {
    clearTimeout(timer);
    timer = 0;
    text(stop, "Stop");
    stop.classList.remove("ark-danger");
    enable(stop, true);
  }

  stop.addEventListener("click", () => {
    if (stop.hasAttribute("aria-disabled")) return;
    if (timer) {
      calm();
      enable(stop, false);
      talk.ask({ type: "stop" }, "Stopping…");
      return;
    }
    text(stop, "Really stop?");
    stop.classList.add("ark-danger");
    timer = setTimeout(calm, SURE);
  });

  function show() {
    frame = 0;
    const run = model.get("run") ?? {};
    const now = model.get("now") ?? {};
    text(title, run.title ?? "");
    root.setAttribute("aria-label", run.title || "Run");
    showPhase(now.phase ?? "queued");
    // Kept in place when it is over: the card doesn't change its height.
    stop.style.visibility = now.final ? "hidden" : "";
    const share = isNumber(now.progress) ? Math.min(1, Math.max(0, now.progress)) : 0;
    const percent = Math.round(share * 100);
    bar.style.transform = `scaleX(${share.toFixed(4)})`;
    attr(meter, "aria-valuenow", percent);
    text(budget, `${percent} %${run.budget ? ` of ${run.budget}` : ""}`);

    if (curveIsNew) {
      curve.show(model.get("curve"), run.best);
      text(delta.value, difference(model.get("curve"), run.best));
      attr(delta.value, "data-worse", delta.value.textContent.startsWith("+") ? "true" : null);
      curveIsNew = false;
    }
    text(loss.value, figure(now.loss) || NONE);
    text(speed.value, figure(now.tokens_per_second, 3) || NONE);
    speed.dom.style.visibility = isNumber(now.tokens_per_second) ? "" : "hidden"; // not every task has them
    text(memory.value, isNumber(now.memory_mb) ? `${figure(now.memory_mb, 3)} MB` : NONE);
    text(spent.value, duration(now.seconds) || NONE);
    text(left.value, now.final ? NONE : duration(now.seconds_left) || NONE);

    const words = now.reason || now.line || "";
    text(line, words);
    attr(line, "title", words || null);
    // A fold that is closed is filled when it opens.
    if (fold.open) showLog();
  }

  function showPhase(name) {
    if (root.dataset.phase === name) return;
    root.dataset.phase = name;
    phase.replaceChildren(
      ...(icons[name] ? [icon(icons[name])] : [h("span", { class: "ark-dot" })]),
      name,
    );
  }

  function showLog() {
    const follow = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    text(log, model.get("log") || "(nothing yet)");
    if (follow) log.scrollTop = log.scrollHeight;
  }

  const soon = () => {
    frame ||= requestAnimationFrame(show);
  };
  const newCurve = () => {
    curveIsNew = true;
    soon();
  };
  fold.addEventListener("toggle", () => fold.open && showLog());
  const heard = {
    "change:now": soon,
    "change:log": soon,
    "change:run": newCurve,
    "change:curve": newCurve,
  };
  for (const [name, callback] of Object.entries(heard)) model.on(name, callback);
  show();

  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    for (const [name, callback] of Object.entries(heard)) model.off(name, callback);
    talk.close();
  };
}

/** How far this run's last loss is from the best run's at the same progress. */
function difference(curve, best) {
  const end = curve?.at(-1);
  const there = end && best ? at(best.curve, end[0]) : null;
  return isNumber(there) && isNumber(end[1]) ? signed(end[1] - there) : NONE;
}

export default { render };
