// Plays what the address of the page names (?kind=hls.js|shaka|native|whep|whip&url=…&options=JSON) and tells everything that
// happens to tell(), a function that play.js puts here.
'use strict';
const words = new URLSearchParams(location.search);
const kind = words.get('kind');
const url = words.get('url');
const options = JSON.parse(words.get('options') || '{}');
const video = document.getElementById('video');
const LOOK_MS = 100;
const SAMPLE_MS = 1000;
const FREEZE_MS = 250;

const counts = {frames: 0, fragments: 0, parts: 0, playlists: 0, waiting: 0, errors: 0};
let nowOf = () => null; // wall clock of what is shown, ms
let toldLatency = () => null;

function say(event, more) {
  window.tell({event, at_ms: Math.round(performance.now()), ...more});
}

function fail(what, fatal) {
  counts.errors++;
  say('error', {...what, fatal, at_s: video.currentTime});
}

const buffered = () => {
  const b = video.buffered;
  return b.length ? b.end(b.length - 1) - video.currentTime : 0;
};

// --- what the picture does ---

let first = null;
video.requestVideoFrameCallback(function frame(now, data) {
  counts.frames++;
  if (first === null) {
    first = performance.now();
    say('first', {ms: Math.round(first), media_s: data.mediaTime});
  }
  video.requestVideoFrameCallback(frame);
});
for (const name of ['playing', 'waiting', 'stalled', 'seeking', 'ended', 'pause', 'ratechange'])
  video.addEventListener(name, () => {
    if (name === 'waiting' && first !== null && !video.ended) counts.waiting++;
    say(name, {at_s: video.currentTime, rate: video.playbackRate, buffered_s: buffered()});
  });
video.addEventListener('error', () => fail({type: 'media', details: video.error && video.error.message}, true));
addEventListener('error', (e) => fail({type: 'script', details: String(e.message)}, true));
addEventListener('unhandledrejection', (e) => fail({type: 'script', details: String(e.reason)}, true));

// A freeze is when the clock of the media stands while it should run; its length is told when it is over. Time in which nobody
// could look, as the machine was busy, is none.
let last = {time: 0, at: performance.now(), stood: 0};
let sampled = 0;
setInterval(() => {
  const now = performance.now();
  if (first === null || video.currentTime !== last.time || video.ended) {
    if (first !== null && last.stood > FREEZE_MS) say('stood', {ms: Math.round(last.stood), at_s: last.time, jump_s: video.currentTime - last.time});
    last = {time: video.currentTime, at: now, stood: 0};
  } else {
    last.stood = now - last.at;
  }
  if (now - sampled < SAMPLE_MS) return;
  sampled = now;
  const shown = nowOf();
  const quality = video.getVideoPlaybackQuality();
  say('sample', {time_s: video.currentTime, buffered_s: buffered(), rate: video.playbackRate,
    wall_ms: shown === null ? null : Math.round(Date.now() - shown), latency_s: toldLatency(), decoded: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
    ...counts});
}, LOOK_MS);

// --- players ---

const players = {
  'hls.js'() {
    const hls = new Hls({lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.5, ...options});
    hls.on(Hls.Events.ERROR, (_, d) => fail({type: d.type, details: d.details, reason: String(d.reason || (d.error && d.error.message) || ''),
      url: (d.frag && d.frag.url) || d.url, code: d.response && d.response.code}, d.fatal));
    hls.on(Hls.Events.FRAG_LOADED, (_, d) => { counts.fragments++; if (d.part) counts.parts++; });
    hls.on(Hls.Events.LEVEL_LOADED, () => counts.playlists++);
    hls.on(Hls.Events.MANIFEST_PARSED, (_, d) => say('manifest', {levels: d.levels.length, codecs: d.levels.map((l) => l.attrs.CODECS)}));
    hls.on(Hls.Events.LEVEL_SWITCHED, (_, d) => say('level', {level: d.level}));
    // When a node died, numbers jump, and hls.js 1.7 waits in front of the new window for ever: it leaves its place only for a fragment
    // of the old one.
    hls.on(Hls.Events.LEVEL_UPDATED, (_, d) => {
      if (first === null || video.readyState > 2 || video.currentTime >= d.details.fragmentStart || hls.liveSyncPosition === null) return;
      say('moved', {from_s: video.currentTime, to_s: hls.liveSyncPosition});
      video.currentTime = hls.liveSyncPosition;
    });
    hls.loadSource(url);
    hls.attachMedia(video);
    nowOf = () => (hls.playingDate ? hls.playingDate.getTime() : null);
    toldLatency = () => hls.latency;
    // Not before: it would take the way to the live edge for a hole.
    return new Promise((done) => video.addEventListener('canplay', done, {once: true})).then(() => video.play());
  },
  async shaka() {
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    player.addEventListener('error', (e) => fail({type: `shaka ${e.detail.category}`, details: String(e.detail.code), reason: e.detail.message}, e.detail.severity === 2));
    player.addEventListener('buffering', (e) => say('buffering', {on: e.buffering}));
    player.configure({streaming: {lowLatencyMode: true}, ...options});
    await player.attach(video);
    nowOf = () => { const d = player.getPlayheadTimeAsDate(); return d ? d.getTime() : null; };
    toldLatency = () => player.getStats().liveLatency;
    await player.load(url);
    return video.play();
  },
  native() {
    video.src = url;
    nowOf = () => { const d = video.getStartDate && video.getStartDate(); return d && !isNaN(d) ? d.getTime() + video.currentTime * 1000 : null; };
    return video.play();
  },
};
addEventListener('load', () => Promise.resolve(players[kind]()).catch((e) => { if (e.name !== 'AbortError') fail({type: 'play', details: String(e.stack || e)}, true); }));
