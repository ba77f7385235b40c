// Charts: ECharts with the page's colours, without animation, with tooltips made of elements (no HTML in strings).

import * as echarts from "/static/vendor/echarts.esm.min.js";
import * as format from "/static/format.js";
import { h } from "/static/ui.js";

/** The colours of the page as it is now. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["page", "surface", "raised", "ink", "muted", "line", "soft", "accent", "bad", "warn", "good", "band", "shade"];
  return { ...Object.fromEntries(names.map((n) => [n, of(n)])), palette: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => of(`c${i}`)) };
}

/** A colour, partly transparent: for "#rrggbb". */
export function faint(colour, alpha) {
  const n = parseInt(colour.slice(1), 16);
  return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
}

/** A chart in an element: set(option), resize(), dispose(). */
export function chart(el) {
  let made = null, size = "";
  const watch = new ResizeObserver(() => {
    const now = `${el.clientWidth}x${el.clientHeight}`;
    if (made && el.clientWidth && now !== size) { size = now; made.resize(); }
  });
  watch.observe(el);
  return {
    set(option, onClick) {
      if (!made) {
        made = echarts.init(el, null, { renderer: "canvas" });
        size = `${el.clientWidth}x${el.clientHeight}`;
      }
      made.setOption(option, { notMerge: true });
      made.off("click");
      if (onClick) made.on("click", onClick);
    },
    dispose() { watch.disconnect(); made?.dispose(); made = null; },
  };
}

/** A time axis over [from, to], epoch milliseconds. */
export function timeAxis([from, to], t = theme()) {
  return { type: "time", min: from, max: to, axisLine: { lineStyle: { color: t.line } }, axisTick: { lineStyle: { color: t.line } }, axisLabel: { color: t.muted, hideOverlap: true, fontSize: 11, formatter: tick(to - from) }, splitLine: { show: false }, axisPointer: { label: { show: false } } };
}

function tick(span) {
  if (span <= 6 * 60_000) return "{HH}:{mm}:{ss}";
  return span <= 26 * 3_600_000 ? "{HH}:{mm}" : { year: "{yyyy}", month: "{d} {MMM}", day: "{d} {MMM}", hour: "{HH}:{mm}", minute: "{HH}:{mm}" };
}

/** A value axis that fits what is shown. */
export function valueAxis({ unit = "", min = null, max = null, name = "", integer = false, show = true, labels = null } = {}, t = theme()) {
  return { type: "value", scale: true, min, max, name: name || unit, minInterval: integer ? 1 : 0, show, nameTextStyle: { color: t.muted, align: "left", fontSize: 11, padding: [0, 0, 0, -24] }, nameGap: 8, axisLabel: { color: t.muted, fontSize: 11, formatter: labels ?? format.tick }, splitLine: { lineStyle: { color: t.line, opacity: 0.7 } }, splitNumber: 4, axisLine: { show: false } };
}

/** A line. points: [[time, value]]; null values are gaps. */
export function line(name, points, { color, width = 1.5, dashed = false, area = false, step = false, unit = "", axis = 0 } = {}) {
  return { name, type: "line", data: points, showSymbol: points.length === 1, symbolSize: 5, connectNulls: false, step: step ? "end" : false, yAxisIndex: axis, itemStyle: { color }, lineStyle: { width, color, type: dashed ? "dashed" : "solid" }, areaStyle: area ? { opacity: 0.12, color } : undefined, emphasis: { disabled: true }, unit };
}

/** Bars over time. */
export function bars(name, points, { color, stack = null, unit = "", axis = 0 } = {}) {
  return { name, type: "bar", data: points, stack, yAxisIndex: axis, itemStyle: { color }, barMaxWidth: 18, barMinWidth: 1, barCategoryGap: "15%", emphasis: { disabled: true }, unit };
}

/** What lies between two lines. points: [[time, low, high]]. */
export function band(name, points, color, { alpha = 0.14, unit = "" } = {}) {
  const parts = [];
  let open = [];
  for (const p of [...points, [null, null, null]]) {
    if (p[1] === null || p[1] === undefined || p[2] === null || p[2] === undefined) {
      if (open.length) parts.push(open);
      open = [];
    } else open.push(p);
  }
  return { name, type: "custom", data: points, encode: { x: 0, y: [1, 2] }, clip: true, silent: true, z: 1, itemStyle: { color: faint(color, alpha) }, unit, range: true,
    renderItem(params, api) {
      if (params.dataIndexInside !== 0 && params.context.drawn) return null;
      params.context.drawn = true;
      return { type: "group", children: parts.map((part) => ({ type: "polygon", shape: { points: [...part.map((p) => api.coord([p[0], p[2]])), ...[...part].reverse().map((p) => api.coord([p[0], p[1]]))] }, style: { fill: faint(color, alpha) } })) };
    } };
}

/** Points that stand out. points: [[time, value, ...]]. */
export function marks(name, points, color, { size = 7, symbol = "circle", unit = "" } = {}) {
  return { name, type: "scatter", data: points, symbol, symbolSize: size, z: 5, itemStyle: { color, borderColor: theme().surface, borderWidth: 1 }, emphasis: { scale: 1.4 }, unit };
}

