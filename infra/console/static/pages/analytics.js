// Analytics: where, when and with what else things go wrong.

import { bars, cartesian, heat, timeAxis, tip, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { aligned, captioned, columnsHere, everyLabel, narrow, once, readable, scaled } from "/static/pages/parts.js";
import { bounds } from "/static/state.js";
import { grid, h, note, segmented, select, table, tile, tiles } from "/static/ui.js";

export const title = "Analytics";
export const every = 30_000;

const MOST_PLACES = 18;
const NO_WINDOWS = "No windows by location and type have closed in this range: they close when event time has passed their end.";
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function mount(root, ctx) {
  const row = tiles(root);
  const body = grid(root);
  const places = once(() => ctx.get("analytics", "places"));
  const offenders = once(() => ctx.get("analytics", "offenders"));
  byPlace(body, ctx, places);
  overTime(body, ctx);
  ctx.panel(body, { title: "Sensors that need a look first", dataset: "offenders", load: offenders, span: 6, height: bySensor(ctx) ? 500 : 330, about: "by the share of their readings that were flagged, then by episodes of bad data", render: (data, el) => worst(data, el, ctx), empty: "No sensor was flagged or had bad data in this range." });
  correlation(body, ctx);
  hours(body, ctx);
  ctx.panel(body, { title: "Locations", dataset: "locations", span: 6, height: 330, about: "bad data: gaps, stuck and conflicting values, values out of range", render: (data, el) => locations(data, el, ctx), empty: NO_WINDOWS });
  ctx.panel(body, { title: "Statistics by location and type", dataset: "places", load: places, span: 12, height: 420, about: "of the values on time; lowest and highest of all readings", render: (data, el) => statistics(data, el, ctx), empty: NO_WINDOWS });

  return {
    async refresh() {
      const [told, sensors] = await Promise.all([places().catch(() => null), offenders().catch(() => null)]);
      if (told) row.replaceChildren(...headline(told.rows(), sensors?.rows() ?? [], ctx));
    },
  };
}

function headline(rows, sensors, ctx) {
  const sum = (some, name) => some.reduce((total, r) => total + r[name], 0);
  const worstOf = (name) => {
    const names = [...new Set(rows.map((r) => r[name]))].map((one) => {
      const some = rows.filter((r) => r[name] === one);
      return { one, share: sum(some, "anomalies") / Math.max(1, sum(some, "readings")) };
    });
    return names.sort((a, b) => b.share - a.share).find((n) => n.share > 0);
  };
  const readings = sum(rows, "readings"), anomalies = sum(rows, "anomalies");
  const place = worstOf("location"), kind = worstOf("sensor_type"), sensor = sensors[0];
  const expected = rows.reduce((total, r) => total + (r.completeness ? r.readings / r.completeness : r.readings), 0);
  const most = (name, found, href) => tile({ title: name, value: found?.one ?? "–", sub: found ? `${format.percent(found.share)} of its readings flagged` : "nothing flagged", href: found ? href(found.one) : null, hint: found?.one ?? "" });
  return [
    tile({ title: "Readings in windows", value: format.compact(readings), sub: `${new Set(rows.map((r) => r.location)).size} locations, ${new Set(rows.map((r) => r.sensor_type)).size} types` }),
    tile({ title: "Anomalies", value: format.compact(anomalies), tone: anomalies ? "bad" : "", sub: readings ? `${format.percent(anomalies / readings, 2)} of them` : "" }),
    tile({ title: "Completeness", value: format.percent(expected ? Math.min(1, readings / expected) : null, 2), sub: "of the readings expected" }),
    most("Worst location", place, (one) => ctx.href({ location: [one] })),
    most("Worst type", kind, (one) => ctx.href({ type: [one] })),
    tile({ title: "Worst sensor", value: sensor ? format.percent(sensor.anomaly_share) : "–", sub: sensor?.sensor_id ?? "nothing flagged", hint: sensor?.sensor_id ?? "", href: sensor ? ctx.href({ page: "detection", sensor: [sensor.sensor_id], extra: {} }) : null }),
  ];
}

function byPlace(body, ctx, places) {
  let what = "anomaly_share";
  let names = null;
  const panel = ctx.panel(body, {
    title: "Anomalies by type and location", dataset: "places", load: places, span: 6, height: 330, empty: NO_WINDOWS,
    told: (data) => {
      const all = new Set(data.columns.location ?? []).size;
      return all > MOST_PLACES ? `the ${MOST_PLACES} of ${all} locations with the most anomalies` : "choose a cell to look at it alone";
    },
    controls: [choice()],
    draw(data, t) {
      const rows = data.rows();
      const total = new Map();
      for (const r of rows) total.set(r.location, (total.get(r.location) ?? 0) + r.anomalies);
      const ys = [...total.keys()].sort((a, b) => total.get(b) - total.get(a) || a.localeCompare(b)).slice(0, MOST_PLACES);
      const xs = [...new Set(rows.map((r) => r.sensor_type))].sort();
      names = { xs, ys };
      const shown = rows.filter((r) => ys.includes(r.location));
      const max = Math.max(...shown.map((r) => r[what] ?? 0)) || 1;
      const told = what === "anomalies" ? format.compact : (v) => format.percent(v, v > 0 && v < 0.01 ? 2 : 1);
      const option = heat({ xs, ys, values: readable(shown.map((r) => [xs.indexOf(r.sensor_type), ys.indexOf(r.location), r[what]]), max, t), min: 0, max, format: told, labels: !narrow() && xs.length * ys.length <= 80 }, t);
      const at = new Map(shown.map((r) => [`${r.sensor_type}\n${r.location}`, r]));
      option.tooltip.formatter = (p) => {
        const r = at.get(`${xs[p.value[0]]}\n${ys[p.value[1]]}`);
        return tip(`${r.location} · ${r.sensor_type}`, [["", "anomalies", format.compact(r.anomalies)], ["", "of readings", format.compact(r.readings)], ["", "share", format.percent(r.anomaly_share, 2)]]);
      };
      return everyLabel(scaled(option, told), { rotate: xs.length > 6 ? 30 : 0, fontSize: ys.length > 12 ? 10 : 11, length: narrow() ? 14 : 22 });
    },
    onClick: (p) => names && p.value && ctx.set({ type: [names.xs[p.value[0]]], location: [names.ys[p.value[1]]] }),
  });
  function choice() {
    return segmented({ label: "Show", options: [["anomaly_share", "Share"], ["anomalies", "Count"]], value: what, onchange(v) { what = v; panel.el.querySelector(".segmented").replaceWith(choice()); panel.redraw(); } });
  }
}

function overTime(body, ctx) {
  let by = ctx.state.extra.series === "location" ? "location" : "sensor_type";
  ctx.panel(body, {
    title: "Anomalies over time", dataset: "anomalies", span: 6, height: 330, params: { by }, empty: NO_WINDOWS,
    controls: [segmented({ label: "By", options: [["sensor_type", "By type"], ["location", "By location"]], value: by, onchange: (v) => ctx.set({ extra: { series: v === "location" ? v : "" } }, { replace: true }) })],
    draw(data, t) {
      const step = data.about.bucket_ms;
      const groups = [...data.groups("series")].map(([name, rows]) => ({ name, rows, sum: rows.reduce((s, r) => s + r.anomalies, 0) })).sort((a, b) => b.sum - a.sum);
      const times = [...new Set(data.columns.time)].sort((a, b) => a - b);
      const shown = groups.slice(0, 7);
      const rest = groups.slice(7);
      const series = shown.map((g, i) => bars(g.name, aligned(g.rows, times, "anomalies", step), { color: t.palette[i], stack: "all" }));
      if (rest.length) {
        const others = new Map();
        for (const g of rest) for (const r of g.rows) others.set(r.time, (others.get(r.time) ?? 0) + r.anomalies);
        series.push(bars(`${rest.length} others`, times.map((at) => [at + step / 2, others.get(at) ?? 0]), { color: t.shade, stack: "all" }));
      }
      return cartesian({ x: timeAxis(bounds(ctx.state), t), y: valueAxis({ min: 0, integer: true, name: `readings flagged per ${format.duration(step)}` }, t), series, legend: true }, t);
    },
  });
}

function meter(share, max) {
  return h("span", { style: { display: "inline-block", "min-width": "64px" } }, format.percent(share, 2),
    h("span", { "aria-hidden": "true", style: { display: "block", height: "3px", background: "var(--line)", "border-radius": "2px" } },
      h("span", { style: { display: "block", height: "3px", width: `${Math.round((share / (max || 1)) * 100)}%`, background: "var(--bad)", "border-radius": "2px" } })));
}

function worst(data, el, ctx) {
  const max = Math.max(...data.columns.anomaly_share);
  el.append(table(columnsHere([
    { name: "sensor_id", title: "Sensor" },
    { name: "location", title: "Location", wide: true },
    { name: "anomaly_share", title: "Flagged", num: true, format: (v) => meter(v, max) },
    { name: "anomalies", title: "Readings", num: true, format: format.compact },
    { name: "episodes", title: "Bad data", num: true, format: (v) => (v ? format.compact(v) : "–") },
    { name: "completeness", title: "Complete", num: true, format: (v) => format.percent(v, 1) },
  ]), data.rows(), { caption: "Sensors that need a look first", rowLabel: (r) => `${r.sensor_id} on the page Detection`, onRow: (r) => ctx.set({ page: "detection", sensor: [r.sensor_id], extra: {} }) }));
}

/** Their heatmap has many rows. */
const bySensor = (ctx) => ctx.state.extra.by === "sensor_id";

function correlation(body, ctx) {
  const by = ["sensor_id", "location"].includes(ctx.state.extra.by) ? ctx.state.extra.by : "sensor_type";
  const what = { sensor_id: "sensors", sensor_type: "types", location: "locations" }[by];
  let names = [];
  ctx.panel(body, {
    title: "What moves together?", dataset: "correlation", span: 6, height: bySensor(ctx) ? 500 : 330, params: { by },
    empty: "Too little to compare: it takes two of them with windows at ten moments in common. Choose a longer range.",
    controls: [segmented({ label: "Between", options: [["sensor_type", "Types"], ["location", "Locations"], ["sensor_id", "Sensors"]], value: by, onchange: (v) => ctx.set({ extra: { by: v === "sensor_type" ? "" : v } }, { replace: true }) })],
    draw(data, t) {
      const rows = data.rows();
      const { names: some, of, bucket_ms: step } = data.about;
      const rule = some.length < of ? `the ${some.length} of ${format.compact(of)} ${what} with the most ${by === "sensor_id" ? "anomalies" : "readings"}` : `all ${of} ${what} of the filter`;
      const there = new Set(rows.flatMap((r) => [r.one, r.other]));
      names = data.about.names.filter((n) => there.has(n)).sort();
      const at = new Map(names.map((n, i) => [n, i]));
      const values = rows.filter((r) => r.correlation !== null).flatMap((r) => [[at.get(r.other), at.get(r.one), r.correlation], [at.get(r.one), at.get(r.other), r.correlation]]);
      const told = (v) => Number(v).toFixed(2).replace("-", "−").replace("−0.00", "0.00");
      const option = heat({ xs: names, ys: names, values: readable(values, 1, t), min: -1, max: 1, diverging: true, format: told, labels: !narrow() && names.length <= 9 }, t);
      const pair = new Map(rows.flatMap((r) => [[`${r.one}\n${r.other}`, r], [`${r.other}\n${r.one}`, r]]));
      option.tooltip.formatter = (p) => {
        const r = pair.get(`${names[p.value[1]]}\n${names[p.value[0]]}`);
        return tip(`${names[p.value[1]]} · ${names[p.value[0]]}`, [["", "correlation", told(r.correlation)], ["", "moments in common", format.compact(r.windows)]]);
      };
      everyLabel(captioned(scaled(option, told), `Means of ${format.duration(step)}, ${rule}`, t), { rotate: 45, fontSize: names.length > 16 ? 10 : 11, length: narrow() ? 14 : 24 });
      return option;
    },
    onClick: (p) => by === "sensor_id" && p.value && ctx.set({ page: "live", sensor: [...new Set([names[p.value[0]], names[p.value[1]]])], extra: {} }),
  });
}

function hours(body, ctx) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  let what = "anomaly_share";
  const panel = ctx.panel(body, {
    title: "Hour by weekday", dataset: "hours", span: 6, height: 330, params: { zone }, empty: NO_WINDOWS,
    controls: [select({ label: "Show", options: [["anomaly_share", "Anomalies, share"], ["completeness", "Completeness"], ["readings", "Readings"]], value: what, onchange(v) { what = v; panel.redraw(); } })],
    draw(data, t) {
      const rows = data.rows();
      const xs = Array.from({ length: 24 }, (_, i) => String(i).padStart(2, "0"));
      const known = rows.map((r) => r[what]).filter((v) => v !== null);
      const share = what !== "readings";
      const max = what === "completeness" ? 1 : Math.max(...known) || 1;
      const min = what === "completeness" ? Math.min(0.9, ...known) : 0;
      const told = share ? (v) => format.percent(v, 2) : format.compact;
      const caption = `${data.length} of the 168 hours of a week are in this range, in ${zone}`;
      const option = captioned(scaled(heat({ xs, ys: WEEKDAYS, values: rows.map((r) => [r.hour, r.weekday - 1, r[what]]), min, max, format: told }, t), told), caption, t);
      option.xAxis.splitLine = option.yAxis.splitLine = { show: true, lineStyle: { color: t.line, opacity: 0.6 } };
      option.tooltip.formatter = (p) => {
        const r = rows.find((one) => one.hour === p.value[0] && one.weekday - 1 === p.value[1]);
        return tip(`${WEEKDAYS[r.weekday - 1]} ${xs[r.hour]}:00`, [["", "anomalies", `${format.compact(r.anomalies)} (${format.percent(r.anomaly_share, 2)})`], ["", "readings", format.compact(r.readings)], ["", "completeness", format.percent(r.completeness, 1)]]);
      };
      return option;
    },
  });
}

