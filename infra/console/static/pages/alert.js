// One alert in full, of the page Alerts: its evidence, and what people do about it.

import * as format from "/static/format.js";
import { severityTone, statusTone, subject } from "/static/pages/parts.js";
import { badge, h, select, table, toast } from "/static/ui.js";

const LENGTHS = [["1", "1 h"], ["4", "4 h"], ["8", "8 h"], ["24", "1 day"], ["168", "1 week"]];
const DONE = { ack: "acknowledged", silence: "silenced", maintenance: "planned maintenance", unsilence: "lifted the silence", comment: "said" };

/** Panels; `again` asks all of the page anew. */
export function detail(body, ctx, id, again) {
  const panel = ctx.panel(body, { title: "Alert", dataset: "alert", params: { alert: id }, span: 12, controls: [h("button", { type: "button", class: "quiet small", text: "Close", onclick: () => ctx.set({ extra: { alert: "" } }) })], render: (data, el) => render(data, el, ctx) });
  if (ctx.me.may_act) panel.el.querySelector(".body").before(form(ctx, id, again));
  return [panel];
}

function render(data, el, ctx) {
  const { alert, evidence, inhibitor, silences, now_ms: now } = data.about;
  const lasted = (alert.ended_at ?? now) - alert.started_at;
  const labels = ["sensor_id", "sensor_type", "location", "asset_id"].filter((n) => alert[n]).map((n) => `${n} ${alert[n]}`);
  el.append(
    h("div", { class: "row", style: { "margin-bottom": "6px" } }, badge(alert.severity, severityTone(alert.severity)), badge(alert.status, statusTone(alert.status)), h("b", { style: { "overflow-wrap": "anywhere" }, text: alert.reason })),
    facts([
      ["Rule", alert.rule], ["About", labels.join(", ") || subject(alert)],
      ["Began", `${format.time(alert.started_at)}, fired ${format.time(alert.fired_at)}`],
      [alert.ended_at ? "Ended" : "Lasts", alert.ended_at ? `${format.time(alert.ended_at)}, after ${format.duration(lasted)}` : format.duration(lasted)],
      ["Peak score", format.number(alert.peak_score)], alert.sensors > 1 ? ["Sensors in alarm", String(alert.sensors)] : null,
      inhibitor ? ["Not told, for", inhibitor] : null,
      ...silences.map((s) => [s.state === "planned" ? "Maintenance" : "Silenced", `${s.of}, ${format.time(s.since)} to ${s.until ? format.time(s.until) : "for good"}, by ${s.actor}${s.comment ? `: ${s.comment}` : ""}`]),
      ["Id", h("span", { class: "mono", text: alert.alert_id })],
    ].filter(Boolean)),
  );
  const columns = h("div", { style: { display: "grid", "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 300px), 1fr))", gap: "16px", "margin-top": "10px" } });
  for (const [name, told] of Object.entries(evidence)) for (const part of evidenceOf(name, told, alert, ctx)) columns.append(part);
  if (!Object.keys(evidence).length) columns.append(h("p", { class: "note", text: "No evidence was stored with it." }));
  columns.append(people(data));
  el.append(columns);
}

function facts(pairs) {
  return h("dl", { style: { display: "grid", "grid-template-columns": "max-content minmax(0, 1fr)", gap: "2px 14px", margin: "0", "font-size": "13px" } },
    pairs.flatMap(([name, value]) => [h("dt", { class: "muted", text: name }), h("dd", { style: { margin: "0", "overflow-wrap": "anywhere" } }, value)]));
}

const TITLES = { first: "What it began with", peak: "At its strongest", sensors: "Sensors in alarm" };

