// Numbers as people read them.

/** 75 -> "1:15", 3675 -> "1:01:15"; for a clock that runs. */
export function countdown(seconds) {
  const total = Math.max(0, Math.ceil(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
}

/** 4.2 -> "4 s", 130 -> "2 min 10 s", 7300 -> "2 h 1 min". */
export function duration(seconds) {
  if (!isNumber(seconds)) return "";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  const minutes = Math.round(s / 60) % 60;
  return minutes
    ? `${Math.floor(Math.round(s / 60) / 60)} h ${minutes} min`
    : `${Math.round(s / 3600)} h`;
}

/** Four significant digits, without an exponent where that stays short; "" for a missing number. */
export function figure(value, digits = 4) {
  if (!isNumber(value)) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(digits - 1);
  return size >= 1000
    ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(digits)));
}

/** As `figure`, with its sign. */
export function signed(value, digits = 3) {
  return isNumber(value)
    ? `${value > 0 ? "+" : value < 0 ? "−" : "±"}${figure(Math.abs(value), digits)}`
    : "";
}

const DAY = 864e5; // ms

/** A moment as the person's clock shows it: with the weekday when it is not today, with the date
 * when the weekday would not tell which. */
export function moment(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return "";
  const midnight = (of) => new Date(of).setHours(0, 0, 0, 0);
  const days = Math.round(Math.abs(midnight(date) - midnight(Date.now())) / DAY);
  const day = days === 0 ? {} : days < 7 ? { weekday: "short" } : { month: "short", day: "numeric" };
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return date.toLocaleString(undefined, { ...day, ...time });
}

/** Whether there is a number: NaN arrives as null, since JSON has none. */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
