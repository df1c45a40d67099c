// The live loss curve over the best run's. Drawn once; an update sets two attributes.
import { attr, h, s, shown, text } from "../shared/dom.js";
import { figure, isNumber } from "../shared/numbers.js";
import { points, scale } from "../shared/plot.js";

const [WIDTH, HEIGHT] = [1000, 300]; // units of the drawing, stretched to the room there is
const EARLY = 0.15; // the fall of the first steps would flatten all that follows

export function createCurve() {
  const best = s("polyline", { class: "ark-curve-best" });
  const own = s("polyline", { class: "ark-curve-own" });
  const here = s("line", { class: "ark-curve-here", y1: 0, y2: HEIGHT });
  const svg = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "data-testid": "monitor-plot",
    },
    here,
    best,
    own,
  );
  const [high, low] = [
    h("span", { class: "ark-curve-high" }),
    h("span", { class: "ark-curve-low" }),
  ];
  const bestName = h("span", { class: "ark-key ark-key-best" });
  const legend = h(
    "div",
    { class: "ark-legend" },
    h("span", { class: "ark-key ark-key-own" }, "this run"),
    bestName,
  );
  const nothing = h("span", { class: "ark-curve-nothing" }, "no loss yet");
  const dom = h(
    "div",
    { class: "ark-curve" },
    legend,
    h("div", { class: "ark-curve-box" }, svg, high, low, nothing),
    h(
      "div",
      { class: "ark-curve-x" },
      h("span", {}, "0 %"),
      h("span", {}, "of the budget"),
      h("span", {}, "100 %"),
    ),
  );

  return {
    dom,
    /** Draw `curve` and, when there is one, `champion` {n, curve}. */
    show(curve, champion) {
      const mine = clean(curve);
      const theirs = clean(champion?.curve);
      const all = [...mine, ...theirs];
      shown(nothing, !mine.length);
      shown(bestName, theirs.length);
      if (theirs.length) text(bestName, `best so far, ${String(champion.n).padStart(4, "0")}`);
      const settled = all.filter(([progress]) => progress >= EARLY);
      const values = (settled.length > 4 ? settled : all).map(([, loss]) => loss);
      const [bottom, top] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
      const pad = (top - bottom) * 0.06 || Math.abs(top) * 0.01 || 1;
      const x = scale(0, 1, 0, WIDTH);
      const y = scale(top + pad, bottom - pad, 0, HEIGHT);
      attr(best, "points", points(theirs, x, y));
      attr(own, "points", points(mine, x, y));
      const end = mine.at(-1);
      attr(here, "x1", end ? x(end[0]).toFixed(1) : -9);
      attr(here, "x2", end ? x(end[0]).toFixed(1) : -9);
      text(high, values.length ? figure(top + pad, 3) : "");
      text(low, values.length ? figure(bottom - pad, 3) : "");
      attr(
        svg,
        "aria-label",
        end
          ? `Loss curve: ${figure(end[1])} at ${Math.round(end[0] * 100)} % of the budget`
          : "Loss curve, empty",
      );
    },
  };
}

const clean = (curve) =>
  (curve ?? []).filter(([progress, loss]) => isNumber(progress) && isNumber(loss));
