// The diff behind the hunks: lines first, characters within them after, as git and a pull request
// do it. The merge view's own diff compares characters throughout; in a long file with repetitive
// code it gives up, and the whole file turns into one change.
// After E. Myers, "An O(ND) difference algorithm and its variations", 1986.
import { Change, diff } from "@codemirror/merge";

const MOST_EDITS = 1200; // lines; a file rewritten beyond that is one change
const MOST_CHARACTERS = 4000; // of a hunk that is compared character by character
const ALIKE = 0.4; // share of a hunk that must be unchanged for marks inside its lines to help

/** Return the changes from string `a` to string `b`, as `diffConfig.override` wants them. */
export function lineDiff(a, b) {
  const [linesA, linesB] = [lines(a), lines(b)];
  const [startsA, startsB] = [starts(linesA), starts(linesB)];
  return regions(linesA, linesB).flatMap(([fromA, toA, fromB, toB]) =>
    refine(a, startsA[fromA], startsA[toA], b, startsB[fromB], startsB[toB]),
  );
}

/** Count the lines that are added and removed from string `a` to string `b`, as git does. */
export function countLines(a, b) {
  const found = regions(lines(a), lines(b));
  const sum = (size) => found.reduce((total, region) => total + size(region), 0);
  return {
    added: sum(([, , fromB, toB]) => toB - fromB),
    removed: sum(([fromA, toA]) => toA - fromA),
  };
}

/** Mark the characters that differ, where the two sides have enough in common. */
function refine(a, fromA, toA, b, fromB, toB) {
  const whole = [new Change(fromA, toA, fromB, toB)];
  const size = toA - fromA + toB - fromB;
  if (fromA === toA || fromB === toB || size > MOST_CHARACTERS) return whole;
  const inner = diff(a.slice(fromA, toA), b.slice(fromB, toB), { scanLimit: 500, timeout: 20 });
  const changed = inner.reduce((sum, c) => sum + c.toA - c.fromA + c.toB - c.fromB, 0);
  if (changed > (1 - ALIKE) * size) return whole;
  return inner.map(
    (c) => new Change(fromA + c.fromA, fromA + c.toA, fromB + c.fromB, fromB + c.toB),
  );
}

function lines(string) {
  return string.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function starts(list) {
  const found = [0];
  for (const line of list) found.push(found.at(-1) + line.length);
  return found;
}

/** Return the ranges of lines that differ, as [fromA, toA, fromB, toB]. */
function regions(a, b) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let [endA, endB] = [a.length, b.length];
  while (endA > head && endB > head && a[endA - 1] === b[endB - 1])
    [endA, endB] = [endA - 1, endB - 1];
  if (head === endA && head === endB) return [];
  const path = head < endA && head < endB ? edits(a.slice(head, endA), b.slice(head, endB)) : null;
  if (!path) return [[head, endA, head, endB]];
  const found = [];
  for (const [x, y, nextX, nextY] of path) {
    const last = found.at(-1);
    const [fromA, toA, fromB, toB] = [x + head, nextX + head, y + head, nextY + head];
    if (last && last[1] === fromA && last[3] === fromB) [last[1], last[3]] = [toA, toB];
    else found.push([fromA, toA, fromB, toB]);
  }
  return found;
}

/** Return single insertions and deletions of lines in order, or null when there are too many. */
function edits(a, b) {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const middle = most + 1;
  const reach = new Int32Array(2 * most + 3); // furthest x on each diagonal k = x - y
  const trace = [];
  for (let d = 0; d <= most; d += 1) {
    trace.push(reach.slice(middle - d - 1, middle + d + 2)); // before this round
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[middle + k - 1] < reach[middle + k + 1]);
      let x = down ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) [x, y] = [x + 1, y + 1];
      reach[middle + k] = x;
      if (x >= a.length && y >= b.length) return backwards(trace, a.length, b.length);
    }
  }
  return null;
}

function backwards(trace, x, y) {
  const found = [];
  for (let d = trace.length - 1; d > 0; d -= 1) {
    const reach = (k) => trace[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && reach(k - 1) < reach(k + 1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = reach(fromK);
    const fromY = fromX - fromK;
    found.push(down ? [fromX, fromY, fromX, fromY + 1] : [fromX, fromY, fromX + 1, fromY]);
    [x, y] = [fromX, fromY];
  }
  return found.reverse();
}
