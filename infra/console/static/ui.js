// What pages are built of.

import * as format from "/static/format.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element. attrs: attributes; `class`, `on...` functions, `data: {}`, `style: {}` (properties), `text`. */
export function h(tag, attrs = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "data") Object.assign(el.dataset, value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) el.style.setProperty(key, text);
    else if (name === "text") el.textContent = value;
    else if (typeof value === "function") el.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) el.setAttribute(name, "");
    else el.setAttribute(name, value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) el.append(child);
  return el;
}

/** Twelve columns for panels. */
export function grid(parent) {
  const el = h("div", { class: "grid" });
  parent.append(el);
  return el;
}

/** A row of numbers. */
export function tiles(parent) {
  const el = h("div", { class: "tiles" });
  parent.append(el);
  return el;
}

/** A number with its recent past. spark: numbers; href: where a click goes. */
export function tile({ title, value, unit = "", sub = "", tone = "", spark = null, href = null, hint = "" }) {
  const el = h(href ? "a" : "div", { class: "tile", href, title: hint, data: tone ? { tone } : {} });
  el.append(h("span", { class: "name", text: title }), h("span", { class: "value" }, String(value), unit ? h("small", { text: ` ${unit}` }) : null));
  el.append(h("span", { class: "sub", text: sub }));
  if (spark) el.append(sparkline(spark, { zero: true }));
  return el;
}

/** A line without axes; gaps for null. */
export function sparkline(values, { width = 140, height = 26, label = "", zero = false } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  if (label) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label); } else svg.setAttribute("aria-hidden", "true");
  const known = values.filter((v) => v !== null && v !== undefined);
  if (known.length < 2) return svg;
  const low = zero ? Math.min(0, ...known) : Math.min(...known), span = Math.max(...known) - low;
  const x = (i) => (i / (values.length - 1)) * width;
  const y = (v) => (span === 0 ? height - 3 : height - 2 - ((v - low) / span) * (height - 4));
  let path = "", open = false;
  values.forEach((v, i) => {
    if (v === null || v === undefined) { open = false; return; }
    path += `${open ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    open = true;
  });
  const line = document.createElementNS(SVG, "path");
  for (const [name, value] of [["d", path], ["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.5"], ["vector-effect", "non-scaling-stroke"]]) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

/** A table. columns: [{name, title, kind?, format?(value, row), num?}]; onRow(row) makes rows clickable, rowLabel(row) names them. */
export function table(columns, rows, { onRow = null, rowLabel = null, selected = null, caption = "" } = {}) {
  const head = h("tr", {}, columns.map((c) => h("th", { scope: "col", class: isNum(c) ? "num" : null, text: c.title ?? c.name })));
  const body = rows.map((row) => {
    const tr = h("tr", selected && selected(row) ? { "aria-selected": "true" } : {});
    columns.forEach((c, i) => {
      const told = c.format ? c.format(row[c.name], row) : format.cell(row[c.name], c.kind);
      const td = h("td", { class: isNum(c) ? "num" : null });
      td.append(i === 0 && onRow ? h("a", { href: "#", onclick: (e) => { e.preventDefault(); e.stopPropagation(); onRow(row); }, "aria-label": rowLabel ? rowLabel(row) : null }, told) : told ?? "");
      tr.append(td);
    });
    if (onRow) { tr.classList.add("go"); tr.addEventListener("click", () => onRow(row)); }
    return tr;
  });
  return h("table", {}, caption ? h("caption", { class: "visually-hidden", text: caption }) : null, h("thead", {}, head), h("tbody", {}, body));
}

const isNum = (column) => column.num ?? column.kind === "number";

/** All rows of a dataset as a table: the text beside a chart. */
export function dataTable(data, caption) {
  const columns = Object.keys(data.columns).map((name) => ({ name, kind: data.kinds[name] }));
  return table(columns, data.rows().slice(0, 500), { caption });
}

/** A labelled choice. */
export function select({ label, options, value, onchange, name = "" }) {
  const el = h("select", { name, onchange: () => onchange(el.value) }, options.map(([v, text]) => h("option", { value: v, selected: v === value, text })));
  return h("label", { class: "field" }, h("span", { text: label }), el);
}

/** A few alternatives beside each other. */
export function segmented({ label, options, value, onchange }) {
  return h("div", { class: "segmented", role: "group", "aria-label": label }, options.map(([v, text]) => h("button", { type: "button", "aria-pressed": String(v === value), onclick: () => onchange(v), text })));
}

export const badge = (text, tone = "") => h("span", { class: "badge", data: tone ? { tone } : {}, text });
export const note = (text) => h("p", { class: "note", text });

/** Said for some seconds, also to screen readers. */
export function toast(text) {
  const el = h("p", { text });
  document.getElementById("toast").append(el);
  setTimeout(() => el.remove(), 6_000);
}
