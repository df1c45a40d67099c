// Every experiment of the campaign as a mark, the kept ones joined to a staircase. A handful of
// paths whatever the number of experiments; the mark under the pointer is found by arithmetic.
import { attr, h, s, shown, text } from "./dom.js";
import { figure, isNumber } from "./numbers.js";
import { scale, ticks } from "./plot.js";
import { describe } from "./rows.js";

const EDGE = { left: 56, right: 10, top: 8, bottom: 24 };
const BAND = 14; // px at the worse edge for what has no value
const MANY = 400; // experiments from which marks are smaller
const NEAR = 24; // px: how far from a mark the pointer may be

// What a mark stands for, with the words of the legend; in drawing order.
export const KINDS = {
  discarded: "discarded",
  beyond: "off the scale",
  refused: "refused",
  failed: "crashed",
  suspect: "quarantined",
  kept: "kept",
};
const OF_STATUS = {
  keep: "kept",
  discard: "discarded",
  crash: "failed",
  refused: "refused",
  quarantine: "suspect",
};

/** What kind of mark an experiment is; a verdict in another tool's words is drawn by its value. */
export const kindOf = ({ status, value }) =>
  OF_STATUS[status] ?? (isNumber(value) ? "discarded" : "failed");

/**
 * Make the plot, `height` pixels high; `open(n)` is called for the experiment that was clicked or
 * entered, `tell(row)` says what it is.
 */
