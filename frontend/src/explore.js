// A campaign's staircase to walk along: what each experiment was, and below it the card of the one
// that was clicked.
import { createCard } from "./shared/card.js";
import { adopt, h, shown, text } from "./shared/dom.js";
import { isNumber } from "./shared/numbers.js";
import { describe, figures, toRow } from "./shared/rows.js";
import { createStaircase, kindOf, sample } from "./shared/staircase.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";

const HEIGHT = 300; // px
const ORDER = ["keep", "discard", "crash", "quarantine", "refused"];
const EVERYBODY = ""; // an author's name is never empty in the list

const byName = (row) => (row.author ?? "").split(" <")[0] || "unknown";

/** Two lines: what came out and who had the idea; the idea. */
const tell = (row) => `${figures(row)}, by ${byName(row)}\n${row.hypothesis}`;

function render({ model, el }) {
  const root = adopt(el, "explore");
  root.setAttribute("role", "region");
  const status = createStatus();
  const staircase = createStaircase({ open, height: HEIGHT, tell });
  const filters = h("div", { class: "ark-row ark-filters", role: "group", "aria-label": "Show" });
  const count = h("span", { class: "ark-count", role: "status", testid: "count" });
  const card = createCard({
    status,
    hint: "; Escape leads back to the plot",
    missing(n) {
      const row = rows.find((one) => one.n === n);
      return `The card did not come. What is known here: ${row ? describe(row) : ""}`;
    },
  });
  shown(card.dom, false);
  root.append(filters, staircase.dom, status.dom, card.dom);

  let rows = [];
  const hidden = new Set(); // verdicts
  let author = EVERYBODY;

  const talk = connect({
    model,
    status,
    again: "start it and run the cell again.",
    ...card.hears,
  });

  function open(n) {
    staircase.mark(n);
    shown(card.dom, true);
    card.open(n, talk);
  }

  card.dom.addEventListener("keydown", (event) => {
    if (event.key === "Escape") staircase.focus();
  });

  function apply() {
    const wanted = (row) =>
      !hidden.has(row.status) && (author === EVERYBODY || byName(row) === author);
    staircase.filter(wanted);
    const some = rows.filter(wanted).length;
    const tried = tries().filter((row) => row.status !== "refused").length;
    const all = `${tried} experiment${tried === 1 ? "" : "s"}`;
    text(count, some === rows.length ? all : `${some} of ${rows.length} shown`);
  }

  /** The rows without the starting point, the first that was kept: nothing was tried there. */
  function tries() {
    const start = rows.find(({ status, value }) => status === "keep" && isNumber(value));
    return rows.filter((row) => row !== start);
  }

  function show() {
    const board = model.get("board") ?? {};
    rows = (model.get("rows") ?? []).map(toRow);
    root.setAttribute("aria-label", `Experiments of ${board.campaign ?? ""}`);
    staircase.showBoard(board);
    staircase.showRows(rows);
    filters.replaceChildren(...boxes(), people(), count);
    apply();
  }

  function boxes() {
    const counts = tally(rows.map((row) => row.status));
    const tried = tally(tries().map((row) => row.status));
    const place = (name) => (ORDER.indexOf(name) + 1 || ORDER.length + 1);
    return [...counts.keys()]
      .sort((a, b) => place(a) - place(b))
      .map((name) => {
        const box = h("input", {
          type: "checkbox",
          checked: !hidden.has(name),
          "data-status": name,
          testid: "show-status",
          onchange() {
            if (box.checked) hidden.delete(name);
            else hidden.add(name);
            apply();
          },
        });
        const kind = kindOf(rows.find((row) => row.status === name));
        return h("label", {}, box, sample(kind), `${name} (${tried.get(name) ?? 0})`);
      });
  }

  function people() {
    const counts = tally(rows.map(byName));
    const tried = tally(tries().map(byName));
    const list = h(
      "select",
      {
        testid: "show-author",
        onchange() {
          author = list.value;
          apply();
        },
      },
      h("option", { value: EVERYBODY }, "everybody"),
      [...counts.keys()].map((name) =>
        h("option", { value: name, selected: name === author }, `${name} (${tried.get(name) ?? 0})`),
      ),
    );
    return h("label", {}, "by", list);
  }

  const heard = { "change:board": show, "change:rows": show };
  for (const [name, callback] of Object.entries(heard)) model.on(name, callback);
  show();

  return () => {
    for (const [name, callback] of Object.entries(heard)) model.off(name, callback);
    talk.close();
    staircase.destroy();
  };
}

/** How often each word occurs, the most frequent first. */
function tally(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return new Map([...counts].sort((a, b) => b[1] - a[1]));
}

export default { render };
