// What is looked at, kept in the address: page, time range, filters, and what a page adds of its own.
// #/windows?from=now-1h&to=now&location=hall&window=1m

const LISTS = ["location", "type", "sensor"];
export const RANGES = [["15m", "15 min"], ["1h", "1 h"], ["6h", "6 h"], ["24h", "24 h"], ["7d", "7 d"]];
const UNITS_MS = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** {page, from, to, location[], type[], sensor[], extra: {name: text}} */
export function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const given = new URLSearchParams(query);
  const state = { page: path || "live", from: given.get("from") || "now-15m", to: given.get("to") || "now", extra: {} };
  for (const name of LISTS) state[name] = given.getAll(name).filter(Boolean);
  for (const [name, value] of given) if (!LISTS.includes(name) && name !== "from" && name !== "to") state.extra[name] = value;
  return state;
}

/** The address of a state. */
export function href(state) {
  const query = new URLSearchParams();
  if (state.from !== "now-15m" || state.to !== "now") {
    query.set("from", state.from);
    query.set("to", state.to);
  }
  for (const name of LISTS) for (const one of state[name]) query.append(name, one);
  for (const [name, value] of Object.entries(state.extra)) if (value !== undefined && value !== "") query.set(name, value);
  const text = query.toString();
  return `#/${state.page}${text ? "?" + text : ""}`;
}

/** The state with changes; those of `extra` are merged, and dropped when another page is gone to. */
export function changed(state, patch) {
  const moved = patch.page && patch.page !== state.page;
  return { ...state, ...patch, extra: { ...(moved ? {} : state.extra), ...(patch.extra || {}) } };
}

/** Go to a state; `replace` leaves no step to go back to. */
export function go(state, { replace = false } = {}) {
  const where = href(state);
  if (where === location.hash) return;
  if (replace) {
    history.replaceState(null, "", where);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = where;
}

/** Parameters of a request for data. */
export function query(state, extra = {}) {
  const found = new URLSearchParams({ from: state.from, to: state.to });
  for (const name of LISTS) for (const one of state[name]) found.append(name, one);
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined || value === null || value === "") continue;
    found.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) found.append(name, one);
  }
  return found;
}

export const isLive = (state) => state.to === "now";

/** [from, to] as epoch milliseconds. */
export function bounds(state) {
  return [moment(state.from), moment(state.to)];
}

function moment(text) {
  const ago = /^now(?:-(\d+)([smhd]))?$/.exec(text);
  if (ago) return Date.now() - (ago[1] ? Number(ago[1]) * UNITS_MS[ago[2]] : 0);
  return /^-?\d+$/.test(text) ? Number(text) : Date.parse(text);
}
