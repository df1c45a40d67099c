// Scales and lines; what the live curve and the staircase have in common.

/** Return a function from `[from, to]` to `[low, high]`. */
export function scale(from, to, low, high) {
  const span = to - from || 1;
  return (value) => low + ((value - from) / span) * (high - low);
}

/** Return about `count` round numbers within a range. */
export function ticks(from, to, count) {
  const raw = (to - from) / count;
  if (!(raw > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((f) => f * power >= raw) * power;
  const found = [];
  for (let i = Math.ceil(from / step); i * step <= to; i += 1)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** Return the `points` attribute of a polyline; one decimal is finer than any screen. */
export function points(list, x, y) {
  return list.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
}

/** Return a curve's value at `x`, linear between its points; null outside of them. */
export function at(curve, x) {
  const next = curve.findIndex(([a]) => a >= x);
  if (next < 0) return null;
  const [b, valueB] = curve[next];
  if (next === 0) return b === x ? valueB : null;
  const [a, valueA] = curve[next - 1];
  return valueA + ((valueB - valueA) * (x - a)) / (b - a || 1);
}
