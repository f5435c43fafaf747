/* Nodes, streams and viewers of the cluster, as the API has them. */
import { byId, sleep, state } from "./show.js";

const AGAIN_MS = 2000;

const get = async (path) => {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response.json();
};

function cell(content, number = false) {
  const td = document.createElement("td");
  if (number) td.className = "number";
  td.append(content);
  return td;
}

function link(href, text) {
  const a = document.createElement("a");
  a.href = href;
  a.textContent = text;
  return a;
}

function row(...cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}

function nothing(columns) {
  const td = cell("none");
  td.colSpan = columns;
  td.className = "quiet";
  return row(td);
}

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

const nodeRow = (n) => row(cell(n.id), cell(n.role), cell(n.state), cell(n.http ?? ""),
  cell(String(n.streams), true), cell(String(n.viewers), true));

const streamRow = (s) => row(
  cell(link(`${s.name}/`, s.name)), cell(s.owner ?? ""),
  cell((s.tracks ?? []).map((t) => t.codec).join(", ")),
  cell(String(Math.round((s.bitrate_bps ?? 0) / 1000)), true),
  ...["rtmp", "flv", "hls", "whep"].map((k) => cell(String(s.viewers?.[k] ?? 0), true)),
  cell(age(s.age_ms ?? 0), true));

async function refresh() {
  const [{ nodes }, found] = await Promise.all([
    get("api/v1/nodes"), get("api/v1/streams?scope=cluster")]);
  byId("nodes").replaceChildren(...(nodes.length ? nodes.map(nodeRow) : [nothing(6)]));
  byId("streams").replaceChildren(
    ...(found.streams.length ? found.streams.map(streamRow) : [nothing(9)]));
  state("shown", found.partial ? `not all nodes have answered: ${found.missing.join(", ")}` : "");
}

async function run() {
  const node = await get("api/v1/node").catch(() => null);
  if (node) byId("version").textContent = `${node.version}, node ${node.id}`;
  for (;;) {
    await refresh().catch((e) => state("failed", e.message));
    await sleep(AGAIN_MS);
    while (document.hidden) await sleep(AGAIN_MS);
  }
}

byId("go").addEventListener("submit", (e) => {
  e.preventDefault();
  location.href = `${byId("stream").value}/publish`;
});
run();