export function createStaircase({ open, height = 170, tell = describe }) {
  const grid = s("g", { class: "ark-grid" });
  const steps = s("path", { class: "ark-steps" });
  const paths = Object.fromEntries(
    Object.keys(KINDS).map((kind) => [kind, s("path", { class: `ark-${kind}` })]),
  );
  const ring = s("circle", { class: "ark-ring", r: 7, cx: -20, cy: -20 });
  const here = s("circle", { class: "ark-here", r: 7, cx: -20, cy: -20 });
  const svg = s(
    "svg",
    { height, "aria-hidden": "true" },
    grid,
    steps,
    Object.values(paths),
    here,
    ring,
  );
  const tip = h("div", { class: "ark-tip", hidden: true });
  const name = h("span", { class: "ark-axis" });
  const keys = Object.fromEntries(
    Object.entries(KINDS)
      .reverse()
      .map(([kind, words]) => [
        kind,
        h("span", { class: "ark-mark", "data-kind": kind }, sample(kind), words),
      ]),
  );
  const nothing = h("p", { class: "ark-empty ark-no-mark" }, "No experiment is decided yet.");
  const legend = h("div", { class: "ark-legend" }, name, Object.values(keys));
  // A slider is what a row of points that arrow keys walk along is to a screen reader.
  const box = h(
    "div",
    {
      class: "ark-plot-box",
      role: "slider",
      tabindex: "0",
      "aria-label": "Experiments; arrow keys move, Enter opens the card",
      "aria-valuemin": 0,
      testid: "plot",
    },
    svg,
    tip,
    nothing,
  );
  const dom = h("div", { class: "ark-plot" }, legend, box);
  box.style.height = `${height}px`;

  let rows = [];
  let shows = () => true; // which of them have a mark
  let board = {};
  let opened = null; // the number of the one that is looked at
  let marks = []; // {row, x, y}, in order of x
  let chosen = -1;
  let width = 0;
  let frame = 0;

  function draw() {
    frame = 0;
    if (!width) return;
    const smaller = board.goal !== "maximize";
    const [low, high] = range(rows, smaller);
    const last = rows.length ? rows.at(-1).n : 1;
    const [top, bottom] = smaller
      ? [EDGE.top + BAND, height - EDGE.bottom]
      : [EDGE.top, height - EDGE.bottom - BAND];
    const x = scale(0, Math.max(last, 1), EDGE.left + 6, width - EDGE.right - 6);
    const y = scale(high, low, top, bottom);
    const band = smaller ? EDGE.top + 3 : height - EDGE.bottom - 3;

    const place = (row) => {
      const kind = kindOf(row);
      const measured = isNumber(row.value) && kind !== "failed" && kind !== "refused";
      const off = measured && (smaller ? row.value > high : row.value < low);
      const inside = measured ? Math.min(bottom, Math.max(top, y(row.value))) : band;
      return { row, kind: off && kind === "discarded" ? "beyond" : kind, x: x(row.n), y: inside };
    };
    marks = rows.filter(shows).map(place);
    const size = rows.length > MANY ? 0.7 : 1;
    for (const [kind, path] of Object.entries(paths)) {
      const some = marks.filter((mark) => mark.kind === kind);
      attr(path, "d", some.map((mark) => shape(mark, smaller, size)).join(""));
      shown(keys[kind], some.length || kind === "kept" || kind === "discarded");
    }
    shown(nothing, !rows.length);
    const keeps = rows.filter((row) => kindOf(row) === "kept").map(place);
    attr(steps, "d", staircase(keeps, width - EDGE.right));
    axes(x, y, low, high, last, smaller);
    attr(svg, "width", width);
    attr(box, "aria-valuemax", Math.max(0, marks.length - 1));
    showOpened();
    choose(Math.min(chosen, marks.length - 1), false);
  }

  function axes(x, y, low, high, last, smaller) {
    const levels = ticks(low, high, 6);
    const digits = levels.length > 1 ? decimals(levels[1] - levels[0]) : null;
    const across = levels.flatMap((value) => [
      s("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      s(
        "text",
        { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" },
        label(value, digits),
      ),
    ]);
    const along = ticks(0, Math.max(last, 1), Math.min(8, width / 90))
      .filter(Number.isInteger)
      .map((n) => s("text", { x: x(n), y: height - 6, "text-anchor": "middle" }, String(n)));
    grid.replaceChildren(...across, ...along);
    text(
      name,
      `${board.metric ?? ""}${board.unit ? `, ${board.unit}` : ""} (${smaller ? "lower" : "higher"} is better)`,
    );
  }

  function showOpened() {
    const mark = marks.find(({ row }) => row.n === opened);
    attr(here, "cx", mark ? mark.x : -20);
    attr(here, "cy", mark ? mark.y : -20);
  }

  function choose(index, show = true) {
    chosen = index;
    const mark = marks[index];
    attr(ring, "cx", mark ? mark.x : -20);
    attr(ring, "cy", mark ? mark.y : -20);
    shown(tip, mark && show);
    attr(box, "aria-valuenow", Math.max(0, index));
    attr(box, "aria-valuetext", mark ? tell(mark.row) : "nothing chosen");
    if (!mark || !show) return;
    text(tip, tell(mark.row));
    const right = mark.x > width / 2;
    tip.style.left = right ? "" : `${mark.x + 12}px`;
    tip.style.right = right ? `${width - mark.x + 12}px` : "";
    tip.style.top = `${Math.min(mark.y + 8, height - 62)}px`;
  }

  function nearest(event) {
    const { left, top } = svg.getBoundingClientRect();
    const [px, py] = [event.clientX - left, event.clientY - top];
    let [found, best] = [-1, NEAR * NEAR];
    for (let i = 0; i < marks.length; i += 1) {
      const distance = (marks[i].x - px) ** 2 + (marks[i].y - py) ** 2;
      if (distance < best) [found, best] = [i, distance];
    }
    return found;
  }

  box.addEventListener("pointermove", (event) => choose(nearest(event)));
  box.addEventListener("pointerleave", () =>
    choose(document.activeElement === box ? chosen : -1, false),
  );
  box.addEventListener("click", (event) => {
    const index = nearest(event);
    choose(index);
    if (index >= 0) open(marks[index].row.n);
  });
  box.addEventListener("blur", () => choose(-1, false));
  box.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && marks[chosen]) open(marks[chosen].row.n);
    else {
      const end = marks.length - 1;
      const from = chosen < 0 ? end + 1 : chosen; // the first arrow goes to the newest
      const to = {
        ArrowLeft: from - 1,
        ArrowDown: from - 1,
        ArrowRight: from + 1,
        ArrowUp: from + 1,
        Home: 0,
        End: end,
        PageUp: from - 10,
        PageDown: from + 10,
      }[event.key];
      if (to === undefined) return;
      choose(Math.max(0, Math.min(end, to)));
    }
    event.preventDefault();
  });

  const soon = () => {
    frame ||= requestAnimationFrame(draw);
  };
  const watcher = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width) return;
    width = now;
    soon();
  });
  watcher.observe(box);

  return {
    dom,
    showRows(list) {
      rows = list;
      soon();
    },
    /** Leave out the marks of what `predicate` does not want; axes and steps stay as they are. */
    filter(predicate) {
      shows = predicate;
      soon();
    },
    /** Mark the experiment whose card is open. */
    mark(n) {
      opened = n;
      showOpened();
    },
    focus: () => box.focus(),
    showBoard(next) {
      const before = [board.metric, board.unit, board.goal].join();
      board = next;
      if ([next.metric, next.unit, next.goal].join() !== before) soon();
    },
    destroy() {
      watcher.disconnect();
      cancelAnimationFrame(frame);
    },
  };
}

