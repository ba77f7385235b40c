// In a report: api.js, answered from what lies in the file. Nothing is asked of anybody.

import { ApiError, Data } from "/static/data.js";

export { ApiError, Data };

export const told = JSON.parse(document.getElementById("told").textContent);

const OF_THE_RANGE = ["from", "to", "location", "type"];
const OF_NO_MATTER = ["most", "zone", "each_side", "format"];

export const me = async () => ({ name: "", role: "viewer", may_act: false, csrf: "", login: false });
export const post = async () => { throw new ApiError("a report can only be read", 403); };
export const logout = async () => {};

/** The first answer that agrees with all that is asked; its problem, when it has none. */
export async function get(page, dataset, params) {
  const found = answer(page, dataset, params);
  if (!found) throw new ApiError("Not in this report; the console has it.", 404);
  if (found.problem) throw new ApiError(found.problem, 422);
  return new Data(found);
}

function answer(page, dataset, params) {
  const asked = [...new Set(params.keys())].filter((name) => !OF_THE_RANGE.includes(name) && !OF_NO_MATTER.includes(name));
  return told.answers.find((one) => one.page === page && one.dataset === dataset && asked.every((name) => agree(one.params[name] ?? own(name), params.getAll(name))));
}

const own = (name) => (name === "sensor" ? told.sensors : undefined);
const agree = (given, asked) => given !== undefined && given.length === asked.length && given.every((one) => asked.includes(one));

/** The rows as CSV, made here. */
export function csvUrl(page, dataset, params) {
  const found = answer(page, dataset, params);
  if (!found?.columns) return "data:text/csv,";
  const names = Object.keys(found.columns);
  const lines = [names.map(cell).join(",")];
  for (let i = 0; i < (found.columns[names[0]]?.length ?? 0); i += 1) lines.push(names.map((name) => cell(found.columns[name][i], found.kinds[name])).join(","));
  return `data:text/csv;charset=utf-8,${encodeURIComponent(`${lines.join("\n")}\n`)}`;
}

function cell(value, kind) {
  if (value === null || value === undefined) return "";
  const text = kind === "time" ? new Date(value).toISOString() : typeof value === "object" ? JSON.stringify(value) : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The numbers of the end of the range, once. */
export function stream(params, on) {
  queueMicrotask(() => on("numbers", told.numbers));
  return () => {};
}
