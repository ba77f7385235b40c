// Time range and filters; all of them live in the address.

import { get } from "/static/api.js";
import { RANGES, bounds, changed, go, isLive, query, read } from "/static/state.js";
import { h, segmented, select } from "/static/ui.js";

let places = null;

/** Draw the controls for a state. */
export async function draw(el) {
  const focused = document.activeElement?.closest?.("#controls") ? document.activeElement.getAttribute("name") : null;
  if (!places) {
    places = await get("options", "places", new URLSearchParams({ from: "now-7d", to: "now" })).then((d) => d.rows(), () => null);
  }
  const state = read();
  const rows = places ?? [];
  const set = (patch) => go(changed(read(), patch));
  const names = (column) => [...new Set([...rows.map((r) => r[column]), ...state[column === "location" ? "location" : "type"]])].filter(Boolean).sort();
  const choice = (label, key, column) => select({ label, name: key, options: [["", `All ${label.toLowerCase()}s`], ...names(column).map((n) => [n, n]), ...(state[key].length > 1 ? [["*", `${state[key].length} chosen`]] : [])], value: state[key].length > 1 ? "*" : state[key][0] ?? "", onchange: (v) => v !== "*" && set({ [key]: v ? [v] : [] }) });
  const preset = RANGES.find(([v]) => state.from === `now-${v}` && isLive(state));
  el.replaceChildren(...[
    segmented({ label: "Time range", options: RANGES, value: preset?.[0], onchange: (v) => set({ from: `now-${v}`, to: "now" }) }),
    custom(state, set, !preset),
    h("button", { type: "button", name: "live", "aria-pressed": String(isLive(state)), title: isLive(state) ? "Stop: keep looking at this moment" : "Follow what comes in", onclick: () => set(isLive(state) ? frozen(state) : { from: preset ? state.from : "now-15m", to: "now" }) }, isLive(state) ? "❚❚ Pause" : "▶ Live"),
    h("span", { class: "spring" }),
    choice("Location", "location", "location"),
    choice("Type", "type", "sensor_type"),
    sensorField(state, set),
    state.location.length + state.type.length + state.sensor.length ? h("button", { type: "button", name: "clear", class: "quiet", text: "Clear", onclick: () => set({ location: [], type: [], sensor: [] }) }) : null,
  ].filter(Boolean));
  if (focused) el.querySelector(`[name="${focused}"]`)?.focus();
}

function frozen(state) {
  const [from, to] = bounds(state).map((ms) => String(Math.round(ms / 1_000) * 1_000));
  return { from, to };
}

function custom(state, set, on) {
  const [from, to] = bounds(state);
  const field = (name, ms) => h("input", { type: "datetime-local", name, step: "1", value: local(ms), required: true });
  const form = h("form", { onsubmit: (e) => { e.preventDefault(); const given = new FormData(form); const [a, b] = ["from", "to"].map((n) => Date.parse(given.get(n))); if (a < b) set({ from: String(a), to: String(b) }); } },
    h("label", { class: "field" }, "From ", field("from", from)), h("label", { class: "field" }, "To ", field("to", to)), h("button", { class: "primary", text: "Show" }));
  return h("details", { class: "custom", data: on ? { on: "yes" } : {} }, h("summary", { text: on ? `${short(from)} – ${isLive(state) ? "now" : short(to).slice(short(from).slice(0, 5) === short(to).slice(0, 5) ? 6 : 0)}` : "From – to" }), form);
}

const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
const short = (ms) => local(ms).slice(5, 16).replace("T", " ");

/** A field that suggests sensors; there may be ten thousand, so the server looks for them. */
function sensorField(state, set) {
  const list = h("datalist", { id: "sensors" });
  let asked = 0;
  const suggest = async (text) => {
    const mine = ++asked;
    const told = await get("options", "sensors", query(state, { from: "now-24h", to: "now", sensor: [], search: text })).catch(() => null);
    if (told && mine === asked) list.replaceChildren(...told.columns.sensor_id.map((id) => h("option", { value: id })));
  };
  const chosen = state.sensor.length > 1 ? `${state.sensor.length} chosen` : state.sensor[0] ?? "";
  const input = h("input", { type: "search", name: "sensor", list: "sensors", placeholder: "All sensors", value: chosen, autocomplete: "off", spellcheck: "false",
    onfocus: () => list.childElementCount || suggest(""), oninput: () => suggest(input.value), onchange: () => input.value !== chosen && set({ sensor: input.value.trim() ? [input.value.trim()] : [] }) });
  return h("label", { class: "field" }, h("span", { text: "Sensor" }), input, list);
}
