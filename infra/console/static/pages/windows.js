// Windows: what the flow has made of the readings, group by group.

import { band, bars, cartesian, line, shaded, timeAxis, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { bounds } from "/static/state.js";
import { grid, h, select, sparkline, table } from "/static/ui.js";

export const title = "Windows";
export const about = "tumbling and sliding aggregates of event time";

const COLUMNS = ["sensor_type", "location", "asset_id", "unit", "sensor_id", "topic"];
const name = (group) => group.filter(Boolean).join(" · ") || "all";

export function mount(root, ctx) {
  const top = h("div", { class: "row section" });
  root.append(top);
  const area = grid(root);
  const params = () => ({ window: ctx.state.extra.window, group: ctx.state.extra.group });
  const wide = bounds(ctx.state);
  const told = (d) => `${name(d.about.group)}${d.about.merged ? `, ${d.about.hop_ms < d.about.size_ms ? "a window each" : "merged to"} ${format.duration(d.about.bucket_ms)}` : ""}`;

  choose(top, ctx);
  const chart = (given) => ctx.panel(area, { dataset: "course", params, empty: "No windows of this group in this range.", told, ...given });

  chart({
    title: "Mean, from least to largest", span: 8, height: 330,
    draw: (d, t) => {
      const unit = d.about.unit;
      const rows = d.rows();
      return frame(d, t, [
        band("min … max", rows.map((r) => [r.at, r.min, r.max]), t.band, { unit }),
        line("p95", rows.map((r) => [r.at, r.p95]), { color: t.palette[1], dashed: true, width: 1.2, unit }),
        line("mean", rows.map((r) => [r.at, r.mean]), { color: t.accent, width: 1.8, unit }),
      ], valueAxis({ unit }, t), wide);
    },
  });
  ctx.panel(area, {
    title: "Groups", dataset: "groups", params: () => ({ window: ctx.state.extra.window }), span: 4, height: 330, about: "most anomalies first",
    empty: "No windows in this range.",
    render(d, el) {
      const picked = ctx.state.extra.group;
      el.append(table([
        { name: "group", title: "Group", format: (_, r) => name(COLUMNS.map((c) => r[c])) },
        { name: "course", title: "Mean", format: (v) => sparkline(v, { width: 110, height: 20 }) },
        { name: "mean", title: "now", num: true, format: (v) => format.number(v) },
        { name: "trend", title: "trend /h", num: true, format: (v) => (v === null ? "–" : `${v > 0 ? "+" : ""}${format.number(v)}`) },
        { name: "anomaly_count", title: "Anom.", num: true, format: (v) => (v ? h("span", { class: "bad", text: format.compact(v) }) : "0") },
      ], d.rows(), { onRow: (r) => ctx.set({ extra: { group: COLUMNS.map((c) => r[c]).join("\x1f") } }), selected: (r) => picked && picked === COLUMNS.map((c) => r[c]).join("\x1f"), caption: "Groups" }));
    },
  });
  chart({ title: "Std deviation", span: 3, height: 190, draw: (d, t) => frame(d, t, [line("stddev", d.rows().map((r) => [r.at, r.stddev]), { color: t.palette[3], unit: d.about.unit })], valueAxis({ min: 0 }, t), wide) });
  chart({ title: "Readings", span: 3, height: 190, about: "and those expected", draw: (d, t) => frame(d, t, [bars("count", d.rows().map((r) => [r.at, r.count]), { color: t.palette[4] }), line("expected", d.rows().map((r) => [r.at, r.expected_count]), { color: t.muted, dashed: true, step: true, width: 1 })], valueAxis({ min: 0, integer: true }, t), wide) });
  chart({ title: "Anomalies", span: 3, height: 190, draw: (d, t) => frame(d, t, [bars("anomaly_count", d.rows().map((r) => [r.at, r.anomaly_count]), { color: t.bad })], valueAxis({ min: 0, integer: true }, t), wide) });
  chart({ title: "Completeness", span: 3, height: 190, draw: (d, t) => frame(d, t, [line("completeness", d.rows().map((r) => [r.at, r.completeness === null ? null : r.completeness * 100]), { color: t.good, unit: "%", area: true })], valueAxis({ unit: "%", min: 0, max: 100 }, t), wide) });
}

/** What all charts of this page have: the range, and shade where windows are incomplete. */
function frame(d, t, series, y, wide) {
  const width = d.about.bucket_ms;
  const spans = d.rows().filter((r) => !r.complete).map((r) => [r.at, r.at + width]);
  return cartesian({ x: timeAxis(wide, t), y, series: [...series, shaded(spans, t)], legend: series.length > 1 }, t);
}

async function choose(el, ctx) {
  const told = await ctx.get("options", "windows", { from: "now-7d", to: "now" }).catch(() => null);
  const found = told?.rows() ?? [];
  const text = (w) => `${w.window}: ${format.duration(w.size_ms)}${w.hop_ms < w.size_ms ? ` every ${format.duration(w.hop_ms)}` : ""}, by ${w.by.join(", ")}`;
  const standard = found.find((w) => w.by.includes("sensor_id") === ctx.state.sensor.length > 0)?.window ?? found[0]?.window;
  el.replaceChildren(
    select({ label: "Window", name: "window", options: found.map((w) => [w.window, text(w)]), value: ctx.state.extra.window ?? standard, onchange: (v) => ctx.set({ extra: { window: v, group: "" } }) }),
    h("span", { class: "note", text: "Shaded: incomplete, the window began before the flow saw it begin." }),
  );
}
