// A campaign at a glance: what happens now, the night, the staircase; and in one pane the ledger,
// one experiment's card, and the proposals that wait for a person.
import { createCard } from "./shared/card.js";
import { adopt, h } from "./shared/dom.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";
import { createLedger } from "./dashboard/ledger.js";
import { createNight } from "./dashboard/night.js";
import { createNow } from "./dashboard/now.js";
import { createPane } from "./dashboard/pane.js";
import { number, toRow } from "./shared/rows.js";
import { createSlot } from "./dashboard/slot.js";
import { createStaircase } from "./shared/staircase.js";

function render({ model, el }) {
  const root = adopt(el, "dashboard");
  root.setAttribute("role", "region");
  const status = createStatus();
  const now = createNow({ toWaiting });
  const night = createNight({
    pause: () => talk.ask({ type: "pause" }, "Pausing…"),
    resume: () => talk.ask({ type: "resume" }, "Going on…"),
    stop: (atOnce) => talk.ask({ type: "stop", now: atOnce }, "Stopping…"),
  });
  const staircase = createStaircase({ open });
  const ledger = createLedger({ open: openFromLedger });
  const card = createCard({
    status,
    hint: "",
    missing: () => "The card did not come; click again for another try.",
  });
  const slot = createSlot(model);
  const pane = createPane({
    label: "Ledger, card, and what waits for you",
    panels: [
      { key: "ledger", title: "Ledger", dom: ledger.dom },
      { key: "card", title: "Experiment", dom: card.dom },
      { key: "waiting", title: "Waiting for you", dom: slot.dom },
    ],
  });
  pane.hide("card");
  root.append(
    now.dom,
    night.dom,
    staircase.dom,
    h("div", { class: "ark-pane-head" }, pane.tabs, status.dom),
    pane.dom,
  );

  let fromLedger = false; // where Escape leads from the card
  let waiting = null; // how many proposals wait; null before the first look
  let frame = 0;

  const talk = connect({
    model,
    status,
    again: "start it and run the cell again; a night goes on by itself.",
    ...card.hears,
  });

  function open(n) {
    ledger.mark(n);
    pane.label("card", `Experiment ${number(n)}`);
    pane.open("card");
    fromLedger = false;
    card.open(n, talk);
  }

  // The row that had the focus is out of sight now, so the card gets it, and Escape leads back.
  function openFromLedger(n) {
    open(n);
    fromLedger = true;
    card.dom.focus({ preventScroll: true });
  }

  card.dom.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (fromLedger) {
      pane.open("ledger");
      ledger.focus();
    } else staircase.focus();
  });

  function toWaiting() {
    pane.open("waiting");
    pane.focusTab("waiting");
    pane.dom.scrollIntoView({
      block: "nearest",
      behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
    });
  }

  function showWaiting(count) {
    if (count === waiting) return;
    const before = waiting;
    waiting = count;
    pane.label("waiting", "Waiting for you", count);
    if (count && !before) {
      pane.offer("waiting");
      if (before !== null)
        status.mention(
          count === 1 ? "A proposal waits for you." : `${count} proposals wait for you.`,
        );
    } else if (!count) pane.withdraw();
  }

  function showBoard() {
    frame = 0;
    const board = model.get("board") ?? {};
    root.setAttribute("aria-label", `Dashboard of ${board.campaign ?? ""}`);
    now.show(board);
    night.show(board.night);
    staircase.showBoard(board);
    ledger.nameMetric(board.metric);
    showWaiting(board.steps?.approval ?? 0);
  }

  function showRows() {
    const rows = (model.get("rows") ?? []).map(toRow);
    staircase.showRows(rows);
    ledger.show(rows);
    if (card.asked() !== null) ledger.mark(card.asked());
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

export default { render };
