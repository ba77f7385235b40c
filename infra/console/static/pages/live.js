// Live: how much comes in, what is wrong, the sensors that matter now.

import { band, bars, cartesian, line, marks, timeAxis, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { bounds, isLive } from "/static/state.js";
import { badge, grid, h, table, tile, tiles } from "/static/ui.js";

export const title = "Live";
export const about = "what the sensors do, and what is wrong";
export const every = 5_000;

const KEPT = 60;

export function mount(root, ctx) {
  const row = tiles(root);
  row.hidden = !isLive(ctx.state) && !ctx.report;  // they are about now
  const below = grid(root);
  const pulse = { readings: [], anomalies: [], active: [], delay: [], lag: [] };
  let last = null, lag = null, behind = null;

  function push(key, value) {
    pulse[key].push(value);
    if (pulse[key].length > KEPT) pulse[key].shift();
  }

  function drawTiles() {
    const now = last;
    const delay = now?.newest ? Math.max(0, now.time - now.newest) : null;
    row.replaceChildren(...[
      tile({ title: "Readings", value: now ? format.compact(now.readings) : "–", unit: "/s", spark: pulse.readings, sub: "last 10 s" }),
      tile({ title: "Sensors active", value: now ? format.compact(now.active) : "–", spark: pulse.active, sub: "in the last minute" }),
      tile({ title: "Sensors silent", value: now ? format.compact(now.silent) : "–", tone: now?.silent ? "warn" : "", sub: "for too long", href: ctx.href({ page: "health" }) }),
      tile({ title: "Anomalies", value: now ? format.compact(now.anomalies) : "–", unit: "/min", tone: now?.anomalies ? "bad" : "", spark: pulse.anomalies, sub: "flagged readings" }),
      tile({ title: "Open alerts", value: now ? format.compact(now.alerts) : "–", tone: now?.alerts ? "bad" : "", sub: "and not silenced", href: ctx.href({ page: "alerts" }) }),
      tile({ title: "Latency", value: format.duration(delay), tone: delay > 60_000 ? "bad" : "", spark: pulse.delay, sub: "age of newest reading" }),
      lag === null ? null : tile({ title: "Lag", value: format.compact(lag), unit: "messages", tone: lag > 100_000 ? "warn" : "", spark: pulse.lag, sub: `watermark ${format.duration(behind * 1_000)} behind`, hint: "Messages in Kafka that no worker has read yet; how far the slowest partition's watermark is behind", href: ctx.href({ page: "health" }) }),
      tile({ title: "Windows closed until", value: now?.closed ? format.time(now.closed) : "–", sub: now?.closed ? `${format.duration(now.time - now.closed)} behind` : "" }),
    ].filter(Boolean));
  }
  drawTiles();

  const chosen = ctx.state.sensor.length > 0;
  const [from, to] = bounds(ctx.state);
  const short = to - from <= 3_600_000;
  const charts = ctx.panel(below, {
    title: chosen ? "Sensors chosen" : "Sensors with the most anomalies", dataset: "chart", span: 8, height: chosen ? 320 : 150,
    about: "value, where it was expected, readings flagged", params: () => ({ most: chosen ? 12 : 6 }), empty: "No readings in this range.",
    cells: (data, t) => cells(data, t, ctx, chosen),
  });
  const latest = ctx.panel(below, {
    title: "Latest anomalies", dataset: "anomalies", span: 4, height: chosen ? 330 : 560, about: "one for each sensor and minute", empty: "No anomalies in this range.",
    render(data, el) {
      el.append(table([
        { name: "time", title: "Time", kind: "time" },
        { name: "sensor_id", title: "Sensor" },
        { name: "value", title: "Value", num: true, format: (v, r) => format.number(v, r.unit) },
      ], data.rows(), { onRow: (r) => ctx.set({ page: "detection", sensor: [r.sensor_id], extra: { time: r.time } }) }));
    },
  });

  if (ctx.state.sensor.length === 1) {
    ctx.panel(below, {
      title: "How new", dataset: "chart", span: 8, height: 150, about: "score: −log10 of the chance of such a moment in this sensor's own past", params: () => ({ most: 1 }), empty: "Scores are kept with readings: choose a range of 6 hours or less.",
      draw: (d, t) => (d.about.source === "windows" ? null : cartesian({ x: timeAxis(bounds(ctx.state), t), y: valueAxis({ min: 0 }, t), series: [bars("score", d.rows().map((r) => [r.at, r.score]), { color: t.accent })], legend: false }, t)),
    });
  }

  // Several at a time are shown at a time.
  let waiting = null;
  const soon = () => { waiting ??= setTimeout(() => Promise.all([latest.refresh(), short ? charts.refresh() : null]).finally(() => { waiting = null; }), 200); };

  return {
    unmount: () => clearTimeout(waiting),
    async refresh() {
      const workers = (await ctx.get("health", "workers").catch(() => null))?.rows().filter((w) => !w.trouble && w.lag !== null) ?? [];
      if (workers.length) {
        lag = workers.reduce((sum, w) => sum + w.lag, 0);
        behind = Math.max(...workers.map((w) => w.watermark_delay_s ?? 0));
        push("lag", lag);
        drawTiles();
      }
      if (pulse.readings.length) return;
      const told = await ctx.get("live", "pulse", { sensor: [] }).catch(() => null);
      if (!told || pulse.readings.length) return;
      pulse.readings = told.columns.readings.slice(1, -1);
      pulse.anomalies = told.columns.anomalies.slice(1, -1).map((v) => v * 60);
      pulse.active = told.columns.sensors.slice(1, -1);
      drawTiles();
    },
    event(name, data) {
      if (name === "anomalies") soon();
      if (name !== "numbers") return;
      last = data;
      for (const [key, value] of [["readings", data.readings], ["anomalies", data.anomalies], ["active", data.active], ["delay", data.newest ? Math.max(0, data.time - data.newest) : null]]) {
        push(key, value);
      }
      drawTiles();
    },
  };
}

function cells(data, t, ctx, chosen) {
  const groups = data.groups("sensor_id");
  const wide = bounds(ctx.state);
  return data.about.sensors.filter((s) => groups.has(s.sensor_id)).map((sensor) => {
    const rows = groups.get(sensor.sensor_id);
    const spread = rows.some((r) => r.low !== r.high);
    const series = [
      band("expected", rows.map((r) => [r.at, r.expected_low, r.expected_high]), t.band),
      spread && data.about.source === "windows" ? band("min … max", rows.map((r) => [r.at, r.low, r.high]), t.shade) : null,
      line("value", gaps(rows.map((r) => [r.at, r.value]), data.about.bucket_ms), { color: t.accent, width: 1.4 }),
      marks("anomaly", rows.filter((r) => r.anomalies > 0).map((r) => [r.at, r.strangest]), t.bad, { size: data.about.source === "windows" ? 4 : chosen ? 7 : 5 }),
    ].filter(Boolean);
    const name = h("a", { href: chosen ? ctx.href({ page: "detection", extra: {} }) : ctx.href({ sensor: [sensor.sensor_id] }), text: sensor.sensor_id });
    return {
      key: sensor.sensor_id,
      title: h("span", { class: "row" }, name,
        h("span", { class: "note", text: `${sensor.location} · ${sensor.sensor_type}` }),
        sensor.anomalies ? badge(`${format.compact(sensor.anomalies)} flagged`, "bad") : null,
        h("span", { class: "now", text: format.number(sensor.value, sensor.unit) })),
      label: `${sensor.sensor_id}: now ${format.number(sensor.value, sensor.unit)}, ${sensor.anomalies} anomalies in this range`,
      option: cartesian({ x: timeAxis(wide, t), y: valueAxis({}, t), series, legend: chosen, unit: sensor.unit }, t),
      onClick: (p) => p.seriesName === "anomaly" && ctx.set({ page: "detection", sensor: [sensor.sensor_id], extra: { time: p.value[0] } }),
    };
  });
}

/** A line is broken where nothing was read for long. */
function gaps(points, bucketMs) {
  const found = [];
  points.forEach((p, i) => {
    if (i && p[0] - points[i - 1][0] > Math.max(6 * bucketMs, 30_000)) found.push([points[i - 1][0] + bucketMs, null]);
    found.push(p);
  });
  return found;
}
