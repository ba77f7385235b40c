// Live: how much comes in, what is wrong, the sensors that matter now.

import { band, cartesian, line, marks, theme, timeAxis, valueAxis } from "/static/chart.js";
import * as format from "/static/format.js";
import { bounds } from "/static/state.js";
import { badge, grid, h, table, tile, tiles } from "/static/ui.js";

export const title = "Live";
export const every = 5_000;

const KEPT = 60;

export function mount(root, ctx) {
  const row = tiles(root);
  const below = grid(root);
  const left = h("div", { class: "grid", style: { "grid-column": "span 8" } });
  const pulse = { readings: [], anomalies: [], active: [], delay: [] };
  let last = null;

  function drawTiles() {
    const now = last;
    const delay = now?.newest ? now.time - now.newest : null;
    row.replaceChildren(
      tile({ title: "Readings", value: now ? format.compact(now.readings) : "–", unit: "/s", spark: pulse.readings, sub: "last 10 s" }),
      tile({ title: "Sensors active", value: now ? format.compact(now.active) : "–", spark: pulse.active, sub: "spoke in the last minute" }),
      tile({ title: "Sensors silent", value: now ? format.compact(now.silent) : "–", tone: now?.silent ? "warn" : "", sub: "longer than they should be", href: ctx.href({ page: "health" }) }),
      tile({ title: "Anomalies", value: now ? format.compact(now.anomalies) : "–", unit: "/min", tone: now?.anomalies ? "bad" : "", spark: pulse.anomalies, sub: "readings flagged, last minute" }),
      tile({ title: "Open alerts", value: now ? format.compact(now.alerts) : "–", tone: now?.alerts ? "bad" : "", sub: "not resolved, not silenced", href: ctx.href({ page: "alerts" }) }),
      tile({ title: "Latency", value: format.duration(delay), tone: delay > 60_000 ? "bad" : "", spark: pulse.delay, sub: "age of the newest stored reading" }),
      tile({ title: "Windows closed until", value: now?.closed ? format.time(now.closed) : "–", sub: now?.closed ? `${format.duration(now.time - now.closed)} behind` : "" }),
    );
  }
  drawTiles();

  const chosen = ctx.state.sensor.length > 0;
  ctx.panel(below, {
    title: chosen ? "Sensor" : "Sensors with the most anomalies", dataset: "sensors", span: 8, height: 0,
    about: "value, forecast band, anomalies", params: () => ({ most: chosen ? 12 : 6 }),
    empty: "No readings in this range.",
    load: null,
    render(data, el) { el.textContent = `${data.length}`; },
  });
  ctx.panel(below, {
    title: "Latest anomalies", dataset: "anomalies", span: 4, height: 560, about: "one for each sensor and minute", empty: "No anomalies in this range.",
    render(data, el) {
      el.append(table([
        { name: "time", title: "Time", kind: "time" },
        { name: "sensor_id", title: "Sensor" },
        { name: "value", title: "Value", num: true, format: (v, r) => format.number(v, r.unit) },
      ], data.rows(), { onRow: (r) => ctx.set({ page: "detection", sensor: [r.sensor_id], extra: { time: r.time } }) }));
    },
  });

  return {
    async refresh() {
      if (pulse.readings.length) return;
      const told = await ctx.get("live", "pulse").catch(() => null);
      if (!told || pulse.readings.length) return;
      pulse.readings = told.columns.readings.slice(1, -1);
      pulse.anomalies = told.columns.anomalies.slice(1, -1).map((v) => v * 60);
      pulse.active = told.columns.sensors.slice(1, -1);
      drawTiles();
    },
    event(name, data) {
      if (name !== "numbers") return;
      last = data;
      for (const [key, value] of [["readings", data.readings], ["anomalies", data.anomalies], ["active", data.active], ["delay", data.newest ? data.time - data.newest : null]]) {
        pulse[key].push(value);
        if (pulse[key].length > KEPT) pulse[key].shift();
      }
      drawTiles();
    },
  };
}
