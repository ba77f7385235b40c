// Detection: what detectors say, how right and how soon they are, where they differ; or one reading in full.

import { Data } from "/static/api.js";
import { bars, cartesian, heat, line, timeAxis, tip, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { columnsHere, narrow, once, scaled } from "/static/pages/parts.js";
import { mount as mountReading } from "/static/pages/reading.js";
import { bounds } from "/static/state.js";
import { badge, grid, h, note, segmented, select, table, tile, tiles } from "/static/ui.js";

export const title = "Detection";
export const every = 15_000;

const TRUTH = "No labels in this range: how right detectors are can only be said where readings carry the truth (field “label”, as the simulator and `streamgauge replay` send it).";
const NAMES = { "= rules": "Rules together", "= models": "Models together", "= verdict": "Verdict", "= score": "Score of all together" };
const TONES = { rule: "accent", check: "accent", model: "good", challenger: "warn", together: "" };

export function mount(root, ctx) {
  if (ctx.state.extra.time && ctx.state.sensor.length === 1) return mountReading(root, ctx);
  const row = tiles(root);
  const body = grid(root);
  const verdicts = once(() => ctx.get("detection", "verdicts"));
  const NOTHING = "No readings in this range.";
  const whole = async () => {
    const told = await verdicts();
    return told.about.readings ? told : new Data({ columns: {}, kinds: {}, about: told.about });
  };
  const part = (name) => async () => {
    const told = await verdicts();
    const columns = told.about.readings ? told.about[name] : {};
    const kinds = Object.fromEntries(Object.entries(columns).map(([n, values]) => [n, typeof values[0] === "string" ? "text" : "number"]));
    return new Data({ columns, kinds, about: told.about });
  };
  overTime(body, ctx);
  ctx.panel(body, { title: "Rules beside models", dataset: "rules_and_models", load: part("rules_and_models"), span: 4, about: "readings that each flags", told: shortened, render: rulesAndModels, empty: NOTHING });
  ctx.panel(body, { title: "How right is each detector?", dataset: "verdicts", load: whole, span: 7, about: "of the readings whose truth is known", told: shortened, render: quality, height: 400, empty: NOTHING });
  ctx.panel(body, { title: "Who agrees with whom?", dataset: "agreement", load: part("agreement"), span: 5, height: 390, about: "Cohen's kappa: 1 agree in all, 0 no more than chance", draw: agreement, empty: "Nobody flags anything in this range." });
  ctx.panel(body, { title: "Champion and challengers", dataset: "challengers", load: part("challengers"), span: 5, about: "the verdict beside those that have no say", render: challengers });
  scores(body, ctx);
  ctx.panel(body, { title: "How soon are faults found?", dataset: "delays", span: 5, told: (data) => shortened(data) || "event time from a fault's first reading to its first flag", render: delays, empty: TRUTH });
  ctx.panel(body, { title: "How soon are verdicts stored?", dataset: "stored", span: 7, height: 200, about: "from a reading's event time; history that is read later is late by as much", draw: (data, t) => stored(data, t, ctx), empty: "No readings in this range." });
  ctx.panel(body, { title: "Drift and changes of models", dataset: "changes", span: 5, height: 320, about: "newest first", render: (data, el) => changes(data, el, ctx), empty: "No drift and no change of a model in this range." });
  ctx.panel(body, { title: "Anomalies", dataset: "anomalies", span: 7, height: 320, about: "newest first, one for each sensor and minute; choose one to see it in full", render: (data, el) => anomalies(data, el, ctx), empty: "No anomalies in this range." });

  return {
    async refresh() {
      const told = await verdicts().catch(() => null);
      const changed = await ctx.get("detection", "changes").catch(() => null);
      if (told) row.replaceChildren(...headline(told, changed));
    },
  };
}

const shortened = (data) => (data.about.shortened ? `the newest part only: since ${format.time(data.about.read_from_ms)}` : data.about.readings !== undefined ? `${format.compact(data.about.readings)} readings` : "");

function headline(told, changed) {
  const verdict = told.rows().find((r) => r.detector === "= verdict");
  const { readings, labelled, faults } = told.about;
  const sides = told.about.rules_and_models;
  const agree = sides.readings.reduce((sum, n, i) => sum + (sides.rules[i] === sides.models[i] ? n : 0), 0);
  const kinds = changed ? changed.rows() : [];
  const count = (kind) => kinds.filter((r) => r.kind === kind).reduce((sum, r) => sum + r.subjects, 0);
  return [
    tile({ title: "Readings judged", value: format.compact(readings), sub: told.about.shortened ? `since ${format.time(told.about.read_from_ms)}` : "in this range", hint: shortened(told) }),
    tile({ title: "Anomalies", value: format.percent(readings ? verdict.flagged / readings : null, 2), sub: `${format.compact(verdict.flagged)} readings flagged`, tone: verdict.flagged ? "bad" : "" }),
    tile({ title: "Precision", value: format.percent(verdict.precision), sub: labelled ? `${format.compact(verdict.false_alarms)} false alarms` : "no truth is known" }),
    tile({ title: "Recall", value: format.percent(verdict.recall), sub: faults ? `${format.compact(verdict.missed)} of ${format.compact(faults)} missed` : labelled ? "no faults known" : "no truth is known" }),
    tile({ title: "Rules and models agree", value: format.percent(readings ? agree / readings : null, 2), sub: "on so many readings" }),
    tile({ title: "Drift", value: format.compact(count("drift")), tone: count("drift") ? "warn" : "", sub: count("detector_off") ? `${count("detector_off")} batches without a detector` : `${format.compact(count("model_change"))} model changes` }),
  ];
}

function overTime(body, ctx) {
  let by = "together";
  const panel = ctx.panel(body, {
    title: "Flagged over time", dataset: "flagged", span: 8, height: 270, told: (data) => (data.about.shortened ? `the verdict by windows; who flags, since ${format.time(data.about.read_from_ms)}` : "readings flagged"), empty: "No readings in this range.",
    controls: [choice()],
    draw(data, t) {
      const step = data.about.bucket_ms;
      const at = data.columns.time.map((ms) => ms + step / 2);
      const points = (name) => at.map((ms, i) => [ms, data.columns[name][i]]);
      const colours = t.palette;
      const series = by === "together"
        ? [bars("verdict", points("verdict"), { color: t.bad }), line("rules", points("rules"), { color: colours[0] }), line("models", points("models"), { color: colours[2] }),
          ...(data.columns.truth.some(Boolean) ? [line("truth (labels)", points("truth"), { color: t.ink, dashed: true })] : [])]
        : data.about.detectors.map((name, i) => bars(name, points(`by: ${name}`), { color: colours[i % colours.length], stack: "all" }));
      if (!series.length) return null;
      return cartesian({ x: timeAxis(bounds(ctx.state), t), y: valueAxis({ min: 0, integer: true, name: `readings per ${format.duration(step)}` }, t), series, legend: true }, t);
    },
  });
  function choice() {
    return segmented({ label: "Lines", options: [["together", "Together"], ["detectors", "By detector"]], value: by, onchange(v) {
      by = v;
      panel.el.querySelector(".segmented").replaceWith(choice());
      panel.redraw();
    } });
  }
}

function rulesAndModels(data, el) {
  const rows = data.rows();
  const all = rows.reduce((sum, r) => sum + r.readings, 0);
  const cell = (rules, models) => rows.find((r) => r.rules === rules && r.models === models);
  const shown = (r, tone) => h("td", { class: "num", style: { padding: "10px 12px", background: tone } },
    h("b", { style: { "font-size": "18px" }, text: format.compact(r.readings) }),
    h("div", { class: "note", text: all ? format.percent(r.readings / all, 2) : "" }),
    h("div", { class: "note", text: r.labelled ? `${format.compact(r.faults)} faults` : "truth unknown" }));
  const head = (text, scope) => h("th", { scope, text, style: { "text-align": scope === "col" ? "right" : "left", padding: "6px 12px 6px 0" } });
  el.append(h("table", {}, h("caption", { class: "visually-hidden", text: "Readings flagged by rules and by models" }),
    h("thead", {}, h("tr", {}, h("td", {}), head("models flag", "col"), head("models do not", "col"))),
    h("tbody", {},
      h("tr", {}, head("rules flag", "row"), shown(cell("flag", "flag"), "var(--bad-soft)"), shown(cell("flag", "do not flag"), "var(--warn-soft)")),
      h("tr", {}, head("rules do not", "row"), shown(cell("do not flag", "flag"), "var(--warn-soft)"), shown(cell("do not flag", "do not flag"), "")))));
  const only = cell("flag", "do not flag"), missed = cell("do not flag", "do not flag");
  const words = [];
  if (only.readings) words.push(only.labelled ? `Of what only rules flag, ${format.percent(only.faults / only.readings, 0)} are faults.` : `Rules alone flag ${format.compact(only.readings)} readings.`);
  if (missed.faults) words.push(`${format.compact(missed.faults)} readings of known faults are flagged by neither.`);
  if (words.length) el.append(h("p", { class: "note", style: { "margin-top": "8px" }, text: words.join(" ") }));
}

function quality(data, el) {
  const known = data.about.labelled > 0;
  const share = (v) => (v === null ? "–" : meter(v));
  el.append(table(columnsHere([
    { name: "detector", title: "Detector", format: (v) => NAMES[v] ?? v },
    { name: "role", title: "Role", wide: true, format: (v) => (v && v !== "together" ? badge(v, TONES[v]) : "") },
    { name: "flagged", title: "Flagged", num: true, format: format.compact },
    { name: "precision", title: "Precision", num: true, format: share },
    { name: "recall", title: "Recall", num: true, format: share },
    { name: "f1", title: "F1", num: true, format: share },
    { name: "false_alarms", title: "False alarms", num: true, format: (v) => (known ? format.compact(v) : "–") },
    { name: "agreement", title: "As the verdict", num: true, format: (v) => format.percent(v, 1) },
  ]), data.rows(), { caption: "How right each detector is" }));
  if (!known) el.append(note(TRUTH));
  else if (!data.about.faults) el.append(note("All labelled readings are normal: recall and F1 need a fault."));
}

/** A share with a bar below it. */
function meter(share) {
  return h("span", { style: { display: "inline-block", "min-width": "52px" } }, format.percent(share, 1),
    h("span", { "aria-hidden": "true", style: { display: "block", height: "3px", background: "var(--line)", "border-radius": "2px" } },
      h("span", { style: { display: "block", height: "3px", width: `${Math.round(share * 100)}%`, background: "var(--accent)", "border-radius": "2px" } })));
}

function agreement(data, t) {
  const rows = data.rows();
  const flagging = new Set(rows.filter((r) => r.one === r.other && r.both > 0).map((r) => r.one));
  const names = [...new Set(rows.map((r) => r.one))].filter((n) => flagging.has(n));
  if (names.length < 2) return null;
  const values = rows.filter((r) => flagging.has(r.one) && flagging.has(r.other) && r.one !== r.other).map((r) => ({ value: [names.indexOf(r.other), names.indexOf(r.one), r.kappa], label: { color: r.kappa > 0.6 ? t.surface : t.ink } }));
  const shown = names.map((n) => NAMES[n] ?? n);
  const option = heat({ xs: shown, ys: shown, values, min: 0, max: 1, format: (v) => (v === null ? "–" : Number(v).toFixed(2).replace("-0.00", "0.00").replace("-", "−")), labels: !narrow() && names.length <= 10 }, t);
  scaled(option, String);
  option.xAxis.axisLabel = { ...option.xAxis.axisLabel, rotate: 40, hideOverlap: false, interval: 0 };
  option.yAxis.axisLabel = { ...option.yAxis.axisLabel, hideOverlap: false, interval: 0 };
  const pair = new Map(rows.map((r) => [`${r.one}\n${r.other}`, r]));
  option.tooltip.formatter = (p) => {
    const r = pair.get(`${names[p.value[1]]}\n${names[p.value[0]]}`);
    return tip(`${shown[p.value[1]]} · ${shown[p.value[0]]}`, [["", "kappa", r.kappa === null ? "–" : r.kappa.toFixed(3)], ["", "both flag", format.compact(r.both)], ["", `only ${shown[p.value[1]]}`, format.compact(r.only_one)], ["", `only ${shown[p.value[0]]}`, format.compact(r.only_other)]]);
  };
  return option;
}

function challengers(data, el) {
  if (!data.length) el.append(h("p", { class: "empty", text: data.about.readings ? "No detector is configured as a challenger: give one role = \"challenger\" to try it beside the others." : "No readings in this range." }));
  for (const r of data.rows()) {
    const known = r.labelled > 0;
    const line = (name, mine, champion) => ({ name, mine, champion });
    const rows = [
      line("flags", format.compact(r.flagged), format.compact(r.both + r.only_champion)),
      line("flags alone", format.compact(r.only_challenger), format.compact(r.only_champion)),
      ...(known ? [
        line("precision", format.percent(r.precision_challenger), format.percent(r.precision_champion)),
        line("recall", format.percent(r.recall_challenger), format.percent(r.recall_champion)),
        line("F1", format.percent(r.f1_challenger), format.percent(r.f1_champion)),
        line("right where the other is wrong", format.compact(r.challenger_alone_right), format.compact(r.champion_alone_right)),
      ] : []),
    ];
    el.append(table([{ name: "name", title: "" }, { name: "mine", title: r.challenger, num: true, format: (v) => v }, { name: "champion", title: "Verdict", num: true, format: (v) => v }], rows, { caption: `${r.challenger} beside the verdict` }));
    const better = r.challenger_alone_right - r.champion_alone_right;
    el.append(note(known ? (better > 0 ? `${r.challenger} would have been right ${format.compact(better)} times more often.` : "The verdict is right more often; keep the challenger out.") : "No truth is known here: look at what the challenger flags alone."));
  }
}

function scores(body, ctx) {
  let chosen = "= score", listed = "";
  const box = h("span", {});
  const panel = ctx.panel(body, {
    title: "How surprising are readings?", dataset: "scores", span: 7, height: 260, controls: [box],
    told: (data) => [data.about.one_in > 1 ? `a sample of 1 in ${data.about.one_in}` : "", data.about.shortened ? `since ${format.time(data.about.read_from_ms)}` : "", "−log10 of the chance in the sensor's own past; logarithmic scale"].filter(Boolean).join("; "), empty: "No detector has given a score in this range yet: models warm up first.",
    draw(data, t) {
      const groups = data.groups("detector");
      const names = [...groups.keys()].sort((a, b) => (a === "= score" ? -1 : b === "= score" ? 1 : a.localeCompare(b)));
      if (!groups.has(chosen)) chosen = names[0];
      if (listed !== names.join()) {
        listed = names.join();
        box.replaceChildren(select({ label: "Detector", options: names.map((n) => [n, NAMES[n] ?? n]), value: chosen, onchange(v) { chosen = v; panel.redraw(); } }));
      }
      const ceiling = data.about.ceiling;
      const steps = Array.from({ length: ceiling * 2 + 1 }, (_, i) => i / 2);
      const found = new Map(groups.get(chosen).map((r) => [r.from_surprise, r]));
      const of = (name) => steps.map((s) => found.get(s)?.[name] || null);
      const labelled = of("faulty").some(Boolean);
      const series = [bars(labelled ? "normal or unknown" : "readings", of("usual"), { color: t.palette[0] }), ...(labelled ? [bars("known faults", of("faulty"), { color: t.bad })] : [])];
      const x = { type: "category", data: steps.map((s) => (s === ceiling ? `${s}+` : String(s))), name: "surprise", nameLocation: "middle", nameGap: 24, nameTextStyle: { color: t.muted }, axisLabel: { color: t.muted, fontSize: 11 }, axisLine: { lineStyle: { color: t.line } }, axisTick: { show: false } };
      const y = { ...valueAxis({ name: "readings" }, t), type: "log", min: 0.5, axisLabel: { color: t.muted, fontSize: 11, formatter: (v) => (v < 1 ? "" : format.compact(v)) } };
      const option = cartesian({ x, y, series, legend: labelled }, t);
      option.grid.bottom = 24;
      return option;
    },
  });
}

function delays(data, el) {
  el.append(table(columnsHere([
    { name: "fault", title: "Fault", format: (v) => v.replaceAll("_", " ") },
    { name: "faults", title: "Faults", num: true },
    { name: "found", title: "Found", num: true, format: (v, r) => `${v} (${format.percent(v / r.faults, 0)})` },
    { name: "median_s", title: "Median", num: true, format: seconds },
    { name: "p95_s", title: "95 % within", wide: true, num: true, format: seconds },
    { name: "longest_s", title: "Longest", num: true, format: seconds },
  ]), data.rows(), { caption: "How soon faults are found" }));
}

const seconds = (v) => (v === null ? "–" : format.duration(v * 1_000));

function stored(data, t, ctx) {
  const rows = data.rows();
  const most = Math.max(...rows.map((r) => r.p95_s));
  const points = (name) => rows.map((r) => [r.at + data.about.bucket_ms / 2, Math.max(r[name], 0.1)]);
  const y = { ...valueAxis({ labels: (v) => format.duration(v * 1_000) }, t), type: "log", min: 0.1, max: Math.max(10, 10 ** Math.ceil(Math.log10(most))) };
  return cartesian({ x: timeAxis(bounds(ctx.state), t), y, series: [line("median", points("median_s"), { color: t.palette[0] }), line("95 % within", points("p95_s"), { color: t.palette[1] })], legend: true, unit: "s" }, t);
}

function changes(data, el, ctx) {
  const names = { drift: ["drift", "warn"], model_change: ["model", "accent"], detector_off: ["left out", "bad"], evicted: ["forgotten", ""] };
  el.append(table([
    { name: "time", title: "Time", kind: "time", format: (v) => h("span", { style: { "white-space": "nowrap" }, text: format.time(v) }) },
    { name: "kind", title: "What", format: (v) => badge(...(names[v] ?? [v, ""])) },
    { name: "subject", title: "Of", format: (v, r) => h("span", {}, v, r.subjects > 1 ? h("span", { class: "muted", text: ` and ${r.subjects - 1} more` }) : null, h("div", { class: "note", text: r.detail })) },
  ], data.rows(), { caption: "Drift and changes of models" }));
}

function anomalies(data, el, ctx) {
  const truth = data.columns.label.some(Boolean);
  el.append(table(columnsHere([
    { name: "time", title: "Time", format: (v) => h("span", { style: { "white-space": "nowrap" }, text: format.time(v) }) },
    { name: "sensor_id", title: "Sensor" },
    { name: "value", title: "Value", num: true, format: (v, r) => format.number(v, r.unit) },
    { name: "expected", title: "Expected", wide: true, num: true, format: (v) => format.number(v) },
    { name: "flagged_by", title: "Flagged by", wide: true, format: (v) => v.join(", ") },
    ...(truth ? [{ name: "label", title: "Truth", format: (v) => (v ? badge(v.replaceAll("_", " "), v === "normal" ? "good" : "bad") : "–") }] : []),
  ]), data.rows(), {
    caption: "Anomalies", rowLabel: (r) => `${r.sensor_id} at ${format.time(r.time)} in full`,
    onRow(r) { ctx.set({ sensor: [r.sensor_id], extra: { time: r.time } }); window.scrollTo(0, 0); },
  }));
}
