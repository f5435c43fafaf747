// node peer_werift.js play|publish URL: werift as a WHEP player, or as a WHIP publisher of what ffmpeg encodes. Writes what it
// has as lines of JSON; ends when its standard input does.
'use strict';
const dgram = require('dgram');
const path = require('path');
const {spawn} = require('child_process');

const {MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters, RtpPacket} =
  require(path.join(__dirname, '..', 'npm', 'node_modules', 'werift'));
const [what, url] = process.argv.slice(2);
const TELL_MS = 200;
const H264 = new RTCRtpCodecParameters({mimeType: 'video/h264', clockRate: 90000,
  rtcpFeedback: [{type: 'nack'}, {type: 'nack', parameter: 'pli'}],
  parameters: 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1'});
const OPUS = new RTCRtpCodecParameters({mimeType: 'audio/opus', clockRate: 48000, channels: 2});
const SOURCES = {
  video: ['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency',
    '-profile:v', 'baseline', '-pix_fmt', 'yuv420p', '-g', '25', '-threads', '1', '-payload_type', '96'],
  audio: ['-f', 'lavfi', '-i', 'sine=f=440:r=48000', '-ac', '2', '-c:a', 'libopus', '-payload_type', '97'],
};

const counts = {};
const count = (track) => track.onReceiveRtp.subscribe(() => (counts[track.kind] = (counts[track.kind] || 0) + 1));

// One track out of ffmpeg's RTP.
async function encoded(kind, ended) {
  const track = new MediaStreamTrack({kind});
  const socket = dgram.createSocket('udp4');
  await new Promise((done) => socket.bind(0, '127.0.0.1', done));
  const ffmpeg = spawn('ffmpeg', ['-nostdin', '-v', 'error', '-re', ...SOURCES[kind], '-f', 'rtp',
    `rtp://127.0.0.1:${socket.address().port}?pkt_size=1100`], {stdio: ['ignore', 'ignore', 'inherit']});
  socket.on('message', (bytes) => {
    if (bytes[1] >= 192 && bytes[1] < 224) return; // RTCP
    track.writeRtp(RtpPacket.deSerialize(bytes));
    counts[kind] = (counts[kind] || 0) + 1;
  });
  ended.push(() => { ffmpeg.kill(); socket.close(); });
  return track;
}

async function main() {
  const over = new Promise((done) => process.stdin.on('end', done).resume());
  const pc = new RTCPeerConnection({iceServers: [], codecs: {video: [H264], audio: [OPUS]}});
  const ended = [];
  for (const kind of ['video', 'audio']) {
    if (what === 'play')
      pc.addTransceiver(kind, {direction: 'recvonly'}).onTrack.subscribe(count);
    else
      pc.addTransceiver(await encoded(kind, ended), {direction: 'sendonly'});
  }
  await pc.setLocalDescription(await pc.createOffer());
  const response = await fetch(url, {method: 'POST', body: pc.localDescription.sdp, headers: {'Content-Type': 'application/sdp'}});
  const answer = await response.text();
  if (response.status !== 201) throw new Error(`${response.status}: ${answer}`);
  await pc.setRemoteDescription({type: 'answer', sdp: answer});
  const timer = setInterval(() => console.log(JSON.stringify({event: 'peer', state: pc.connectionState, ...counts})), TELL_MS);
  await over;
  clearInterval(timer);
  for (const end of ended) end();
  await fetch(new URL(response.headers.get('location'), url), {method: 'DELETE'});
  await pc.close();
}

main().catch((e) => console.log(JSON.stringify({event: 'error', details: String(e.stack)}))).finally(() => process.exit());