/** Sections: numbers by name as they are; readings with what was said of them. */
function evidenceOf(name, told, alert, ctx) {
  if (Array.isArray(told)) return told.length ? [section(TITLES[name] ?? name, list(told, ctx))] : [];
  if (told === null || typeof told !== "object") return [section(name, h("span", { text: plain(name, told) }))];
  const simple = Object.entries(told).filter(([, v]) => v === null || typeof v !== "object" || Array.isArray(v));
  const inner = [facts(simple.map(([n, v]) => [n.replaceAll("_", " "), plain(n, v)]))];
  const title = TITLES[name] ?? name.replaceAll("_", " ");
  const parts = [section(title, ...inner)];
  if (alert.sensor_id && typeof told.time === "number") parts[0].append(h("p", { style: { margin: "6px 0" } }, h("a", { class: "button small", href: ctx.href({ page: "detection", sensor: [alert.sensor_id], extra: { time: told.time } }), text: "See this reading in full" })));
  const { scores, surprises, features, shares } = told;
  if (scores || surprises) {
    const rows = [...new Set([...Object.keys(scores ?? {}), ...Object.keys(surprises ?? {})])].map((n) => ({ n, score: scores?.[n] ?? null, surprise: surprises?.[n] ?? null, model: told.model_versions?.[n] ?? "", flagged: (told.flagged_by ?? []).includes(n) }));
    parts.push(section(`${title}: detectors`, table([{ name: "n", title: "Detector" }, { name: "score", title: "Raw", num: true, format: (v) => format.number(v) }, { name: "surprise", title: "Surprise", num: true, format: (v) => format.number(v) }, { name: "flagged", title: "Flagged", format: (v) => (v ? badge("yes", "bad") : "no") }], rows, { caption: "What each detector said" })));
  }
  for (const [kind, numbers] of [["features", features], ["shares of the deviation", shares]]) if (numbers && Object.keys(numbers).length) {
    const rows = Object.entries(numbers).map(([n, v]) => ({ n, v }));
    parts.push(section(`${title}: ${kind}`, table([{ name: "n", title: "Name" }, { name: "v", title: "Value", num: true, format: (v) => (kind === "features" ? format.number(v) : format.percent(v, 0)) }], rows, { caption: kind })));
  }
  return parts;
}

function list(items, ctx) {
  const rows = items.map((one) => (typeof one === "object" && one ? one : { value: one }));
  const names = [...new Set(rows.flatMap((r) => Object.keys(r)))].filter((n) => rows.some((r) => typeof r[n] !== "object"));
  return table(names.map((n) => ({ name: n, title: n.replaceAll("_", " "), num: typeof rows[0][n] === "number", format: (v) => (n === "sensor_id" && v ? h("a", { href: ctx.href({ page: "detection", sensor: [v], extra: {} }), text: v }) : plain(n, v)) })), rows.slice(0, 30), { caption: "Evidence" });
}

const TIMES = new Set(["time", "since", "start", "end", "last_reading"]);

function plain(name, value) {
  if (value === null || value === undefined) return "–";
  if (TIMES.has(name) && typeof value === "number") return format.time(value);
  if (typeof value === "number") return format.number(value);
  return Array.isArray(value) ? value.map((v) => (typeof v === "object" ? JSON.stringify(v) : String(v))).join(", ") || "–" : String(value);
}

function section(name, ...children) {
  return h("div", { style: { "min-width": "0" } }, h("h3", { style: { "font-size": "13px", "margin-bottom": "4px" }, text: name }), children);
}

function people(data) {
  const rows = data.rows();
  const part = section("What people did");
  if (!rows.length) part.append(h("p", { class: "note", text: "Nobody has done anything about it yet." }));
  for (const r of rows) part.append(h("p", { style: { "font-size": "13px" } }, h("b", { text: r.actor || "somebody" }), ` ${DONE[r.action] ?? r.action}${r.until ? ` until ${format.time(r.until)}` : ""}${r.comment ? `: ${r.comment}` : ""} `, h("span", { class: "note", text: format.time(r.at) })));
  return part;
}

function form(ctx, id, again) {
  let hours = "4";
  const comment = h("input", { type: "text", maxlength: "1000", placeholder: "Comment (may be empty)", "aria-label": "Comment", style: { flex: "1 1 200px", "min-width": "0" } });
  const act = (deed, more = {}) => async () => {
    try {
      const told = await ctx.post("alerts", deed, { alert_id: id, comment: comment.value, ...more });
      comment.value = "";
      toast(told.done);
    } catch (error) { toast(error.message); }
    await again();
  };
  const silence = () => act("silence", { until: Date.now() + Number(hours) * 3_600_000 })();
  return h("form", { class: "row", "aria-label": "Do something about this alert", style: { padding: "8px 14px 4px" }, onsubmit: (e) => { e.preventDefault(); act("comment")(); } },
    h("button", { type: "button", class: "primary", text: "Acknowledge", onclick: act("acknowledge") }),
    h("button", { type: "button", text: "Silence for", onclick: silence }),
    select({ label: "Length of the silence", options: LENGTHS, value: hours, onchange: (v) => { hours = v; } }),
    h("button", { type: "button", text: "Lift silence", onclick: act("unsilence") }),
    comment, h("button", { type: "submit", text: "Comment" }));
}

