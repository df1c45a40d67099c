// A campaign at a glance: what happens now, the night, the staircase; and in one pane the ledger,
// one experiment's card, and the proposals that wait for a person.
import { adopt, attr, h, text } from "./shared/dom.js";
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
  const card = h("div", { class: "ark-card", tabindex: "0", testid: "card" });
  const slot = createSlot(model);
  const pane = createPane({
    label: "Ledger, card, and what waits for you",
    panels: [
      { key: "ledger", title: "Ledger", dom: ledger.dom },
      { key: "card", title: "Experiment", dom: card },
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

  let asked = null; // the number of the card that is on its way or shown
  let fromLedger = false; // where Escape leads from the card
  let waiting = null; // how many proposals wait; null before the first look
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
        attr(card, "aria-busy", null);
        status.mention(`Card of ${number(n)}.`);
      },
    },
    answered: ({ to, ok }) => to === "card" && !ok && noCard(),
    gaveUp: (to) => to === "card" && noCard(),
  });

  function open(n) {
    asked = n;
    ledger.mark(n);
    pane.label("card", `Experiment ${number(n)}`);
    pane.open("card");
    if (card.dataset.n !== String(n)) {
      delete card.dataset.n;
      text(card, "Opening…");
      attr(card, "aria-busy", "true");
    }
    fromLedger = false;
    talk.ask({ type: "card", n }, `Opening ${number(n)}…`);
  }

  // The row that had the focus is out of sight now, so the card gets it, and Escape leads back.
  function openFromLedger(n) {
    open(n);
    fromLedger = true;
    card.focus({ preventScroll: true });
  }

  function noCard() {
    if (card.dataset.n) return; // an older one of the same experiment is better than none
    text(card, "The card did not come; click again for another try.");
    attr(card, "aria-busy", null);
  }

  card.addEventListener("keydown", (event) => {
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

export default { render };
