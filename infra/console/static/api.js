// Asking the console's server.

import { ApiError, Data } from "/static/data.js";

export { ApiError, Data };

let csrf = "";

async function fetched(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the console's server does not answer", 0);
  }
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.hash)}`);
    return new Promise(() => {});
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new ApiError(told.error || `answered with HTTP status ${answer.status}`, answer.status);
  }
  return answer.json();
}

/** Who looks: {name, role, may_act, csrf, login}; login: whether there is one. */
export async function me() {
  const told = await fetched("/api/me");
  csrf = told.csrf || "";
  return told;
}

/** Rows of a dataset: {columns, kinds, about, length, rows()}. params: URLSearchParams. */
export async function get(page, dataset, params, signal) {
  const told = await fetched(`/api/${page}/${dataset}?${params}`, { signal });
  return new Data(told);
}

/** Where the same rows are as CSV. */
export function csvUrl(page, dataset, params) {
  const query = new URLSearchParams(params);
  query.set("format", "csv");
  return `/api/${page}/${dataset}?${query}`;
}

/** Do something: acknowledge, silence. */
export function post(page, deed, body) {
  return fetched(`/api/${page}/${deed}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify(body),
  });
}

/** End this session. */
export async function logout() {
  await fetch("/logout", { method: "POST", headers: { "x-csrf-token": csrf } });
  location.assign("/login");
}

/** Server-sent events; `on(name, data)` is told of numbers, anomalies, trouble, and "up" or "down". Returns a closer. */
export function stream(params, on) {
  const source = new EventSource(`/api/stream?${params}`);
  source.onopen = () => on("up");
  source.onerror = () => on("down");
  for (const name of ["numbers", "anomalies", "trouble"]) {
    source.addEventListener(name, (event) => on(name, JSON.parse(event.data)));
  }
  return () => source.close();
}