function locations(data, el, ctx) {
  const max = Math.max(...data.columns.anomaly_share.map((v) => v ?? 0));
  el.append(table([
    { name: "location", title: "Location" },
    { name: "anomaly_share", title: "Flagged", num: true, format: (v) => (v === null ? "–" : meter(v, max)) },
    { name: "readings", title: "Readings", num: true, format: format.compact },
    { name: "completeness", title: "Complete", num: true, format: (v) => format.percent(v, 1) },
    { name: "episodes", title: "Bad data", num: true, format: (v, r) => (v ? `${format.compact(v)} (${r.bad_sensors} ${r.bad_sensors === 1 ? "sensor" : "sensors"})` : "–") },
    { name: "alerts", title: "Alerts", num: true, format: (v, r) => (v ? `${format.compact(v)}${r.open_alerts ? `, ${r.open_alerts} open` : ""}` : "–") },
  ], data.rows(), { caption: "Locations", rowLabel: (r) => `only ${r.location}`, onRow: (r) => ctx.set({ location: [r.location] }) }));
}

function statistics(data, el, ctx) {
  const rows = data.rows();
  el.append(table([
    { name: "location", title: "Location" },
    { name: "sensor_type", title: "Type" },
    { name: "readings", title: "Readings", num: true, format: format.compact },
    { name: "mean", title: "Mean", num: true, format: (v) => format.number(v) },
    { name: "stddev", title: "Std. deviation", num: true, format: (v) => format.number(v) },
    { name: "lowest", title: "Lowest", num: true, format: (v) => format.number(v) },
    { name: "highest", title: "Highest", num: true, format: (v) => format.number(v) },
    { name: "anomalies", title: "Anomalies", num: true, format: format.compact },
    { name: "anomaly_share", title: "Share", num: true, format: (v) => format.percent(v, 2) },
    { name: "completeness", title: "Complete", num: true, format: (v) => format.percent(v, 1) },
  ], rows.slice(0, 300), { caption: "Statistics by location and type", rowLabel: (r) => `only ${r.location}, ${r.sensor_type}`, onRow: (r) => ctx.set({ location: [r.location], type: [r.sensor_type] }) }));
  if (rows.length > 300) el.append(note(`300 of ${rows.length} are shown; CSV has them all.`));
}
