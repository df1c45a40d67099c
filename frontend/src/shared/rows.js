// A ledger row by name: the kernel sends arrays, since hundreds of objects repeat their keys.
import { figure, isNumber, signed } from "./numbers.js";

/** Name the parts of a row. */
export function toRow([n, status, value, delta, hypothesis, author, at, seconds, cost]) {
  return { n, status, value, delta, hypothesis, author, at, seconds, cost };
}

export const number = (n) => String(n).padStart(4, "0");

/** What came out, in a few words. */
export function figures(row) {
  const value = isNumber(row.value) ? ` ${figure(row.value, 5)}` : "";
  const delta = isNumber(row.delta) ? ` (${signed(row.delta)})` : "";
  return `${number(row.n)} ${row.status}${value}${delta}`;
}

/** One line about a row, for a tooltip and for a screen reader. */
export const describe = (row) => `${figures(row)}: ${row.hypothesis}`;
