// How far sound is behind the picture, in what a WebRTC player shows of a source that flashes and beeps at the same time, each second:
// event "flash" and "beep" (ms of the page's clock), and "playout", what the browser itself believes (ms).
'use strict';
const BRIGHT = 128;
const LOUD = 0.1;
const QUIET_S = 0.3;
const PLAYOUT_MS = 250;

function watchFlashes() {
  const canvas = new OffscreenCanvas(8, 8);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  let lit = false;
  video.requestVideoFrameCallback(function look(now, data) {
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const was = lit;
    lit = bytes.reduce((sum, b, i) => (i % 4 === 1 ? sum + b : sum), 0) / (canvas.width * canvas.height) > BRIGHT;
    if (lit && !was) say('flash', {ms: data.expectedDisplayTime, rtp: data.rtpTimestamp});
    video.requestVideoFrameCallback(look);
  });
}

// Runs where sound is made: tells the time, on the context's clock, of the first loud sample after some quiet.
const LISTENER = `registerProcessor('listener', class extends AudioWorkletProcessor {
  quiet = sampleRate;
  process([[samples = []]]) {
    for (let i = 0; i < samples.length; i++) {
      const loud = Math.abs(samples[i]) > ${LOUD};
      if (loud && this.quiet > ${QUIET_S} * sampleRate) this.port.postMessage(currentTime + i / sampleRate);
      this.quiet = loud ? 0 : this.quiet + 1;
    }
    return true;
  }
})`;

async function watchSound(stream) {
  const context = new AudioContext({latencyHint: 'interactive'});
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([LISTENER], {type: 'text/javascript'})));
  const listener = new AudioWorkletNode(context, 'listener');
  listener.port.onmessage = ({data}) => {
    const {contextTime, performanceTime} = context.getOutputTimestamp();
    say('beep', {ms: performanceTime + (data - contextTime) * 1000});
  };
  setTimeout(() => say('latency', {base: context.baseLatency, output: context.outputLatency, rate: context.sampleRate}), 2000);
  context.createMediaStreamSource(stream).connect(listener).connect(context.destination);
}

// Of the last PLAYOUT_MS, in ms: what each track was held, and by how much sound is behind the picture.
async function tellPlayout(pc, before) {
  const told = {};
  const at = {};
  for (const s of (await pc.getStats()).values()) {
    if (s.type !== 'inbound-rtp') continue;
    const was = before[s.kind] || {jitterBufferDelay: 0, jitterBufferTargetDelay: 0, jitterBufferEmittedCount: 0};
    const emitted = s.jitterBufferEmittedCount - was.jitterBufferEmittedCount;
    if (emitted > 0) {
      told[`${s.kind}_held_ms`] = Math.round((s.jitterBufferDelay - was.jitterBufferDelay) / emitted * 1000);
      told[`${s.kind}_target_ms`] = Math.round((s.jitterBufferTargetDelay - was.jitterBufferTargetDelay) / emitted * 1000);
    }
    before[s.kind] = s;
    at[s.kind] = s.estimatedPlayoutTimestamp;
  }
  if (at.video && at.audio) told.sound_late_ms = at.video - at.audio;
  say('playout', told);
}

async function watchBeeps(pc, stream) {
  const before = {};
  watchFlashes();
  setInterval(() => tellPlayout(pc, before), PLAYOUT_MS);
  await watchSound(stream);
}
