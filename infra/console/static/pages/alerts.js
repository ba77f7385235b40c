// Alerts: what is open, what was, one in full, and what people do about them.

import { bars, cartesian, timeAxis, tip, tooltip, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { detail } from "/static/pages/alert.js";
import { silenceForm, silenceTable } from "/static/pages/silences.js";
import { aligned, columnsHere, narrow, severityTone, statusTone, subject, words } from "/static/pages/parts.js";
import { bounds } from "/static/state.js";
import { badge, grid, h, table, tile, tiles } from "/static/ui.js";

export const title = "Alerts";
export const every = 5_000;

const SEVERITIES = ["critical", "warning", "info"];
const LANES = 20;

export function mount(root, ctx) {
  const chosen = ctx.state.extra.alert;
  const row = tiles(root);
  const made = [];
  const again = () => Promise.all([counts(), ...made.map((p) => p.refresh())]);
  const body = grid(root);
  if (chosen) made.push(...detail(body, ctx, chosen, again));
  const add = (given) => made.push(ctx.panel(body, given));
  add({ title: "Open alerts", dataset: "alerts", params: { show: "open" }, span: 12, height: 380, told: (data) => listed(data, "whenever they began; the most severe first"), render: (data, el) => open(data, el, ctx, chosen), empty: "No alert is open." });
  add({ title: "When", dataset: "alerts", params: { show: "range" }, span: 8, height: 340, told: (data) => listed(data, "alerts of the range, by what they are about"), draw: (data, t) => lanes(data, t, ctx), onClick: (p) => p.data?.id && ctx.set({ extra: { alert: p.data.id } }), empty: "No alert was open in this range." });
  add({ title: "Begun", dataset: "begun", span: 4, height: 340, about: "by severity; a burst is often one cause", draw: (data, t) => begun(data, t, ctx), empty: "No alert began in this range." });
  add({ title: "Past alerts", dataset: "alerts", params: { show: "past" }, span: 12, height: 340, told: (data) => listed(data, "open in the range and over; newest first"), render: (data, el) => past(data, el, ctx, chosen), empty: "No alert of this range is over." });
  add({ title: "Silences and maintenance", dataset: "silences", span: ctx.me.may_act ? 7 : 12, height: 330, about: "active and planned: nobody is told of what they match", render: (data, el) => silenceTable(data, el, ctx, again), empty: "Nothing is silenced, and no maintenance is planned." });
  if (ctx.me.may_act) silenceForm(body, ctx, again);

  async function counts() {
    const told = await ctx.get("alerts", "counts").catch(() => null);
    if (told?.length) row.replaceChildren(...headline(told.rows()[0]));
  }
  return { refresh: counts };
}

function listed(data, text) {
  return data.about.all > data.length ? `${data.length} of ${format.compact(data.about.all)}: filter for fewer` : text;
}

function headline(r) {
  const open = r.critical + r.warning + r.info;
  return [
    tile({ title: "Open", value: format.compact(open), tone: r.critical ? "bad" : open ? "warn" : "good", sub: SEVERITIES.filter((s) => r[s]).map((s) => `${format.compact(r[s])} ${s}`).join(", ") || "all quiet" }),
    tile({ title: "Seen by nobody", value: format.compact(r.unseen), tone: r.unseen ? "bad" : "good", sub: `${format.compact(r.in_hand)} acknowledged` }),
    tile({ title: "Not told", value: format.compact(r.silenced + r.inhibited), sub: `${r.silenced} silenced, ${r.inhibited} inhibited`, hint: "inhibited: a larger alert says it" }),
    tile({ title: "Begun", value: format.compact(r.begun), sub: "in this range" }),
    tile({ title: "Usual length", value: r.median_s === null ? "–" : format.duration(r.median_s * 1_000), sub: "median, of those that are over" }),
    tile({ title: "Until acknowledged", value: r.until_acknowledged_s === null ? "–" : format.duration(r.until_acknowledged_s * 1_000), sub: r.until_acknowledged_s === null ? "none was, of those begun here" : "median of those begun here" }),
  ];
}

const when = (ms) => h("span", { style: { "white-space": "nowrap" }, text: format.time(ms) });
const choosing = (ctx, chosen) => ({
  rowLabel: (r) => r.reason, selected: (r) => r.alert_id === chosen,
  onRow(r) { ctx.set({ extra: { alert: r.alert_id } }); window.scrollTo(0, 0); },
});

function open(data, el, ctx, chosen) {
  el.append(table(columnsHere([
    { name: "reason", title: "Alert", format: words },
    { name: "severity", title: "Severity", format: (v) => badge(v, severityTone(v)) },
    { name: "status", title: "Status", format: (v, r) => h("span", {}, badge(v, statusTone(v)), r.acknowledged ? h("div", { class: "note", text: `by ${r.acknowledged_by}` }) : null) },
    { name: "rule", title: "Rule", wide: true },
    { name: "started_at", title: "Since", wide: true, num: true, format: when },
    { name: "lasts", title: "Lasts", num: true, format: (_, r) => format.duration(data.about.now_ms - r.started_at) },
  ]), data.rows(), { caption: "Open alerts", ...choosing(ctx, chosen) }));
}

function past(data, el, ctx, chosen) {
  el.append(table(columnsHere([
    { name: "reason", title: "Alert", format: words },
    { name: "severity", title: "Severity", format: (v) => badge(v, severityTone(v)) },
    { name: "rule", title: "Rule", wide: true },
    { name: "started_at", title: "Began", num: true, format: when },
    { name: "lasted", title: "Lasted", wide: true, num: true, format: (_, r) => format.duration(r.ended_at - r.started_at) },
    { name: "acknowledged_by", title: "Seen by", wide: true, format: (v) => v || "–" },
  ]), data.rows(), { caption: "Past alerts", ...choosing(ctx, chosen) }));
}

function begun(data, t, ctx) {
  const colours = { critical: t.bad, warning: t.palette[1], info: t.palette[0] };
  const step = data.about.bucket_ms;
  const groups = data.groups("severity");
  const times = [...new Set(data.columns.time)].sort((a, b) => a - b);
  const series = SEVERITIES.filter((s) => groups.has(s)).map((s) => bars(s, aligned(groups.get(s), times, "alerts", step), { color: colours[s], stack: "all" }));
  return cartesian({ x: timeAxis(bounds(ctx.state), t), y: valueAxis({ min: 0, integer: true, name: `alerts per ${format.duration(step)}` }, t), series, legend: true }, t);
}

/** A lane for everything there were alerts about; the busiest ones. */
function lanes(data, t, ctx) {
  const colours = { critical: t.bad, warning: t.palette[1], info: t.palette[0] };
  const [from, to] = bounds(ctx.state);
  const rows = data.rows();
  const counts = new Map();
  for (const r of rows) counts.set(subject(r), (counts.get(subject(r)) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a.localeCompare(b)).slice(0, LANES);
  const at = new Map(names.map((n, i) => [n, i]));
  const items = rows.filter((r) => at.has(subject(r))).map((r) => ({ id: r.alert_id, row: r, value: [at.get(subject(r)), Math.max(from, r.started_at), Math.min(to, r.ended_at ?? data.about.now_ms), SEVERITIES.indexOf(r.severity)] }));
  const option = cartesian({
    x: timeAxis([from, to], t),
    y: { type: "category", data: names, inverse: true, axisLabel: { color: t.muted, fontSize: 11, width: narrow() ? 90 : 190, overflow: "truncate", interval: 0 }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: t.line, opacity: 0.6 } } },
    series: [{ type: "custom", data: items, encode: { x: [1, 2], y: 0 }, clip: true, cursor: "pointer",
      renderItem(_, api) {
        const [x, y] = api.coord([api.value(1), api.value(0)]);
        const [end] = api.coord([api.value(2), api.value(0)]);
        const high = Math.min(14, api.size([0, 1])[1] * 0.6);
        return { type: "rect", shape: { x, y: y - high / 2, width: Math.max(3, end - x), height: high, r: 2 }, style: { fill: colours[SEVERITIES[api.value(3)]] ?? t.shade } };
      } }],
  }, t);
  option.tooltip = tooltip(t, { trigger: "item", formatter: ({ data: { row: r } }) => tip(`${r.severity}: ${r.rule}`, [["", subject(r), ""], ["", "began", format.time(r.started_at)], ["", r.ended_at ? "lasted" : "lasts", format.duration((r.ended_at ?? data.about.now_ms) - r.started_at)], ["", "status", r.status]]) });
  return option;
}

