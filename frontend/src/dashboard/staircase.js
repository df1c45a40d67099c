// Every experiment of the campaign as a mark, the kept ones joined to a staircase. A handful of
// paths whatever the number of experiments; the mark under the pointer is found by arithmetic.
import { attr, h, s, shown, text } from "../shared/dom.js";
import { figure, isNumber } from "../shared/numbers.js";
import { scale, ticks } from "../shared/plot.js";
import { describe } from "./rows.js";

const HEIGHT = 230; // px
const EDGE = { left: 56, right: 10, top: 12, bottom: 24 };
const NEAR = 24; // px: how far from a mark the pointer may be

/** Make the plot; `open(n)` is called for the experiment that was clicked or entered. */
export function createStaircase({ open }) {
  const grid = s("g", { class: "ark-grid" });
  const steps = s("path", { class: "ark-steps" });
  const discarded = s("path", { class: "ark-discarded" });
  const failed = s("path", { class: "ark-failed" });
  const suspect = s("path", { class: "ark-suspect" });
  const kept = s("path", { class: "ark-kept" });
  const ring = s("circle", { class: "ark-ring", r: 7, cx: -20, cy: -20 });
  const svg = s(
    "svg",
    { height: HEIGHT, "aria-hidden": "true" },
    grid,
    steps,
    discarded,
    failed,
    suspect,
    kept,
    ring,
  );
  const tip = h("div", { class: "ark-tip", hidden: true });
  const name = h("span", { class: "ark-axis" });
  const key = (kind, words) => h("span", { class: `ark-mark ark-mark-${kind}` }, words);
  const legend = h(
    "div",
    { class: "ark-legend" },
    name,
    key("kept", "kept"),
    key("discarded", "discarded"),
    key("failed", "crash or refused"),
  );
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
  );
  const dom = h("div", { class: "ark-plot" }, legend, box);

  let rows = [];
  let board = {};
  let marks = []; // {row, x, y}, in order of x
  let chosen = -1;
  let width = 0;
  let frame = 0;

  function draw() {
    frame = 0;
    if (!width) return;
    const smaller = board.goal !== "maximize";
    const known = rows.filter((row) => isNumber(row.value));
    const [low, high] = range(known, smaller);
    const last = rows.length ? rows.at(-1).n : 1;
    const x = scale(0, Math.max(last, 1), EDGE.left + 6, width - EDGE.right - 6);
    const y = scale(high, low, EDGE.top, HEIGHT - EDGE.bottom);
    const worse = smaller ? EDGE.top : HEIGHT - EDGE.bottom;
    const inside = (value) => Math.min(HEIGHT - EDGE.bottom, Math.max(EDGE.top, y(value)));

    marks = rows.map((row) => ({
      row,
      x: x(row.n),
      y: isNumber(row.value) ? inside(row.value) : worse,
    }));
    const of = (...kinds) => marks.filter(({ row }) => kinds.includes(row.status));
    const keeps = of("keep");
    attr(kept, "d", keeps.map((m) => dot(m, 4)).join(""));
    attr(
      discarded,
      "d",
      of("discard")
        .map((m) => dot(m, 2.6))
        .join(""),
    );
    attr(failed, "d", of("crash", "refused").map(cross).join(""));
    attr(
      suspect,
      "d",
      of("quarantine")
        .map((m) => dot(m, 4))
        .join(""),
    );
    attr(steps, "d", staircase(keeps, width - EDGE.right));
    axes(x, y, low, high, last);
    attr(svg, "width", width);
    attr(box, "aria-valuemax", Math.max(0, rows.length - 1));
    choose(Math.min(chosen, marks.length - 1), false);
  }

  function axes(x, y, low, high, last) {
    const across = ticks(low, high, 4).flatMap((value) => [
      s("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      s("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value)),
    ]);
    const along = ticks(0, Math.max(last, 1), Math.min(8, width / 90))
      .filter(Number.isInteger)
      .map((n) => s("text", { x: x(n), y: HEIGHT - 6, "text-anchor": "middle" }, String(n)));
    grid.replaceChildren(...across, ...along);
    text(
      name,
      `${board.metric ?? ""}${board.unit ? `, ${board.unit}` : ""} (${board.goal === "maximize" ? "higher" : "lower"} is better)`,
    );
  }

  function choose(index, show = true) {
    chosen = index;
    const mark = marks[index];
    attr(ring, "cx", mark ? mark.x : -20);
    attr(ring, "cy", mark ? mark.y : -20);
    shown(tip, mark && show);
    attr(box, "aria-valuenow", Math.max(0, index));
    attr(box, "aria-valuetext", mark ? describe(mark.row) : "nothing chosen");
    if (!mark || !show) return;
    text(tip, describe(mark.row));
    const right = mark.x > width / 2;
    tip.style.left = right ? "" : `${mark.x + 12}px`;
    tip.style.right = right ? `${width - mark.x + 12}px` : "";
    tip.style.top = `${Math.min(mark.y + 8, HEIGHT - 60)}px`;
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

const dot = ({ x, y }, r) =>
  `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
const cross = ({ x, y }) => `M${(x - 3.5).toFixed(1)} ${(y - 3.5).toFixed(1)}l7 7m0-7l-7 7`;

function staircase(keeps, end) {
  if (!keeps.length) return "";
  const rest = keeps.slice(1).map((m) => `H${m.x.toFixed(1)}V${m.y.toFixed(1)}`);
  return `M${keeps[0].x.toFixed(1)} ${keeps[0].y.toFixed(1)}${rest.join("")}H${end}`;
}

/** The values worth seeing: all kept ones, and discarded ones but for the worst tenth. */
function range(rows, smaller) {
  if (!rows.length) return [0, 1];
  const keeps = rows.filter((row) => row.status === "keep").map((row) => row.value);
  const all = rows.map((row) => row.value).sort((a, b) => a - b);
  const cut = Math.floor((all.length - 1) * 0.1);
  const some = smaller ? all.slice(0, all.length - cut) : all.slice(cut);
  const [low, high] = [Math.min(...some, ...keeps), Math.max(...some, ...keeps)];
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  return [low - pad, high + pad];
}
