// The shell of a report: the console's pages one below the other, over the data in the file.

import * as api from "/static/api.js";
import * as format from "/static/format.js";
import { panel } from "/static/panel.js";
import { changed, query } from "/static/state.js";
import { h, toast } from "/static/ui.js";

const PAGES = ["live", "windows", "detection", "analytics", "alerts", "health"];
const told = api.told;
const main = document.getElementById("main");
const sections = new Map();

// "3 min ago" means: before the report was made.
Date.now = () => told.made_ms;

const first = { page: "live", from: String(told.from_ms), to: String(told.to_ms), location: told.locations, type: told.types, sensor: told.sensors, extra: {} };

/** As the console's shell hands it to a page; another page is a place further down. */
function context(section) {
  const { state, panels } = section;
  return {
    state,
    report: true,
    me: { name: "", role: "viewer", may_act: false },
    set: (patch) => move(section, patch),
    href: (patch) => `#${patch.page ?? state.page}~${encodeURIComponent(JSON.stringify(patch))}`,
    get: (page, dataset, extra = {}) => api.get(page, dataset, query(state, extra)),
    post: api.post,
    panel(parent, given) {
      const made = panel(parent, state, given);
      panels.push(made);
      return made;
    },
  };
}

/** Links say what they lead to behind their place. */
document.addEventListener("click", (event) => {
  const [place, patch] = event.target.closest?.("a[href^='#']")?.getAttribute("href").slice(1).split("~") ?? [];
  if (patch === undefined || !sections.has(place)) return;
  event.preventDefault();
  const section = [...sections.values()].find(({ el }) => el.contains(event.target));
  move(section ?? sections.get(place), JSON.parse(decodeURIComponent(patch)));
});

async function move(from, patch) {
  const to = sections.get(patch.page ?? from.state.page);
  const state = { ...changed(from.state, patch), page: to.state.page };
  const { time } = state.extra;
  const inFull = told.answers.some((one) => one.dataset === "reading" && one.params.sensor[0] === state.sensor[0] && one.params.time[0] === String(time));
  if (["location", "type"].some((name) => String(state[name]) !== String(first[name])) || (String(state.sensor) !== String(first.sensor) && !inFull)) {
    toast("Not in this report; the console has it.");
    return;
  }
  to.state = state;
  await draw(to);
  if (to !== from || time || patch.extra?.alert) to.el.scrollIntoView();
}

async function draw(section) {
  section.page?.unmount?.();
  section.panels.forEach((one) => one.dispose());
  section.panels = [];
  const { module, el } = section;
  const root = h("div", { class: "page", data: { page: section.state.page } }, h("div", { class: "page-head" }, h("h1", { text: module.title }), module.about ? h("span", { class: "about", text: module.about }) : null));
  el.replaceChildren(root);
  section.page = module.mount(root, context(section)) ?? {};
  await Promise.all([section.page.refresh?.(), ...section.panels.map((one) => one.refresh())]);
  api.stream(null, (name, data) => section.page.event?.(name, data));
}

function about() {
  const chosen = [["location", told.locations], ["type", told.types], ["sensor", told.sensors]].filter(([, some]) => some.length).map(([name, some]) => `${name} ${some.join(", ")}`);
  const day = (ms) => new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  return h("p", { class: "range" }, h("b", { text: `${day(told.from_ms)} – ${day(told.to_ms)}` }), ` (${format.duration(told.to_ms - told.from_ms)})${chosen.length ? `; ${chosen.join("; ")}` : ""}; made ${day(told.made_ms)}`);
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  for (const { panels } of sections.values()) panels.forEach((one) => one.redraw());
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });

main.replaceChildren(about());
for (const name of PAGES) {
  const module = await import(`/static/pages/${name}.js`);
  const el = h("section", { id: name, "aria-label": module.title });
  sections.set(name, { module, el, state: { ...first, page: name }, panels: [] });
  document.getElementById("nav").append(h("a", { href: `#${name}`, text: module.title }));
  main.append(el);
}
for (const section of sections.values()) await draw(section);
main.dataset.ready = "report";
