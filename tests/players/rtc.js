// WebRTC in the page: what WHEP plays and WHIP publishes. Options: tcp (no candidate but TCP ones), video, audio (false: none), beeps
// (of a player: looks for flashes and beeps, beeps.js), and, of a publisher, codec ("H264" …: the only one offered), width, height, rate.
'use strict';
const TOLD_MS = 500;

function rtcCodecs(transceiver, name) {
  const all = RTCRtpSender.getCapabilities('video').codecs;
  transceiver.setCodecPreferences(all.filter((c) => c.mimeType === `video/${name}` || /rtx/.test(c.mimeType)));
}

async function rtcTell(pc) {
  const told = {state: pc.connectionState, streams: []};
  const stats = await pc.getStats();
  for (const s of stats.values()) {
    if (s.type === 'transport') Object.assign(told, {dtls: s.dtlsState, srtp: s.srtpCipher, bytes_in: s.bytesReceived, bytes_out: s.bytesSent});
    if (s.type === 'candidate-pair' && s.nominated) Object.assign(told, {rtt_s: s.currentRoundTripTime, available_bps: s.availableOutgoingBitrate,
      protocol: (stats.get(s.remoteCandidateId) || {}).protocol});
    if (s.type === 'inbound-rtp') told.streams.push({kind: s.kind, packets: s.packetsReceived, lost: s.packetsLost, nacks: s.nackCount, plis: s.pliCount,
      frames: s.framesDecoded, dropped: s.framesDropped, freezes: s.freezeCount, frozen_s: s.totalFreezesDuration, buffered_s: s.jitterBufferDelay, emitted: s.jitterBufferEmittedCount,
      bytes: s.bytesReceived, fps: s.framesPerSecond, jitter_s: s.jitter, codec: (stats.get(s.codecId) || {}).mimeType,
      retransmitted: s.retransmittedPacketsReceived || 0, samples: s.totalSamplesReceived, concealed: s.concealedSamples, width: s.frameWidth, height: s.frameHeight});
    if (s.type === 'outbound-rtp') told.streams.push({kind: s.kind, packets: s.packetsSent, frames: s.framesEncoded, nacks: s.nackCount, plis: s.pliCount,
      bytes: s.bytesSent, fps: s.framesPerSecond, retransmitted: s.retransmittedPacketsSent, limited: s.qualityLimitationReason, codec: (stats.get(s.codecId) || {}).mimeType, target_bps: s.targetBitrate, width: s.frameWidth, height: s.frameHeight});
    if (s.type === 'remote-outbound-rtp') told.streams.push({kind: `remote ${s.kind}`, rtt_s: s.roundTripTime, rtts: s.roundTripTimeMeasurements});
    if (s.type === 'remote-inbound-rtp') told.streams.push({kind: `remote ${s.kind}`, lost: s.packetsLost, fraction_lost: s.fractionLost, rtt_s: s.roundTripTime});
  }
  say('rtc', told);
}

async function rtcExchange(pc) {
  const began = performance.now();
  pc.addEventListener('connectionstatechange', () => say('state', {state: pc.connectionState, ms: Math.round(performance.now() - began)}));
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp', ...options.headers}, body: pc.localDescription.sdp});
  const text = await answer.text();
  say('answer', {status: answer.status, location: answer.headers.get('Location'), etag: answer.headers.get('ETag'), sdp: text});
  if (answer.status !== 201) return fail({type: 'answer', details: `${answer.status} ${text}`}, true);
  const sdp = options.tcp ? text.replace(/a=candidate:.* udp .*\r\n/g, '') : text;
  await pc.setRemoteDescription({type: 'answer', sdp});
  const {transport} = pc.getReceivers()[0] || pc.getSenders()[0];
  transport.addEventListener('statechange', () => say('dtls', {state: transport.state, ms: Math.round(performance.now() - began)}));
  setInterval(() => rtcTell(pc), TOLD_MS);
}

players.whep = async () => {
  const pc = window.pc = new RTCPeerConnection();
  const stream = new MediaStream();
  for (const kind of ['video', 'audio'])
    if (options[kind] !== false) stream.addTrack(pc.addTransceiver(kind, {direction: 'recvonly'}).receiver.track);
  video.srcObject = stream;
  video.play().catch(() => {});
  if (options.beeps) watchBeeps(pc, stream).catch((e) => fail({type: 'beeps', details: String(e.stack || e)}, true));
  await rtcExchange(pc);
};

players.whip = async () => {
  const {width = 640, height = 480, rate = 30} = options;
  const stream = await navigator.mediaDevices.getUserMedia({video: options.video !== false && {width, height, frameRate: rate}, audio: options.audio !== false});
  const pc = window.pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const t = pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
    if (track.kind === 'video' && options.codec) rtcCodecs(t, options.codec);
  }
  await rtcExchange(pc);
};
