// The overview: datasets and jobs, live. Everything shown is put in as text, never as HTML.

import { openVersion, setUp } from "./images.js";

const KEY = "dermsynth-key";
const FAST = 1000;
const SLOW = 5000;
const element = (id) => document.getElementById(id);
const streams = new Map();
let timer = 0;
let due = Infinity;

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw Object.assign(new Error(problem.detail || response.statusText), { status: response.status });
  }
  return response;
}

function cell(row, content, className = "") {
  const td = row.insertCell();
  td.className = className;
  td.append(content ?? "");
  return td;
}

function when(text) {
  return text ? new Date(text).toLocaleString() : "";
}

function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function bar(job) {
  const fraction = job.progress.fraction;
  if (job.status === "queued" || (job.status === "running" && fraction === 0)) {
    return job.queue_position ? `${job.queue_position} before it` : "";
  }
  const made = document.createElement("progress");
  made.max = 1;
  made.value = fraction;
  made.textContent = `${Math.round(fraction * 100)} %`;
  made.setAttribute("aria-label", `${job.kind}: ${Math.round(fraction * 100)} %`);
  return made;
}

async function download(artifact) {
  const blob = await (await call(`v1/artifacts/${artifact.id}/content`)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = artifact.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function button(text, label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => action().then(refresh, show));
  return made;
}

function results(job) {
  const made = document.createDocumentFragment();
  for (const artifact of job.artifacts) {
    made.append(button(artifact.name, `Download ${artifact.name}`, () => download(artifact)), " ");
  }
  if (job.error) made.append(`${job.error.code}: ${job.error.detail}`);
  return made;
}

function action(job) {
  if (job.links.cancel) {
    return button("Cancel", `Cancel ${job.id}`, () => call(`v1/jobs/${job.id}/cancel`, { method: "POST" }));
  }
  if (job.links.retry) {
    return button("Retry", `Retry ${job.id}`, () => call(`v1/jobs/${job.id}/retry`, { method: "POST" }));
  }
  return "";
}

function drawJobs(jobs) {
  const rows = jobs.map((job) => {
    const row = document.createElement("tr");
    const name = cell(row, job.kind);
    const id = document.createElement("small");
    id.textContent = job.id;
    name.append(document.createElement("br"), id);
    cell(row, job.status, job.status);
    cell(row, job.status === "queued" || job.status === "running" ? job.progress.phase : when(job.finished_at));
    cell(row, bar(job));
    cell(row, left(job.progress.eta_seconds));
    cell(row, results(job));
    cell(row, action(job));
    return row;
  });
  replaceRows("jobs", rows);
}

function drawDatasets(datasets) {
  const rows = datasets.map((dataset) => {
    const row = document.createElement("tr");
    cell(row, dataset.name);
    cell(row, dataset.kind);
    cell(row, String(dataset.image_count));
    cell(row, String(dataset.versions));
    cell(row, dataset.newest_version_id);
    cell(row, when(dataset.created_at));
    const open = () => openVersion(dataset.name, dataset.newest_version_id);
    cell(row, dataset.newest_version_id ? button("Images", `Images of ${dataset.name}`, open) : "");
    return row;
  });
  replaceRows("datasets", rows);
}

function replaceRows(id, rows) {
  const focus = document.activeElement?.getAttribute("aria-label");
  element(id).replaceChildren(...rows);
  element(`no-${id}`).hidden = rows.length > 0;
  if (focus && document.activeElement === document.body) {
    element(id).querySelector(`[aria-label="${CSS.escape(focus)}"]`)?.focus();
  }
}

// The newest unfinished job has an event stream; an event brings the next refresh forward. Only
// one: a browser opens six connections to a server for all of its tabs together.
async function follow(id) {
  const stop = new AbortController();
  streams.set(id, stop);
  try {
    const response = await call(`v1/jobs/${id}/events`, {
      headers: { Accept: "text/event-stream" }, signal: stop.signal,
    });
    const reader = response.body?.getReader();
    while (reader && !(await reader.read()).done) plan(200);
  } catch {
    // polling goes on without the stream
  } finally {
    streams.delete(id);
  }
}

function followUnfinished(jobs) {
  const wanted = new Set(jobs.filter((job) => job.links.cancel).slice(0, 1).map((job) => job.id));
  for (const [id, stop] of streams) if (!wanted.has(id)) stop.abort();
  for (const id of wanted) if (!streams.has(id)) follow(id);
  return wanted.size > 0;
}

function show(error) {
  element("state").textContent = error.message;
  if (error.status === 401) {
    sessionStorage.removeItem(KEY);
    element("content").hidden = true;
    element("key-form").hidden = false;
    return false;
  }
  return true;
}

// Only ever brings the next refresh forward: a steady stream of events must not put it off.
function plan(milliseconds) {
  const at = Date.now() + milliseconds;
  if (at >= due) return;
  clearTimeout(timer);
  due = at;
  timer = setTimeout(refresh, milliseconds);
}

async function refresh() {
  clearTimeout(timer);
  due = Infinity;
  try {
    const [jobs, datasets] = await Promise.all(
      ["v1/jobs?parent_id=none&limit=50", "v1/datasets?limit=50"].map(async (path) => (await call(path)).json()),
    );
    element("key-form").hidden = true;
    element("content").hidden = false;
    element("logout").hidden = Boolean(sessionStorage.getItem(KEY));
    drawJobs(jobs.items);
    drawDatasets(datasets.items);
    const busy = followUnfinished(jobs.items);
    element("state").textContent = busy ? "Working." : "Nothing is running.";
    plan(busy ? FAST : SLOW);
  } catch (error) {
    if (show(error)) plan(SLOW);
  }
}

setUp(call);
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, element("key").value.trim());
  element("key").value = "";
  refresh();
});
refresh();
