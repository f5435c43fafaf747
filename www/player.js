/*
 * The player: the fastest way that works, another one when it does not, and again when it ends.
 */
import * as ways from "./ways.js";
import { Refused } from "./webrtc.js";
import { bitrate, byId, milliseconds, size, sleep, state, streamName } from "./show.js";

const ORDER = ["webrtc", "hls", "flv"];
const NAMES = { webrtc: "WebRTC", hls: "HLS", flv: "HTTP-FLV" };
const AGAIN_MS = 1000;
const SOON_MS = 500; // for all players of a node that ends its connections
const STEADY_MS = 5000; // who has played for so long asks again soon
const SHOW_MS = 1000;

const video = byId("video");
const base = new URL(".", location.href);
const wanted = new URLSearchParams(location.search).get("by");
let current = null;
let turn = new AbortController(); // aborted when the user chooses another way

function show(s) {
  byId("latency").textContent = milliseconds(s.latencyMs);
  byId("bitrate").textContent = bitrate(s.bps);
  byId("size").textContent = size(video.videoWidth, video.videoHeight);
  if (s.codec) byId("protocol").textContent = `${NAMES[current.name]} (${s.codec})`;
}

async function showStats() {
  for (;;) {
    await sleep(SHOW_MS);
    if (current) show(await current.stats().catch(() => ({})));
  }
}

/* When another way is chosen. */
function aborted(signal) {
  if (signal.aborted) return null;
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(null)));
}

/* Plays by one way until it ends or another one is chosen; true when it stopped to work. */
async function playBy(name, signal) {
  if (document.body.dataset.state !== "waiting") state("connecting", `connecting by ${NAMES[name]} …`);
  byId("protocol").textContent = "";
  const way = await ways[name](video, base, signal);
  current = { ...way, name };
  document.body.dataset.protocol = name;
  byId("protocol").textContent = NAMES[name];
  state("playing", "");
  const lost = await Promise.race([way.ended, aborted(signal)]);
  current = null;
  way.stop();
  state("ended", "");
  return lost === true;
}

/* The ways in turn, until one of them has played to the end; then how long to wait. */
async function playByAny(order, signal) {
  let why = null;
  for (const name of order) {
    const beganMs = performance.now();
    try {
      if (!(await playBy(name, signal)))
        return performance.now() - beganMs > STEADY_MS ? Math.random() * SOON_MS : AGAIN_MS;
    } catch (e) {
      if (signal.aborted) return 0;
      console.info(`sluice: ${NAMES[name]}: ${e.message}`);
      /* What the server says is worth more than what did not work. */
      if (!why || (e instanceof Refused && !(why instanceof Refused))) why = e;
      if (!(e instanceof ways.NotLive)) continue;
      state("waiting", `${streamName()} is not live; waiting for it …`);
      return Math.max(AGAIN_MS, e.retryMs);
    }
  }
  const text = why instanceof TypeError ? "the server does not answer" : why?.message;
  state("failed", `${text ?? "the connection is lost"}; trying again …`);
  return why?.retryMs || 6 * AGAIN_MS;
}

async function run() {
  for (;;) {
    const choice = byId("choice").value;
    const { signal } = turn;
    const waitMs = await playByAny(choice === "auto" ? ORDER : [choice], signal);
    await Promise.race([sleep(waitMs), aborted(signal)]);
  }
}

byId("name").textContent = document.title = streamName();
if (ORDER.includes(wanted)) byId("choice").value = wanted;
byId("choice").addEventListener("change", () => {
  turn.abort();
  turn = new AbortController();
});
byId("sound").addEventListener("click", () => (video.muted = !video.muted));
video.addEventListener("volumechange", () => {
  byId("sound").textContent = video.muted ? "Sound on" : "Sound off";
});
addEventListener("pagehide", () => current?.stop());
showStats();
run();
