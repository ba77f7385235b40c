// Numbers, times and durations as people read them.

const NONE = "–";

/** A measured number: four significant digits, none of them for show. */
export function number(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  const size = Math.abs(value);
  const digits = size >= 10_000 || Number.isInteger(value) ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.01 ? 3 : size === 0 ? 0 : 5;
  const text = value.toLocaleString("en", { maximumFractionDigits: digits });
  return unit ? `${text} ${unit}` : text;
}

/** A round value on an axis, with all its digits: 1,011.2 beside 1,011.4. */
export function tick(value) {
  return Math.abs(value) < 10_000 ? value.toLocaleString("en", { maximumFractionDigits: 5 }) : compact(value);
}

/** A count or rate, short: 12.3 k. */
export function compact(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (Math.abs(value) < 10_000) return number(value);
  const [size, letter] = Math.abs(value) < 1e6 ? [1e3, "k"] : Math.abs(value) < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${(value / size).toLocaleString("en", { maximumSignificantDigits: 3 })} ${letter}`;
}

/** A share of one. */
export function percent(share, digits = 1) {
  return share === null || share === undefined ? NONE : `${(share * 100).toFixed(digits)} %`;
}

/** Bytes: 12.3 MB. */
export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${value.toLocaleString("en", { maximumSignificantDigits: 3 })} ${units[at]}`;
}

/** A length of time in milliseconds: "350 ms", "2.4 s", "3 min", "5 h". */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return NONE;
  const size = Math.abs(ms);
  if (size < 1_000) return `${Math.round(ms)} ms`;
  if (size >= 60_000 && size < 3_600_000 && ms % 60_000 === 0) return `${ms / 60_000} min`;
  if (size < 100_000) return `${(ms / 1_000).toFixed(size < 10_000 && ms % 1_000 ? 1 : 0)} s`;
  if (size < 6_000_000) return `${Math.round(ms / 60_000)} min`;
  if (size < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

const two = (value) => String(value).padStart(2, "0");

/** Time of day, here; the day too when it is not today. */
export function time(ms, { seconds = true } = {}) {
  if (ms === null || ms === undefined) return NONE;
  const at = new Date(ms);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? ":" + two(at.getSeconds()) : ""}`;
  return at.toDateString() === new Date().toDateString() ? clock : `${two(at.getDate())} ${at.toLocaleString("en", { month: "short" })} ${clock}`;
}

/** How long ago. */
export function ago(ms, now = Date.now()) {
  return ms === null || ms === undefined ? NONE : now - ms < 1_500 ? "now" : `${duration(Math.max(0, now - ms))} ago`;
}

/** A value of a column for a table. */
export function cell(value, kind) {
  if (value === null || value === undefined || value === "") return NONE;
  if (kind === "time") return time(value);
  if (kind === "number") return number(value);
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
