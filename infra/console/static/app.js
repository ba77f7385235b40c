// The shell: which page, its panels, refreshing them, the stream of what is new, the theme.

import * as api from "/static/api.js";
import * as controls from "/static/controls.js";
import { panel } from "/static/panel.js";
import { changed, go, href, isLive, query, read } from "/static/state.js";
import { h } from "/static/ui.js";

const PAGES = [["live", "Live"], ["windows", "Windows"], ["detection", "Detection"], ["analytics", "Analytics"], ["alerts", "Alerts"], ["health", "Health"]];
const EVERY_MS = 10_000;

const main = document.getElementById("main");
const link = document.getElementById("link");
let shown = null;   // {state, page, panels, every, last}
let me = { name: "", role: "viewer", may_act: false };
let close = () => {};
let streamed = null;

/** What a page is given: the state it is for, ways to data, to other states, and panels that refresh by themselves. */
function context(state, panels) {
  return {
    state,
    me,
    set: (patch, options) => go(changed(read(), patch), options),
    href: (patch) => href(changed(read(), patch)),
    get: (page, dataset, extra = {}) => api.get(page, dataset, query(state, extra)),
    post: api.post,
    panel(parent, given) {
      const made = panel(parent, state, given);
      panels.push(made);
      return made;
    },
  };
}

async function show() {
  const state = read();
  const known = PAGES.find(([name]) => name === state.page);
  if (!known) return go({ ...state, page: "live" }, { replace: true });
  const same = shown?.state.page === state.page;
  drawNav(state);
  controls.draw(document.getElementById("controls"));
  listen(state);
  const module = await import(`/static/pages/${state.page}.js`);
  if (href(read()) !== href(state)) return undefined;
  unmount();
  const top = same ? window.scrollY : 0;
  const panels = [];
  const root = h("div", { class: "page", data: { page: state.page } });
  document.title = `${module.title} · streamgauge`;
  root.append(h("div", { class: "page-head" }, h("h1", { text: module.title }), module.about ? h("span", { class: "about", text: module.about }) : null));
  if (same) main.style.minHeight = `${main.offsetHeight}px`;
  main.replaceChildren(root);
  const page = module.mount(root, context(state, panels)) ?? {};
  shown = { state, page, panels, every: module.every ?? EVERY_MS, last: Date.now() };
  if (!same) main.focus({ preventScroll: true });
  await Promise.all([page.refresh?.(), ...panels.map((p) => p.refresh())]);
  if (same) { window.scrollTo(0, top); main.style.minHeight = ""; }
  main.dataset.ready = state.page;
  return undefined;
}

function unmount() {
  delete main.dataset.ready;
  shown?.page.unmount?.();
  shown?.panels.forEach((p) => p.dispose());
  shown = null;
}

/** Live pages follow; what takes long is not asked again meanwhile. */
async function follow() {
  const mine = shown;
  if (mine && isLive(mine.state) && !document.hidden && Date.now() - mine.last >= mine.every && !selecting()) {
    mine.last = Date.now();
    await Promise.all([mine.page.refresh?.(), ...mine.panels.map((p) => p.refresh())]);
    mine.last = Math.max(mine.last, Date.now() - mine.every / 2);
  }
  setTimeout(follow, 500);
}

/** Somebody marks text on the page: do not pull it away. */
const selecting = () => String(getSelection()).length > 0 && main.contains(getSelection().anchorNode);

function listen(state) {
  const params = query({ ...state, sensor: [] });
  const wanted = isLive(state) ? String(params) : "";
  if (wanted === streamed) return;
  streamed = wanted;
  close();
  close = () => {};
  if (!wanted) { say("", "paused"); return; }
  close = api.stream(params, (name, data) => {
    if (name === "up") say("yes", "live");
    else if (name === "down") say("no", "reconnecting");
    else if (name === "trouble") say("no", data.text);
    else {
      say("yes", "live");
      shown?.page.event?.(name, data);
    }
  });
}

function say(up, text) {
  if (link.dataset.up === up && link.textContent === text) return;
  link.dataset.up = up;
  link.textContent = text.length > 60 ? "ClickHouse does not answer" : text;
  link.title = text;
}

function drawNav(state) {
  const kept = { location: state.location, type: state.type, sensor: state.sensor, from: state.from, to: state.to };
  document.getElementById("nav").replaceChildren(...PAGES.map(([name, title]) => h("a", { href: href({ ...kept, page: name, extra: {} }), "aria-current": name === state.page ? "page" : null, text: title })));
}

function drawMe() {
  const out = me.login ? h("button", { type: "button", class: "quiet small", text: "Log out", onclick: api.logout }) : null;
  const audit = me.login && me.role === "admin" ? h("a", { href: "/api/audit", download: true, title: "What people did here, as CSV", text: "Audit" }) : null;
  const who = me.login ? `${me.name} (${me.role})` : "";
  document.getElementById("me").replaceChildren(...[who, audit, out].filter(Boolean));
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", document.documentElement.dataset.theme); } catch { /* not kept then */ }
  shown?.panels.forEach((p) => p.redraw());
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.panels.forEach((p) => p.redraw()));
window.addEventListener("hashchange", show);
window.addEventListener("pagehide", () => close());
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
document.addEventListener("click", (event) => document.querySelectorAll("details.custom[open]").forEach((d) => d.contains(event.target) || d.removeAttribute("open")));

api.me().then((told) => { me = told; drawMe(); }, () => {}).then(show).then(follow);
