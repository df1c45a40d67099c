// The ledger as a table: sortable, with a sticky head. Row elements are made once and moved, and
// the browser lays out only those in sight (content-visibility), so that hundreds of rows stay
// fluid and its own search still finds all of them. That needs rows that are boxes of their own
// rather than parts of a table's layout, and with them the roles that such boxes lose.
import { attr, h, shown, text } from "../shared/dom.js";
import { duration, figure, isNumber, moment, signed } from "../shared/numbers.js";
import { number } from "../shared/rows.js";

const columns = [
  { key: "n", title: "no.", show: (r) => number(r.n) },
  { key: "status", title: "verdict", show: (r) => r.status },
  { key: "value", title: "metric", numeric: true, show: (r) => figure(r.value, 5) },
  { key: "delta", title: "change", numeric: true, show: (r) => signed(r.delta) },
  { key: "hypothesis", title: "hypothesis", show: (r) => r.hypothesis ?? "" },
  { key: "author", title: "author", show: (r) => r.author ?? "" },
  { key: "at", title: "decided", show: (r) => moment(r.at) },
  { key: "seconds", title: "time", numeric: true, show: (r) => duration(r.seconds) },
  { key: "cost", title: "cost", numeric: true, show: (r) => (r.cost ? figure(r.cost, 2) : "") },
];

/** Make the table; `open(n)` is called for the row that was clicked or entered. */
export function createLedger({ open }) {
  const heads = columns.map((column) => {
    const title = h("span", {}, column.title);
    const button = h(
      "button",
      { type: "button", class: "ark-sort", onclick: () => sortBy(column.key) },
      title,
    );
    return h(
      "th",
      {
        scope: "col",
        role: "columnheader",
        class: column.numeric ? "ark-number" : null,
        "data-key": column.key,
      },
      button,
    );
  });
  const body = h("tbody", { role: "rowgroup" });
  const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads));
  const table = h("table", { class: "ark-table", role: "table", testid: "ledger" }, head, body);
  const nothing = h("p", { class: "ark-empty" }, "No experiment is decided yet.");
  const dom = h("div", { class: "ark-ledger" }, table, nothing);

  const known = new Map(); // n -> { row, json, tr, button }
  let sort = { key: "n", down: true };
  let order = [];
  let current = null; // the one row in the tab order

  function sortBy(key) {
    sort = { key, down: sort.key === key ? !sort.down : key === "n" || key === "at" };
    arrange();
  }

  function arrange() {
    for (const th of heads) {
      attr(
        th,
        "aria-sort",
        th.dataset.key === sort.key ? (sort.down ? "descending" : "ascending") : null,
      );
    }
    const sign = sort.down ? -1 : 1;
    order = [...known.values()].sort(
      (a, b) => compare(a.row[sort.key], b.row[sort.key], sign) || b.row.n - a.row.n,
    );
    // Only what is out of place is moved: a row that stays keeps the focus.
    let next = body.firstChild;
    for (const { tr } of order) {
      if (tr === next) next = next.nextSibling;
      else body.insertBefore(tr, next);
    }
    if (!current || !known.has(current.row.n)) focusable(order[0]);
  }

  function focusable(entry) {
    if (current) current.button.tabIndex = -1;
    current = entry ?? null;
    if (current) current.button.tabIndex = 0;
  }

  function show(rows) {
    let changed = false;
    const gone = new Set(known.keys());
    for (const row of rows) {
      gone.delete(row.n);
      const json = JSON.stringify(row);
      const old = known.get(row.n);
      if (old?.json === json) continue;
      changed = true;
      const entry = old ?? make(row.n);
      Object.assign(entry, { row, json });
      known.set(row.n, entry);
      paint(entry);
    }
    for (const n of gone) {
      known.get(n).tr.remove();
      known.delete(n);
      changed = true;
    }
    shown(nothing, !rows.length);
    if (changed) arrange();
  }

  function make(n) {
    const button = h("button", {
      type: "button",
      class: "ark-link",
      tabindex: "-1",
      title: "Open the card",
    });
    const cells = columns.map((c) =>
      h("td", { role: "cell", class: c.numeric ? "ark-number" : null }),
    );
    cells[0].append(button);
    return {
      cells,
      button,
      tr: h("tr", { role: "row", "data-n": n, testid: "ledger-row" }, cells),
    };
  }

  function paint({ row, cells, button, tr }) {
    tr.dataset.status = row.status;
    columns.forEach((column, i) => text(i ? cells[i] : button, column.show(row)));
    attr(cells[4], "title", row.hypothesis); // the table shows its beginning
    attr(cells[6], "title", row.at);
  }

  const entryOf = (event) => known.get(Number(event.target.closest("tr")?.dataset.n));

  body.addEventListener("click", (event) => {
    const entry = entryOf(event);
    if (!entry) return;
    focusable(entry);
    open(entry.row.n);
  });
  body.addEventListener("keydown", (event) => {
    const at = order.indexOf(entryOf(event));
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: order.length - 1,
      PageDown: at + 10,
      PageUp: at - 10,
    }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    focusable(order[Math.max(0, Math.min(order.length - 1, to))]);
    current.button.focus();
  });
  arrange();

  return {
    dom,
    show,
    focus: () => current?.button.focus(),
    nameMetric: (name) => text(heads[2].querySelector("span"), name || "metric"),
    /** Mark the row whose card is open. */
    mark(n) {
      for (const { row, tr } of known.values())
        attr(tr, "aria-current", row.n === n ? "true" : null);
    },
  };
}

/** Compare numbers or words; what is missing comes last in both directions. */
function compare(a, b, sign) {
  const [noA, noB] = [a, b].map((v) => v === null || v === undefined || v === "");
  if (noA || noB) return Number(noA) - Number(noB);
  if (isNumber(a) && isNumber(b)) return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}
