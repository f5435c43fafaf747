/*
 * The ways to play a stream.  Each is begun with a video element and shows its first picture before
 * it resolves to { ended, stats(), stop() }; what it throws says whether another way may do better.
 */
import { Refused, Session, connected, lost, refusal, statsOf } from "./webrtc.js";
import { Rate, sleep } from "./show.js";

const FIRST_PICTURE_MS = 8000;
const CONNECT_MS = 5000;
const LATE_S = 10; // further behind, HLS jumps to the live edge

/** Not there yet: the same way again, later. */
export class NotLive extends Error {
  constructor(retryMs) {
    super("nobody is publishing");
    this.retryMs = retryMs || 2000;
  }
}

const notLive = (status) => status === 404 || status === 409;

/* A refusal as what it means to a player. */
const meaning = (e) =>
  e instanceof Refused && notLive(e.status) && e.code !== "unsupported" ? new NotLive(e.retryMs) : e;

function load(url) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(url, import.meta.url);
    script.onload = resolve;
    script.onerror = () => reject(new Error(`this server was built without ${url}`));
    document.head.append(script);
  });
}

/** Resolves when the element plays on; rejects after a while, or with what `failed` rejects. */
async function firstPicture(video, failed) {
  const start = video.currentTime;
  video.play().catch(() => {});
  const seen = (async () => {
    const untilMs = performance.now() + FIRST_PICTURE_MS;
    while (!(video.readyState >= 2 && video.currentTime > start)) {
      if (performance.now() > untilMs) throw new Error("no picture in time");
      await sleep(20);
    }
  })();
  await Promise.race([seen, failed]);
}

/* A promise that others settle. */
function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  d.promise.catch(() => {});
  return d;
}

export async function webrtc(video, base, signal) {
  const pc = new RTCPeerConnection();
  const session = new Session();
  const rate = new Rate();
  let delay = [0, 0];
  let gone;
  const stop = () => {
    session.close();
    pc.close();
    video.srcObject = null;
  };
  try {
    const stream = new MediaStream();
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    pc.ontrack = (e) => stream.addTrack(e.track);
    await session.open(pc, new URL("whep", base), signal).catch((e) => {
      throw meaning(e);
    });
    video.srcObject = stream;
    await connected(pc, CONNECT_MS);
    gone = lost(pc, session);
    await firstPicture(video, gone.then(() => Promise.reject(new Error("the connection is lost"))));
  } catch (e) {
    stop();
    throw e;
  }
  return {
    ended: gone,
    stop,
    async stats() {
      const s = await statsOf(pc);
      const v = s["inbound-rtp-video"];
      const a = s["inbound-rtp-audio"];
      const r = v ?? a;
      const [was, emitted] = delay;
      delay = [r?.jitterBufferDelay ?? 0, r?.jitterBufferEmittedCount ?? 0];
      const buffered = (delay[0] - was) / (delay[1] - emitted);
      return {
        latencyMs: ((s.pair?.currentRoundTripTime ?? 0) / 2 + buffered) * 1000,
        bps: rate.add((v?.bytesReceived ?? 0) + (a?.bytesReceived ?? 0)),
        codec: [s.codec(v), s.codec(a)].filter(Boolean).join(", "),
      };
    },
  };
}

function nativeHls(video, url) {
  const ended = deferred();
  video.src = url;
  video.onerror = () => ended.reject(new Error("HLS is not played here"));
  video.onended = () => ended.resolve();
  return {
    ended,
    stop() {
      video.onerror = video.onended = null;
      video.removeAttribute("src");
      video.load();
    },
    stats: async () => ({}),
  };
}

function hlsJs(video, url) {
  const { Hls } = window;
  const ended = deferred();
  const player = new Hls({
    lowLatencyMode: true,
    maxLiveSyncPlaybackRate: 1.5, // back to the live edge after a stall
    backBufferLength: 10,
  });
  const rate = new Rate();
  let bytes = 0;
  player.on(Hls.Events.LEVEL_UPDATED, () => {
    const edge = player.liveSyncPosition;
    if (player.latency > LATE_S && edge !== null && edge > video.currentTime) video.currentTime = edge;
  });
  player.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    ended.reject(notLive(data.response?.code) ? new NotLive() : new Error(data.details));
  });
  player.on(Hls.Events.FRAG_LOADED, (_, data) => {
    bytes += (data.part ?? data.frag).stats.total;
  });
  player.on(Hls.Events.BUFFER_EOS, () => ended.resolve());
  player.loadSource(url);
  player.attachMedia(video);
  return {
    ended,
    stop: () => player.destroy(),
    stats: async () => ({ latencyMs: player.latency * 1000, bps: rate.add(bytes) }),
  };
}

export async function hls(video, base) {
  const url = new URL("index.m3u8", base).href;
  if (!window.Hls) await load("hls.min.js").catch(() => {});
  if (!window.Hls?.isSupported() && !video.canPlayType("application/vnd.apple.mpegurl"))
    throw new Error("HLS is not played here");
  const look = await fetch(url);
  if (!look.ok) throw meaning(await refusal(look));
  const way = window.Hls?.isSupported() ? hlsJs(video, url) : nativeHls(video, url);
  try {
    await firstPicture(video, way.ended.promise.then(() => Promise.reject(new Error("ended"))));
  } catch (e) {
    way.stop();
    throw e;
  }
  return { ended: way.ended.promise.catch(() => {}), stop: way.stop, stats: way.stats };
}

export async function flv(video, base) {
  if (!window.mpegts) await load("mpegts.js");
  const { mpegts } = window;
  if (!mpegts.getFeatureList().mseLivePlayback) throw new Error("FLV is not played here");
  const ended = deferred();
  const url = new URL(base.href.replace(/\/$/, ".flv"));
  const player = mpegts.createPlayer({ type: "flv", isLive: true, url: url.href },
    { liveBufferLatencyChasing: true, autoCleanupSourceBuffer: true });
  const stop = () => player.destroy();
  let kilobytesPerSecond = 0;
  mpegts.LoggingControl.enableAll = false;
  player.on(mpegts.Events.STATISTICS_INFO, (info) => (kilobytesPerSecond = info.speed));
  player.on(mpegts.Events.LOADING_COMPLETE, () => ended.resolve());
  player.on(mpegts.Events.ERROR, (_, detail, info) =>
    ended.reject(notLive(info?.code) ? new NotLive() : new Error(info?.code > 0 ? `HTTP ${info.code}` : detail)));
  player.attachMediaElement(video);
  player.load();
  try {
    await firstPicture(video, ended.promise.then(() => Promise.reject(new Error("ended"))));
  } catch (e) {
    stop();
    throw e;
  }
  return {
    ended: ended.promise.catch(() => {}),
    stop,
    async stats() {
      const b = video.buffered;
      const ahead = b.length > 0 ? b.end(b.length - 1) - video.currentTime : NaN;
      return { latencyMs: ahead * 1000, bps: kilobytesPerSecond * 8192 };
    },
  };
}
