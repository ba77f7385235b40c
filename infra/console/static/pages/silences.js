// Silences and planned maintenance, of the page Alerts.

import * as format from "/static/format.js";
import { words } from "/static/pages/parts.js";
import { badge, h, table, toast } from "/static/ui.js";

const HOUR_MS = 3_600_000;

export function silenceTable(data, el, ctx, again) {
  const lift = (r) => async (event) => {
    event.stopPropagation();
    try {
      toast((await ctx.post("alerts", "unsilence", r.alert_id ? { alert_id: r.alert_id } : { labels: r.labels })).done);
    } catch (error) { toast(error.message); }
    await again();
  };
  el.append(table([
    { name: "of", title: "Of", format: (v, r) => words(r.reason || v) },
    { name: "state", title: "State", format: (v) => badge(v, v === "active" ? "warn" : "accent") },
    { name: "since", title: "From", num: true, format: (v) => format.time(v, { seconds: false }) },
    { name: "until", title: "Until", num: true, format: (v) => (v ? format.time(v, { seconds: false }) : "for good") },
    { name: "actor", title: "By", format: (v, r) => h("span", {}, v, r.comment ? h("div", { class: "note", text: r.comment }) : null) },
    ...(ctx.me.may_act ? [{ name: "kind", title: "", format: (_, r) => h("button", { type: "button", class: "small", text: "Lift", "aria-label": `Lift the silence of ${r.of}`, onclick: lift(r) }) }] : []),
  ], data.rows(), { caption: "Silences and maintenance" }));
}

/** Silence alerts by their labels, now or later. */
export function silenceForm(body, ctx, again) {
  const now = Date.now();
  const fields = { location: choice("Location"), sensor_type: choice("Type"), rule: choice("Rule"), severity: choice("Severity", ["critical", "warning", "info"]) };
  const sensor = h("input", { type: "text", placeholder: "any", maxlength: "256" });
  const from = h("input", { type: "datetime-local", value: local(now) });
  const until = h("input", { type: "datetime-local", value: local(now + 4 * HOUR_MS) });
  const comment = h("input", { type: "text", maxlength: "1000", placeholder: "why" });
  const said = h("p", { class: "note", role: "status" });
  const field = (text, control) => h("label", { style: { display: "grid", gap: "2px", "min-width": "0" } }, h("span", { class: "note", text }), control);
  for (const one of [sensor, from, until, comment, ...Object.values(fields)]) Object.assign(one.style, { width: "100%", minWidth: "0" });

  async function submit(event) {
    event.preventDefault();
    const given = { ...Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.value])), sensor_id: sensor.value.trim() };
    const labels = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    if (!Object.keys(labels).length) { said.textContent = "Choose at least one of location, type, rule, severity, sensor."; return; }
    const begin = Date.parse(from.value), end = Date.parse(until.value);
    if (!(end > begin)) { said.textContent = "The end must lie after the beginning."; return; }
    const later = begin > Date.now() + 60_000;
    try {
      const told = await ctx.post("alerts", later ? "maintenance" : "silence", { labels, until: end, comment: comment.value, ...(later ? { from: begin } : {}) });
      said.textContent = "";
      toast(told.done);
      await again();
    } catch (error) { said.textContent = error.message; }
  }

  body.append(h("section", { class: "panel", "aria-label": "Silence, or plan maintenance", style: { "--span": 5, "--span-mid": 12 } },
    h("header", {}, h("h2", { text: "Silence, or plan maintenance" }), h("span", { class: "about", text: "all alerts that fit every field; from now on, or later" })),
    h("form", { class: "body", onsubmit: submit, style: { display: "grid", "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 190px), 1fr))", gap: "8px 12px", "align-content": "start" } },
      field("Location", fields.location), field("Type", fields.sensor_type), field("Rule", fields.rule), field("Severity", fields.severity), field("Sensor", sensor),
      field("From", from), field("Until", until), field("Comment", comment),
      h("div", { class: "row", style: { "grid-column": "1 / -1" } }, h("button", { type: "submit", class: "primary", text: "Silence" }), said))));
  fill(ctx, fields);
}

function choice(label, values = []) {
  return h("select", { "aria-label": label }, h("option", { value: "", text: "any" }), values.map((v) => h("option", { value: v, text: v })));
}

/** What there is to choose from. */
async function fill(ctx, fields) {
  const add = (el, values) => [...new Set(values)].filter(Boolean).sort().forEach((v) => el.append(h("option", { value: v, text: v })));
  const quiet = { location: [], type: [], sensor: [] };
  const [places, rules] = await Promise.all([ctx.get("options", "places", quiet).catch(() => null), ctx.get("alerts", "rules").catch(() => null)]);
  if (places) { add(fields.location, places.columns.location ?? []); add(fields.sensor_type, places.columns.sensor_type ?? []); }
  if (rules) add(fields.rule, rules.columns.rule ?? []);
}

/** As <input type="datetime-local"> has it. */
function local(ms) {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return at.toISOString().slice(0, 16);
}
