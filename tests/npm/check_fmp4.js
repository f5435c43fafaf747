// Reads fragmented MP4 with mp4box.js: node check_fmp4.js FILE.  Prints the tracks as JSON (codec, size or sound, and
// each sample's decoding and composition time, length and whether it is a sync sample); exits with 1 and the reason
// when it cannot be read.
'use strict';
const fs = require('fs');
const mp4box = require('mp4box');

const file = mp4box.createFile();
const bytes = fs.readFileSync(process.argv[2]);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const samples = {};
let info;
const fail = (why) => {
  process.stderr.write(`${why}\n`);
  process.exit(1);
};
file.onError = (module, message) => fail(`${module}: ${message}`);
file.onReady = (found) => {
  info = found;
  for (const track of info.tracks) {
    samples[track.id] = [];
    file.setExtractionOptions(track.id, null, {nbSamples: 1});
  }
  file.start();
};
file.onSamples = (id, user, list) =>
  samples[id].push(...list.map((s) => [s.dts, s.cts, s.duration, s.size, s.is_sync]));
buffer.fileStart = 0;
file.appendBuffer(buffer, true);
file.flush();
if (!info) fail('no moov');
process.stdout.write(
  JSON.stringify({
    fragmented: info.isFragmented,
    brands: info.brands,
    tracks: info.tracks.map((t) => ({
      id: t.id, codec: t.codec, timescale: t.timescale, video: t.video, audio: t.audio, samples: samples[t.id],
    })),
  }) + '\n');
