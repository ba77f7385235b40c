// One reading in full, of the page Detection: what was around it, its features, what each detector said.

import { band, cartesian, line, marks, shaded, timeAxis, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { columnsHere, once } from "/static/pages/parts.js";
import { badge, grid, h, note, segmented, table, tile, tiles } from "/static/ui.js";

const SIDES = [["30", "30"], ["120", "120"], ["600", "600"]];

export function mount(root, ctx) {
  const sensor = ctx.state.sensor[0];
  const time = ctx.state.extra.time;
  const side = SIDES.some(([v]) => v === ctx.state.extra.side) ? ctx.state.extra.side : "120";
  const asked = { sensor, time };
  const reading = once(() => ctx.get("detection", "reading", asked));
  const around = once(() => ctx.get("detection", "around", { ...asked, each_side: side }));
  const head = h("div", { class: "row", style: { "margin-bottom": "12px" } });
  root.append(head);
  const row = tiles(root);
  const body = grid(root);
  const sides = segmented({ label: "Readings on each side", options: SIDES, value: side, onchange: (v) => ctx.set({ extra: { side: v } }, { replace: true }) });

  ctx.panel(body, { title: "Readings around it", dataset: "around", load: around, params: () => ({ ...asked, each_side: side }), span: 12, height: 300, about: "value, forecast and what it was expected between; choose a flagged reading to see that one", controls: [h("span", { class: "note", text: "each side" }), sides], draw: values, onClick: (p) => p.seriesType === "scatter" && ctx.set({ extra: { time: p.value[0] } }), empty: "There are no readings around it." });
  ctx.panel(body, { title: "What each detector said", dataset: "reading", load: reading, params: asked, span: 7, height: 420, render: detectors });
  ctx.panel(body, { title: "Its features", dataset: "features", load: reading, params: asked, span: 5, height: 420, about: "computed anew from the readings stored before it", render: features });
  ctx.panel(body, { title: "Surprise of the detectors around it", dataset: "around", load: around, params: () => ({ ...asked, each_side: side }), span: 7, height: 240, about: "−log10 of the chance of such a score in the sensor's own past", draw: surprises, empty: "No detector has given a surprise here." });
  ctx.panel(body, { title: "Alerts it belongs to", load: reading, span: 5, render: (data, el) => alerts(data, el, ctx) });

  return {
    async refresh() {
      const told = await reading().catch(() => null);
      head.replaceChildren(...heading(told, ctx, sensor));
      if (told) row.replaceChildren(...headline(told.about));
    },
  };
}

function heading(told, ctx, sensor) {
  const back = h("a", { class: "button", href: ctx.href({ sensor: [], extra: { time: "", side: "" } }), text: "← All detection" });
  if (!told) return [back];
  const { reading, before, after } = told.about;
  const to = (text, at) => (at ? h("a", { class: "button", href: ctx.href({ extra: { time: at } }), text }) : null);
  return [
    back, to("‹ Flagged before", before), to("Flagged next ›", after),
    h("b", { style: { "font-size": "16px" }, text: sensor }), h("span", { class: "muted", text: moment(reading.time) }),
    told.about.away_ms ? badge(`the nearest reading, ${format.duration(Math.abs(told.about.away_ms))} ${told.about.away_ms > 0 ? "after" : "before"} the time asked for`, "warn") : null,
    h("a", { href: ctx.href({ page: "live", sensor: [sensor], extra: {} }), text: "Live values" }),
  ].filter(Boolean);
}

/** Local time, to the millisecond. */
function moment(ms) {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString();
  return `${at.slice(0, 10)} ${at.slice(11, 23)}`;
}

function headline({ reading, asset, twins }) {
  const why = reading.is_anomaly ? [reading.model_anomaly ? "the models together are in alarm" : "", reading.out_of_range ? "out of range" : ""].filter(Boolean).join(", ") : reading.rule_anomaly ? "rules that flag it do not decide alone" : "nothing strange";
  const expected = reading.expected === null ? "no forecast yet" : `expected ${format.number(reading.expected_low)} … ${format.number(reading.expected_high)}`;
  const found = [
    tile({ title: "Value", value: format.number(reading.value), unit: reading.unit, sub: expected }),
    tile({ title: "Verdict", value: reading.is_anomaly ? "Anomaly" : "Normal", tone: reading.is_anomaly ? "bad" : "good", sub: why, hint: why }),
    tile({ title: "Score", value: reading.score === null ? "–" : format.number(reading.score), sub: reading.score === null ? "unknown: models warm up" : reading.score === 0 ? "no stranger than lately" : "novelty of this moment" }),
    tile({ title: "Truth", value: reading.label ? reading.label.replaceAll("_", " ") : "–", tone: reading.label && reading.label !== "normal" ? "bad" : "", sub: reading.label ? "as its label says" : "not known" }),
    tile({ title: "Where", value: reading.location || "–", sub: [reading.sensor_type, reading.asset_id].filter(Boolean).join(", "), hint: `${reading.location} ${reading.sensor_type} ${reading.asset_id}` }),
    tile({ title: "Quality", value: reading.quality.replaceAll("_", " "), tone: reading.quality === "ok" ? "" : "warn", sub: twins ? `${twins} more at the same time` : `${reading.topic}/${reading.partition} @ ${reading.offset}`, hint: `${reading.topic}/${reading.partition}, offset ${reading.offset}, index ${reading.idx}` }),
  ];
  if (asset) found.push(tile({ title: "Its asset", value: asset.is_anomaly ? "In alarm" : "Normal", tone: asset.is_anomaly ? "bad" : "", sub: `score ${format.number(asset.score)} by ${asset.sensors} sensors` }));
  return found;
}

function values(data, t) {
  const rows = data.rows();
  const unit = data.about.unit;
  const itself = rows.find((r) => r.itself);
  const series = [
    shaded(spans(rows), t),
    band("expected between", rows.map((r) => [r.time, r.expected_low, r.expected_high]), t.band, { unit }),
    line("forecast", rows.map((r) => [r.time, r.expected]), { color: t.shade, dashed: true, width: 1.2, unit }),
    line("value", rows.map((r) => [r.time, r.value]), { color: t.accent, unit }),
    marks("flagged", rows.filter((r) => r.is_anomaly).map((r) => [r.time, r.value]), t.bad, { unit }),
    marks("this reading", itself ? [[itself.time, itself.value]] : [], "transparent", { size: 18, unit }),
  ];
  series.at(-1).itemStyle = { color: "transparent", borderColor: t.ink, borderWidth: 2 };
  series.at(-1).silent = true;
  return cartesian({ x: timeAxis([rows[0].time, rows.at(-1).time], t), y: valueAxis({ unit }, t), series, legend: true, unit }, t);
}

/** Stretches of readings that are faults, as labels say. */
function spans(rows) {
  const found = [];
  rows.forEach((r, i) => {
    const fault = r.label && r.label !== "normal";
    if (fault && found.length && found.at(-1).to === i - 1) found.at(-1).to = i;
    else if (fault) found.push({ from: i, to: i });
  });
  return found.map(({ from, to }) => [rows[from].time, rows[to].time]);
}

function surprises(data, t) {
  const rows = data.rows();
  const names = [...new Set(rows.flatMap((r) => Object.keys(r.surprises ?? {})))].sort();
  if (!names.length) return null;
  const series = names.map((name, i) => line(name, rows.map((r) => [r.time, r.surprises[name] ?? null]), { color: t.palette[i % t.palette.length], width: 1.3 }));
  const itself = rows.find((r) => r.itself);
  if (itself) series[0].markLine = { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: t.ink, type: "solid", width: 1, opacity: 0.6 }, data: [{ xAxis: itself.time }] };
  return cartesian({ x: timeAxis([rows[0].time, rows.at(-1).time], t), y: valueAxis({ min: 0 }, t), series, legend: true }, t);
}