function shape({ kind, x, y }, smaller, size = 1) {
  if (kind === "failed") return `M${at(x - 3.5, y - 3.5)}l7 7m0-7l-7 7`;
  if (kind === "refused") return `M${at(x - 3, y - 3)}h6v6h-6z`;
  // It points to where the value lies.
  if (kind === "beyond") return `M${at(x - 4, y)}h8l-4 ${smaller ? -7 : 7}z`;
  if (kind === "suspect") return `M${at(x, y - 5)}l5 5l-5 5l-5-5z`;
  const r = size * (kind === "discarded" ? 2.6 : 4);
  return `M${at(x - r, y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
}

const at = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

/** The mark of a kind beside its words in the legend. */
export function sample(kind) {
  const path = s("path", { class: `ark-${kind}`, d: shape({ kind, x: 6, y: kind === "beyond" ? 10 : 6 }, true) });
  return s("svg", { width: 12, height: 12, "aria-hidden": "true" }, path);
}

function staircase(keeps, end) {
  if (!keeps.length) return "";
  const rest = keeps.slice(1).map((m) => `H${m.x.toFixed(1)}V${m.y.toFixed(1)}`);
  return `M${at(keeps[0].x, keeps[0].y)}${rest.join("")}H${end}`;
}

/**
 * The values worth seeing, as `plots.progress` has them: all kept ones, and up to half of their
 * height worse, so that one blow-up does not flatten the rest. Where that would hide most of the
 * discarded ones, as it does while there are few gains yet, the better half of them is shown as
 * long as the kept steps keep a fifth of the height.
 */
function range(rows, smaller) {
  const sign = smaller ? 1 : -1;
  const losses = (...kinds) =>
    rows
      .filter((row) => kinds.includes(row.status) && isNumber(row.value))
      .map((row) => sign * row.value)
      .sort((a, b) => a - b);
  const all = losses("keep", "discard");
  if (!all.length) return [0, 1];
  const some = losses("keep");
  const keeps = some.length ? some : all;
  let [best, worst] = [keeps[0], keeps.at(-1)];
  const height = worst - best || Math.abs(best) * 0.01 || 1;
  const part = (share) => all[Math.floor((all.length - 1) * share)];
  worst = Math.max(
    worst,
    Math.min(part(0.95), worst + height / 2),
    Math.min(part(0.5), worst + height * 4),
  );
  best = Math.min(best, Math.max(all[0], best - height / 2)); // a gain within the noise
  const pad = Math.max(height, worst - best) * 0.08;
  const ends = [sign * (best - pad), sign * (worst + pad)];
  return smaller ? ends : ends.reverse();
}

const decimals = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));

/** A tick with as many decimals as tell it from the next one. */
function label(value, digits) {
  const plain = digits !== null && digits <= 6 && Math.abs(value) < 1e7;
  if (!plain) return figure(value);
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
