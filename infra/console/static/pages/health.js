// Health: does everything come through, and at what cost.

import { bars, cartesian, line, timeAxis, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { bounds, isLive } from "/static/state.js";
import { badge, grid, h, note, table, tile, tiles } from "/static/ui.js";

export const title = "Health";
export const about = "does everything come through, and at what cost";
export const every = 10_000;

export function mount(root, ctx) {
  const row = tiles(root);
  row.hidden = !isLive(ctx.state) && !ctx.report;  // they are about now
  const area = grid(root);
  const wide = bounds(ctx.state);

  ctx.panel(area, {
    title: "Throughput", dataset: "intake", span: 4, height: 200, about: "readings on time, a second", empty: "No windows in this range.",
    draw: (d, t) => cartesian({ x: timeAxis(wide, t), y: valueAxis({ min: 0 }, t), series: [line("readings/s", d.rows().map((r) => [r.at, r.readings]), { color: t.accent, area: true, step: true })], legend: false }, t),
  });
  ctx.panel(area, stacked(wide, { title: "Late and doubtful", dataset: "doubtful", column: "readings", span: 4, height: 200, about: "readings, by reason", empty: "No late or doubtful readings in this range." }));
  ctx.panel(area, stacked(wide, { title: "Refused", dataset: "rejected", column: "payloads", span: 4, height: 200, about: "payloads, by reason", empty: "Nothing was refused in this range." }));

  ctx.panel(area, {
    title: "What became of all readings", dataset: "ledger", span: 8, about: "readings = on time + late + duplicates + rejected, since the beginning", empty: "Nothing was read yet.",
    render(d, el) {
      const rows = d.rows();
      const sums = ["messages", "readings", "on_time", "late", "duplicates", "rejected", "in_flight"];
      if (rows.length > 1) rows.push({ topic: "all", partition: null, ...Object.fromEntries(sums.map((n) => [n, rows.reduce((a, r) => a + r[n], 0)])) });
      const big = (v) => format.number(v);
      el.append(table([
        { name: "topic", title: "Topic" }, { name: "partition", title: "Partition", num: true, format: (v) => (v === null ? "" : String(v)) },
        ...sums.slice(0, -1).map((n) => ({ name: n, title: n[0].toUpperCase() + n.slice(1).replace("_", " "), num: true, format: big })),
        { name: "in_flight", title: "Not counted yet", num: true, format: (v) => (v ? badge(big(v), Math.abs(v) > 20_000 ? "warn" : "") : badge("0", "good")) },
      ], rows, { caption: "Ledger" }));
    },
  });
  ctx.panel(area, {
    title: "Tables", dataset: "storage", span: 4, about: "on the disk",
    render(d, el) {
      el.append(table([
        { name: "table", title: "Table" }, { name: "rows", title: "Rows", num: true, format: (v) => format.compact(v) },
        { name: "bytes", title: "Size", num: true, format: (v) => format.bytes(v) },
        { name: "bytes_a_row", title: "a row", num: true, format: (v) => format.bytes(v) }, { name: "parts", title: "Parts", num: true },
      ], d.rows(), { caption: "Tables" }));
    },
  });

  const courses = ctx.report ? [] : workers(area, ctx);

  ctx.panel(area, {
    title: "Refused payloads", dataset: "letters", span: 6, height: 380, about: "the latest 50", empty: "Nothing was refused in this range.",
    render(d, el) {
      for (const r of d.rows()) {
        el.append(h("details", { class: "letter" },
          h("summary", {}, h("span", { class: "muted", text: format.time(r.time) }), " ", badge(r.reason, "warn"), " ", h("span", { text: r.detail })),
          h("p", { class: "note", text: `${r.topic}/${r.partition}/${r.offset}/${r.idx}, ${format.bytes(r.payload_bytes)}; send it once more: streamgauge deadletters redrive` }), h("pre", { text: r.payload })));
      }
    },
  });
  ctx.panel(area, {
    title: "Episodes of sensors' data", dataset: "quality", span: 6, height: 380, about: "those that last first", empty: "No gaps, no stuck or silent sensors in this range.",
    render(d, el) {
      el.append(table([
        { name: "start", title: "Since", kind: "time" },
        { name: "kind", title: "Kind", format: (v, r) => badge(v.replaceAll("_", " "), r.end === null ? "warn" : "") },
        { name: "sensor_id", title: "Sensor", format: (v) => h("a", { href: ctx.href({ page: "live", sensor: [v] }), text: v }) },
        { name: "end", title: "Lasted", format: (v, r) => (v === null ? "lasts" : format.duration(v - r.start)) },
        { name: "readings", title: "Readings", num: true, format: (v) => format.compact(v) },
      ], d.rows(), { caption: "Episodes" }));
    },
  });
  ctx.panel(area, {
    title: "Events", dataset: "events", span: 12, height: 260, about: "what happened to the flow itself", empty: "Nothing happened to the flow in this range.",
    render(d, el) {
      el.append(table([
        { name: "time", title: "Time", kind: "time" }, { name: "kind", title: "Kind", format: (v) => badge(v.replaceAll("_", " "), ["degraded", "detector_off", "silent"].includes(v) ? "warn" : "") },
        { name: "subject", title: "Of" }, { name: "detail", title: "What" },
      ], d.rows(), { caption: "Events" }));
    },
  });

  let live = null;
  function drawTiles(now, workers) {
    const of = workers?.rows().filter((w) => !w.trouble) ?? [];
    const most = (name) => (of.length ? Math.max(...of.map((w) => w[name] ?? 0)) : null);
    const sum = (name) => (of.length ? of.reduce((a, w) => a + (w[name] ?? 0), 0) : null);
    row.replaceChildren(
      tile({ title: "Readings stored", value: now ? format.compact(now.readings) : "–", unit: "/s", sub: "last 10 s" }),
      tile({ title: "Latency", value: now?.newest ? format.duration(Math.max(0, now.time - now.newest)) : "–", sub: "age of newest reading", tone: now?.newest && now.time - now.newest > 60_000 ? "bad" : "" }),
      tile({ title: "Windows behind", value: now?.closed ? format.duration(Math.max(0, now.time - now.closed)) : "–", sub: "newest closed window" }),
      ...(ctx.report ? [] : [
        tile({ title: "Watermark behind", value: of.length ? format.duration(most("watermark_delay_s") * 1000) : "–", sub: of.length ? "slowest partition" : "no worker known" }),
        tile({ title: "Not read yet", value: of.length ? format.compact(sum("lag")) : "–", unit: of.length ? "messages" : "", sub: of.length ? "in Kafka" : "no worker known" }),
        tile({ title: "Worker memory", value: of.length ? format.bytes(sum("memory_bytes")) : "–", sub: of.length ? `${of.length} ${of.length === 1 ? "process" : "processes"}` : "no worker known" }),
      ]),
    );
  }
  drawTiles(null, null);
  let known = null;
  return {
    async refresh() {
      if (!ctx.report) known = await ctx.get("health", "workers").catch(() => known);
      courses.forEach((panel) => { panel.el.hidden = !known?.about.known; });
      drawTiles(live, known);
    },
    event(name, data) {
      if (name !== "numbers") return;
      live = data;
      drawTiles(live, known);
    },
  };
}

/** Processes as they tell of themselves; a report has what is stored only. */
function workers(area, ctx) {
  ctx.panel(area, {
    title: "Workers", dataset: "workers", span: 12, about: "from their /metrics, a few seconds ago",
    render(d, el) {
      if (!d.about.known) {
        el.append(note("No worker is known here. Let it tell of itself ([observe] listen = \"127.0.0.1:9464\") and name that address in [console] workers."));
        return;
      }
      el.append(table([
        { name: "address", title: "Worker", format: (v, r) => (r.process ? `${v} · process ${r.process}` : v) },
        { name: "trouble", title: "Status", format: (v) => (v ? badge(v, "bad") : badge("runs", "good")) },
        { name: "readings", title: "Readings/s", num: true, format: (v) => format.compact(v) },
        { name: "lag", title: "Not read yet", num: true, format: (v) => format.compact(v) },
        { name: "watermark_delay_s", title: "Watermark behind", num: true, format: (v) => format.duration(v === null ? null : v * 1000) },
        { name: "epoch_age_s", title: "Last epoch", num: true, format: (v) => (v === null ? "–" : `${format.duration(v * 1000)} ago`) },
        { name: "cpu", title: "CPU", num: true, format: (v) => format.percent(v, 0) },
        { name: "memory_bytes", title: "Memory", num: true, format: (v) => format.bytes(v) },
        { name: "state_bytes", title: "State kept", num: true, format: (v) => format.bytes(v) },
        { name: "sensors", title: "Sensors", num: true, format: (v) => format.compact(v) },
      ], d.rows(), { caption: "Workers" }));
    },
  });
  const course = (given) => ctx.panel(area, { dataset: "workers-course", span: 4, mid: 4, height: 150, empty: "No worker was looked at.", draw: (d, t) => overTime(d, t, given), ...given });
  return [
    course({ title: "Worker memory", column: "memory_bytes", labels: format.bytes, about: "last half hour" }),
    course({ title: "Watermark behind", column: "watermark_delay_s", scale: 1_000, labels: format.duration, about: "the slowest partition, last half hour" }),
    course({ title: "Messages not read yet", column: "lag", labels: format.compact, about: "last half hour" }),
  ];
}

/** Bars over time, one colour a reason. */
function stacked(wide, given) {
  return { ...given, draw: (d, t) => {
    const groups = [...d.groups("reason")];
    const times = [...new Set(d.columns.at)].sort((a, b) => a - b);  // bars lie on each other by their place in the list
    const series = groups.map(([reason, rows], i) => bars(reason.replaceAll("_", " "), filled(times, rows, given.column), { color: t.palette[(i + 1) % t.palette.length], stack: "all" }));
    return cartesian({ x: timeAxis(wide, t), y: valueAxis({ min: 0, integer: true }, t), series, legend: true }, t);
  } };
}

function filled(times, rows, column) {
  const known = new Map(rows.map((r) => [r.at, r[column]]));
  return times.map((at) => [at, known.get(at) ?? 0]);
}

function overTime(d, t, { column, labels, scale = 1 }) {
  const rows = d.rows().filter((r) => !r.trouble);
  if (!rows.length) return null;
  const by = new Map();
  for (const r of rows) {
    const name = r.process ? `${r.address} · ${r.process}` : r.address;
    if (!by.has(name)) by.set(name, []);
    by.get(name).push([r.time_ms, r[column] === null ? null : r[column] * scale]);
  }
  const now = Math.max(...rows.map((r) => r.time_ms));
  const series = [...by].map(([name, points], i) => line(name, points, { color: t.palette[i % t.palette.length] }));
  return cartesian({ x: timeAxis([Math.min(rows[0].time_ms, now - 300_000), now], t), y: valueAxis({ min: 0, labels: (v) => labels(v) }, t), series, legend: series.length > 1 }, t);
}