function detectors(data, el) {
  const tones = { rule: "accent", model: "good", challenger: "warn", check: "accent" };
  el.append(table(columnsHere([
    { name: "detector", title: "Detector" },
    { name: "role", title: "Role", wide: true, format: (v) => badge(v || "not configured now", tones[v]) },
    { name: "raw_score", title: "Raw score", num: true, format: (v) => format.number(v) },
    { name: "surprise", title: "Surprise", num: true, format: (v) => format.number(v) },
    { name: "flags_from", title: "Flags from", wide: true, format: (v) => v || "–" },
    { name: "flagged", title: "Flagged", format: (v) => (v ? badge("yes", "bad") : "no") },
    { name: "model_version", title: "Model", wide: true, format: (v) => h("span", { class: "mono", text: v || "–" }) },
  ]), data.rows(), { caption: "What each detector said" }));
  const { limits, asset } = data.about;
  const words = [];
  if (limits) words.push(limits[0] === null && limits[1] === null ? "No limits are configured for this sensor." : `Limits: ${format.number(limits[0])} … ${format.number(limits[1])}.`);
  const shares = Object.entries(asset?.shares ?? {}).sort((a, b) => b[1] - a[1]);
  if (shares.length) words.push(`Of its asset most deviate: ${shares.map(([name, share]) => `${name} (${format.percent(share, 0)})`).join(", ")}.`);
  if (words.length) el.append(note(words.join(" ")));
}

/** Units of features are told by that of the value; a pure number has "1". */
const unitOf = (unit, own) => (unit === "1" ? "" : unit.replace("of the value", own || "").replace(" per second", "/s").replace(" squared", "²").trim());

function features(data, el) {
  const rows = data.about.features;
  if (!rows.length) { el.append(h("p", { class: "empty", text: "Features are computed from the configuration, which this console was started without." })); return; }
  el.append(table([
    { name: "feature", title: "Feature", format: (v, r) => h("span", { title: r.meaning }, v, r.meaning ? h("div", { class: "note", text: r.meaning }) : null) },
    { name: "value", title: "Value", num: true, format: (v, r) => (v === null ? "unknown" : format.number(v, unitOf(v === 1 ? r.unit.replace(/^readings$/, "reading") : r.unit, data.about.reading.unit))) },
  ], rows, { caption: "Its features" }));
}

function alerts(data, el, ctx) {
  const rows = data.about.alerts;
  if (!rows.length) { el.append(h("p", { class: "empty", text: "No alert was open for this sensor, its location, type or asset then." })); return; }
  el.append(table([
    { name: "reason", title: "Alert" },
    { name: "severity", title: "Severity", format: (v) => badge(v, v === "critical" ? "bad" : v === "warning" ? "warn" : "") },
    { name: "status", title: "Status" },
  ], rows, { caption: "Alerts it belongs to", onRow: (r) => ctx.set({ page: "alerts", sensor: [], extra: { alert: r.alert_id } }) }));
}
