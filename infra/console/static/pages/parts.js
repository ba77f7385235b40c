// What the pages Detection, Analytics and Alerts have in common.

import { h } from "/static/ui.js";

/** What several panels of one refresh share is asked for once. */
export function once(load) {
  let at = 0, held = null;
  return () => {
    if (!held || Date.now() - at > 2_000) {
      at = Date.now();
      held = load();
      held.catch(() => { held = null; });
    }
    return held;
  };
}

/** Whether this is a phone: fewer columns, no numbers in cells. */
export const narrow = () => window.innerWidth < 760;

/** Columns of a table; those marked `wide` are left out on a phone. */
export const columnsHere = (columns) => columns.filter((c) => !(c.wide && narrow()));

/** Text that may be long: it keeps some room on a phone. */
export const words = (text) => h("span", { style: { display: "block", "min-width": "min(200px, 48vw)", "overflow-wrap": "anywhere" }, text });

/** Cells in which dark and light text can be told apart from their ground. */
export function readable(values, max, t) {
  return values.map((value) => ({ value, label: { color: Math.abs(value[2]) > 0.6 * max ? t.surface : t.ink } }));
}

/** What the colours mean. */
export function scaled(option, told) {
  const { min, max } = option.visualMap;
  option.visualMap.text = [told(max), told(min)];
  return option;
}

/** A line above a chart that must not be cut off: what it is of. */
export function captioned(option, text, t) {
  option.title = { text, left: 0, top: 0, textStyle: { color: t.muted, fontSize: 12, fontWeight: "normal" } };
  option.grid.top += 18;
  return option;
}

/** A long name without its middle: names often differ at their ends. */
const ends = (length) => (name) => (name.length <= length ? name : `${name.slice(0, Math.floor(length * 0.4))}…${name.slice(-Math.ceil(length * 0.6) + 1)}`);

/** Names of all rows and columns. */
export function everyLabel(option, { rotate = 0, fontSize = 11, length = 22 } = {}) {
  option.xAxis.axisLabel = { ...option.xAxis.axisLabel, rotate, hideOverlap: false, interval: 0, fontSize, formatter: ends(rotate ? Math.min(length, 18) : length) };
  option.yAxis.axisLabel = { ...option.yAxis.axisLabel, hideOverlap: false, interval: 0, fontSize, formatter: ends(length) };
  return option;
}

/** Bars are stacked by their place in the row, so that each series needs all the times. */
export function aligned(rows, times, name, step) {
  const found = new Map(rows.map((r) => [r.time, r[name]]));
  return times.map((at) => [at + step / 2, found.get(at) ?? 0]);
}

export const severityTone = (v) => (v === "critical" ? "bad" : v === "warning" ? "warn" : "accent");
export const statusTone = (v) => ({ open: "bad", acknowledged: "accent", resolved: "good" })[v] ?? "";

/** What an alert is about. */
export const subject = (r) => r.sensor_id || [r.location, r.asset_id, r.sensor_type].filter(Boolean).join(", ") || r.rule;
