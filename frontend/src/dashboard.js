// A campaign at a glance: what happens now, the night, the staircase, the ledger, one card, and
// the proposals that wait for a person.
import { adopt, h, text } from "./shared/dom.js";
import { duration, figure, isNumber, moment } from "./shared/numbers.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";
import { createLedger } from "./dashboard/ledger.js";
import { createNight, createNow } from "./dashboard/now.js";
import { number, toRow } from "./dashboard/rows.js";
import { createSlot } from "./dashboard/slot.js";
import { createStaircase } from "./dashboard/staircase.js";

function render({ model, el }) {
  const root = adopt(el, "dashboard");
  root.setAttribute("role", "region");
  const status = createStatus();
  const now = createNow({ toQueue });
  const night = createNight({
    pause: () => talk.ask({ type: "pause" }, "Pausing…"),
    resume: () => talk.ask({ type: "resume" }, "Going on…"),
    stop: (atOnce) => talk.ask({ type: "stop", now: atOnce }, "Stopping…"),
  });
  const staircase = createStaircase({ open });
  const ledger = createLedger({ open });
  const card = h(
    "div",
    {
      class: "ark-card",
      role: "region",
      "aria-label": "Card of one experiment",
      tabindex: "0",
      testid: "card",
    },
    h("p", { class: "ark-empty" }, "Click a mark or a row: its card comes here."),
  );
  const queue = h("h4", { tabindex: "-1" }, "Waiting for you");
  const slot = createSlot(model);
  root.append(
    now.dom,
    night.dom,
    status.dom,
    staircase.dom,
    h("div", { class: "ark-columns" }, ledger.dom, card),
    h("section", { "aria-label": "Waiting for you" }, queue, slot.dom),
  );

  let asked = null; // the number of the card that is on its way or shown
  let frame = 0;

  const talk = connect({
    model,
    status,
    again: "start it and run the cell again; a night goes on by itself.",
    handlers: {
      card({ n, html }) {
        if (n !== asked) return; // the person has clicked on
        card.innerHTML = html; // made by the kit, which escapes what it quotes
        card.scrollTop = 0;
        card.dataset.n = n;
        status.say(`Card of ${number(n)}.`);
      },
    },
  });

  function open(n) {
    asked = n;
    ledger.mark(n);
    talk.ask({ type: "card", n }, `Opening ${number(n)}…`);
  }

  function toQueue() {
    queue.scrollIntoView({
      block: "start",
      behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
    });
    queue.focus({ preventScroll: true });
  }

  function showBoard() {
    frame = 0;
    const board = model.get("board") ?? {};
    root.setAttribute("aria-label", `Dashboard of ${board.campaign ?? ""}`);
    now.show(board);
    night.show(board.night, nightFacts);
    staircase.showBoard(board);
    ledger.nameMetric(board.metric);
    const waiting = board.steps?.approval ?? 0;
    text(queue, waiting ? `Waiting for you (${waiting})` : "Waiting for you");
  }

  function showRows() {
    const rows = (model.get("rows") ?? []).map(toRow);
    staircase.showRows(rows);
    ledger.show(rows);
    if (asked !== null) ledger.mark(asked);
  }

  const soon = () => {
    frame ||= requestAnimationFrame(showBoard);
  };
  const showSlot = () => slot.show(model.get("review") || "");
  const heard = { "change:board": soon, "change:rows": showRows, "change:review": showSlot };
  for (const [name, callback] of Object.entries(heard)) model.on(name, callback);
  showBoard();
  showRows();
  showSlot();

  return () => {
    cancelAnimationFrame(frame);
    for (const [name, callback] of Object.entries(heard)) model.off(name, callback);
    talk.close();
    staircase.destroy();
    slot.destroy();
  };
}

/** What is known about a night, in the order in which a person asks. */
function nightFacts(night) {
  const of = (value, most) =>
    isNumber(most) ? `${figure(value)} of ${figure(most)}` : figure(value);
  return [
    [
      `${night.kept} kept`,
      `${night.discarded} discarded`,
      night.crashed && `${night.crashed} crashed`,
      night.refused && `${night.refused} refused`,
      night.failures && `${night.failures} failed proposals`,
    ]
      .filter(Boolean)
      .join(", "),
    isNumber(night.busy) && `device busy ${Math.round(night.busy * 100)} %`,
    isNumber(night.cost) && `cost ${of(night.cost, night.max_cost)}`,
    isNumber(night.tokens) && `${figure(night.tokens)} tokens`,
    night.started && `since ${moment(night.started)}`,
    night.finish && `ends about ${moment(night.finish)}${remaining(night.finish)}`,
    night.deadline && `no later than ${moment(night.deadline)}`,
    night.policy,
  ].filter(Boolean);
}

function remaining(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  return seconds > 60 ? `, in ${duration(Math.round(seconds / 60) * 60)}` : "";
}

export default { render };
