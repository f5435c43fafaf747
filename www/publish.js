/*
 * The publisher: camera or screen to the server by WHIP, again when the connection is lost.
 */
import { Refused, Session, connected, lost, statsOf } from "./webrtc.js";
import { Rate, bitrate, byId, milliseconds, size, sleep, state, streamName } from "./show.js";

const CONNECT_MS = 8000;
const AGAIN_MS = 1500;
const SHOW_MS = 1000;

const endpoint = new URL("whip", location.href);
let live = null; // { stop } while publishing

const REASONS = {
  NotFoundError: "there is neither a camera nor a microphone",
  NotAllowedError: "the browser was not allowed to use the source: see the symbol beside its address",
  NotReadableError: "another program has the camera",
};

function camera(video, audio) {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  return navigator.mediaDevices.getUserMedia({ video: video && size, audio });
}

async function capture() {
  if (!navigator.mediaDevices)
    throw new Error("the browser gives a camera only to pages of HTTPS or of localhost");
  if (byId("source").value === "screen")
    return navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
  return camera(true, true)
    .catch((e) => (e.name === "NotFoundError" ? camera(true, false) : Promise.reject(e)))
    .catch((e) => (e.name === "NotFoundError" ? camera(false, true) : Promise.reject(e)));
}

async function limit(sender) {
  const kbps = Number(byId("limit").value);
  if (!(kbps > 0)) return;
  const parameters = sender.getParameters();
  for (const e of parameters.encodings) e.maxBitrate = kbps * 1000;
  await sender.setParameters(parameters).catch(() => {});
}

async function showStats(pc, rate) {
  const s = await statsOf(pc);
  const v = s["outbound-rtp-video"];
  const a = s["outbound-rtp-audio"];
  byId("codec-now").textContent = [s.codec(v), s.codec(a)].filter(Boolean).join(", ");
  byId("size").textContent = size(v?.frameWidth, v?.frameHeight);
  byId("bitrate").textContent = bitrate(rate.add((v?.bytesSent ?? 0) + (a?.bytesSent ?? 0)));
  byId("latency").textContent = milliseconds((s.pair?.currentRoundTripTime ?? NaN) * 1000);
}

/* One connection, until it is lost or `over` settles. */
async function publishOnce(media, over) {
  const pc = new RTCPeerConnection();
  const session = new Session(byId("token").value);
  const rate = new Rate();
  let timer = 0;
  try {
    const url = new URL(endpoint);
    if (byId("codec").value) url.searchParams.set("video", byId("codec").value);
    for (const track of media.getTracks())
      pc.addTransceiver(track, { direction: "sendonly", streams: [media] });
    await session.open(pc, url);
    await connected(pc, CONNECT_MS);
    for (const sender of pc.getSenders()) if (sender.track?.kind === "video") await limit(sender);
    state("live", `${streamName()} is live`);
    timer = setInterval(() => showStats(pc, rate).catch(() => {}), SHOW_MS);
    await Promise.race([lost(pc, session), over]);
  } finally {
    clearInterval(timer);
    session.close();
    pc.close();
  }
}

async function publish() {
  let stop;
  const over = new Promise((resolve) => (stop = resolve));
  let ended = false;
  over.then(() => (ended = true));
  live = { stop };
  byId("button").textContent = "Stop";
  let media;
  try {
    media = await capture();
    byId("video").srcObject = media;
    for (const track of media.getTracks()) track.addEventListener("ended", stop);
    while (!ended) {
      state("connecting", "connecting …");
      try {
        await publishOnce(media, over);
      } catch (e) {
        if (e instanceof Refused && !e.retryMs && e.status < 500) throw e;
        const text = e instanceof TypeError ? "the server does not answer" : e.message;
        state("connecting", `${text}; trying again …`);
      }
      if (!ended) await Promise.race([sleep(AGAIN_MS), over]);
    }
    state("ended", "");
  } catch (e) {
    state("failed", REASONS[e.name] ?? e.message);
  } finally {
    for (const track of media?.getTracks() ?? []) track.stop();
    byId("video").srcObject = null;
    byId("button").textContent = "Publish";
    live = null;
  }
}

byId("name").textContent = document.title = `Publish ${streamName()}`;
const query = new URLSearchParams(location.search);
byId("token").value = query.get("token") ?? sessionStorage.getItem("token") ?? "";
/* A key does not stay where it is seen and kept. */
if (query.has("token")) {
  sessionStorage.setItem("token", byId("token").value);
  history.replaceState(null, "", location.pathname);
}
byId("token").addEventListener("change", () => sessionStorage.setItem("token", byId("token").value));
byId("button").addEventListener("click", () => (live ? live.stop() : publish()));
addEventListener("pagehide", () => live?.stop());
state("ready", "");