/** Times [[from, to]] shaded behind all. */
export function shaded(spans, t = theme()) {
  return { type: "line", data: [], silent: true, markArea: { silent: true, itemStyle: { color: faint(t.shade, 0.18) }, data: spans.map(([a, b]) => [{ xAxis: a }, { xAxis: b }]) } };
}

/** A whole chart of lines, bands, bars and marks. x, y: axes (y may be several). */
export function cartesian({ x, y, series, legend = null, unit = "", title = null, top = null, right = 20, left = 8, tip = null }, t = theme()) {
  const axes = Array.isArray(y) ? y : [y];
  const shown = legend ?? series.filter((s) => s.name).length > 1;
  const named = axes.some((a) => a.name);
  return {
    animation: false, color: t.palette, textStyle: { fontFamily: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", color: t.ink },
    grid: { left, right, top: top ?? (shown ? (named ? 48 : 32) : named ? 26 : 12), bottom: 4, containLabel: true },
    legend: shown ? { type: "scroll", top: 0, left: 0, itemWidth: 14, itemHeight: 12, itemGap: 14, icon: "roundRect", textStyle: { color: t.muted, fontSize: 12 }, inactiveColor: t.line, pageTextStyle: { color: t.muted }, pageIconColor: t.muted, data: series.filter((s) => s.name && !s.hidden).map((s) => s.name) } : { show: false },
    tooltip: tooltip(t, { trigger: "axis", formatter: tip ?? ((params) => axisTip(params, series, unit)) }),
    axisPointer: { lineStyle: { color: t.shade, type: "solid", width: 1 } },
    xAxis: x, yAxis: axes, series, title,
  };
}

/** What every tooltip has. */
export function tooltip(t, more) {
  return { confine: true, appendTo: "body", transitionDuration: 0, backgroundColor: t.raised, borderColor: t.line, borderWidth: 1, padding: [6, 10], extraCssText: "box-shadow: 0 4px 16px rgb(0 0 0 / 16%); pointer-events: none;", textStyle: { color: t.ink, fontSize: 12 }, ...more };
}

function axisTip(params, series, unit) {
  if (!params.length) return "";
  const lines = params.filter((p) => p.seriesName && !/^series\0/.test(p.seriesName)).map((p) => {
    const one = series[p.seriesIndex] ?? {};
    const own = one.unit || unit;
    const value = one.range ? `${format.number(p.value[1])} … ${format.number(p.value[2], own)}` : format.number(Array.isArray(p.value) ? p.value[1] : p.value, own);
    return one.range && p.value[1] === null ? null : [typeof p.color === "string" ? p.color : "", p.seriesName, value];
  }).filter(Boolean);
  const at = params[0].axisValue;
  return tip(typeof at === "number" ? format.time(at) : String(params[0].name), lines);
}

/** A tooltip's content. lines: [[colour, name, value]]. */
export function tip(title, lines) {
  return h("div", { class: "tip" }, h("b", { text: title }), lines.slice(0, 14).map(([color, name, value]) => h("div", { class: "line" }, h("span", {}, color ? h("i", { style: { background: color } }) : null, name), h("span", { text: value }))));
}

/** Cells coloured by value. values: [[xIndex, yIndex, value]]; diverging: white at 0. */
export function heat({ xs, ys, values, min, max, format: told = format.number, diverging = false, labels = false, xName = "", yName = "" }, t = theme()) {
  const colors = diverging ? [t.palette[1], t.soft, t.palette[0]] : [t.soft, t.palette[0]];
  const axis = (data, name) => ({ type: "category", data, name, nameTextStyle: { color: t.muted }, axisLabel: { color: t.muted, fontSize: 11, hideOverlap: true }, axisLine: { show: false }, axisTick: { show: false }, splitArea: { show: false } });
  return {
    animation: false, textStyle: { fontFamily: "system-ui, sans-serif", color: t.ink },
    grid: { left: 8, right: 12, top: 12, bottom: 44, containLabel: true },
    xAxis: axis(xs, xName), yAxis: { ...axis(ys, yName), inverse: true },
    visualMap: { min, max, calculable: false, orient: "horizontal", left: "center", bottom: 0, itemWidth: 10, itemHeight: 120, inRange: { color: colors }, textStyle: { color: t.muted, fontSize: 11 }, formatter: (v) => told(v) },
    tooltip: tooltip(t, { trigger: "item", formatter: (p) => tip(`${ys[p.value[1]]} · ${xs[p.value[0]]}`, [["", "", p.value[2] === null ? "–" : told(p.value[2])]]) }),
    series: [{ type: "heatmap", data: values, itemStyle: { borderColor: t.surface, borderWidth: 1 }, label: { show: labels, color: t.ink, fontSize: 11, formatter: (p) => told(p.value[2]) }, emphasis: { itemStyle: { borderColor: t.ink, borderWidth: 1 } } }],
  };
}
