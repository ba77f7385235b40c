// A panel: a title, a chart or something else made of one dataset, its data as a table and as CSV.

import { csvUrl, get } from "/static/api.js";
import { chart, theme } from "/static/chart.js";
import { query } from "/static/state.js";
import { dataTable, h } from "/static/ui.js";

/** See /static/app.js for what a page hands over. Returns {el, refresh(), redraw(), dispose()}. */
export function panel(parent, state, given) {
  const { title, about = "", page = state.page, dataset, span = 12, mid = span >= 8 ? 12 : 6, height = 240 } = given;
  const params = () => query(state, typeof given.params === "function" ? given.params() : given.params ?? {});
  let data = null, drawn = null, cells = null, tabular = false, running = null;

  const csv = h("a", { class: "button quiet small", title: `${title}: download as CSV`, "aria-label": `${title}: download as CSV`, text: "CSV", download: true });
  const toggle = h("button", { type: "button", class: "quiet small", "aria-pressed": "false", "aria-label": `${title}: data as a table`, text: "Data", onclick: () => { tabular = !tabular; toggle.setAttribute("aria-pressed", String(tabular)); show(); } });
  const told = h("span", { class: "about", text: about });
  const tools = h("div", { class: "tools" }, given.controls ?? [], dataset && (given.draw || given.cells) ? toggle : null, dataset ? csv : null);
  const body = h("div", { class: "body" });
  const el = h("section", { class: "panel", "aria-label": title, style: { "--span": span, "--span-mid": mid } }, h("header", {}, h("h2", { text: title }), told, tools), body);
  parent.append(el);

  function show() {
    if (!data) return;
    el.classList.remove("late");
    if (tabular) return fill(h("div", { class: "scroll", tabindex: "0", style: { "--most": `${Math.max(height, 200)}px` } }, dataTable(data, title)));
    if (given.render) {
      if (!data.length && given.empty) return fill(h("p", { class: "empty", text: given.empty }));
      const inner = h("div", { class: "rendered" });
      given.render(data, inner, theme());
      const scrolls = given.height ? h("div", { class: "scroll", tabindex: "0", style: { "--most": `${height}px` } }, inner) : inner;
      const at = body.querySelector(".scroll")?.scrollTop ?? 0;
      fill(scrolls);
      if (at) scrolls.scrollTop = at;
      // Whatever scrolls can be got to by keyboard.
      if (inner.scrollWidth > inner.clientWidth) inner.tabIndex = 0;
      return undefined;
    }
    if (given.cells && data.length) return showCells(given.cells(data, theme()));
    const option = data.length && given.draw ? given.draw(data, theme()) : null;
    if (!option) return fill(h("p", { class: "empty", text: given.empty ?? "Nothing in this range." }));
    if (!drawn) {
      const place = h("div", { class: "chart", role: "img", style: { height: `${height}px` } });
      fill(place);
      drawn = { place, chart: chart(place) };
    }
    const label = given.label ? given.label(data) : `${title}: chart of ${data.length} rows; the button Data shows them as a table`;
    drawn.place.setAttribute("aria-label", label);
    drawn.chart.set(option, given.onClick);
    return undefined;
  }

  /** Small charts beside each other: cells are {key, title (element), option, label}; those that stay are not made anew. */
  function showCells(wanted) {
    if (!cells) {
      const place = h("div", { class: "cells" });
      fill(place);
      cells = { place, charts: new Map() };
    }
    const keys = new Set(wanted.map((c) => c.key));
    for (const [key, one] of cells.charts) if (!keys.has(key)) { one.chart.dispose(); cells.charts.delete(key); }
    const order = wanted.map((c) => {
      let one = cells.charts.get(c.key);
      if (!one) {
        const place = h("div", { class: "chart", role: "img", style: { height: `${c.height ?? height}px` } });
        const head = h("div", { class: "cell-head" });
        one = { el: h("div", { class: "cell" }, head, place), head, place, chart: chart(place) };
        cells.charts.set(c.key, one);
      }
      // A title that somebody is on with the keyboard stays.
      if (!one.head.contains(document.activeElement)) one.head.replaceChildren(c.title);
      one.place.setAttribute("aria-label", c.label);
      return [one, c];
    });
    const els = order.map(([one]) => one.el);
    if (els.length !== cells.place.children.length || els.some((e, i) => cells.place.children[i] !== e)) cells.place.replaceChildren(...els);
    cells.place.classList.toggle("single", els.length === 1);
    for (const [one, c] of order) one.chart.set(c.option, c.onClick);
  }

  function fill(child) {
    drawn?.chart.dispose();
    cells?.charts.forEach((one) => one.chart.dispose());
    drawn = cells = null;
    body.replaceChildren(child);
  }

  let asking = "", answer = null;

  /** Ask again; a question that is under way is waited for, unless it is another one. */
  function refresh() {
    const asked = String(params());
    if (running && asked === asking) return answer;
    running?.abort();
    asking = asked;
    answer = ask();
    return answer;
  }

  async function ask() {
    const mine = (running = new AbortController());
    const late = setTimeout(() => el.classList.add("late"), 5_000);
    try {
      const asked = params();
      if (dataset) csv.href = csvUrl(page, dataset, asked);
      const found = given.load ? await given.load(mine.signal) : await get(page, dataset, asked, mine.signal);
      if (running !== mine) return;
      data = found;
      if (given.told) told.textContent = given.told(data);
      show();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!data) fill(h("p", { class: "error", text: error.message }));
      else { el.classList.add("late"); told.textContent = error.message; }
      if (!error.status && error.status !== 0) console.error(error);
    } finally {
      clearTimeout(late);
      if (running === mine) running = null;
    }
  }

  body.append(h("p", { class: "empty", style: { "min-height": `${height}px` }, text: "…" }));
  return { el, refresh, redraw: show, data: () => data, dispose() { running?.abort(); drawn?.chart.dispose(); cells?.charts.forEach((one) => one.chart.dispose()); } };
}
