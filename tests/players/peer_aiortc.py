"""peer_aiortc.py play|watch|publish|publish-passive URL: aiortc as a WHEP player or a WHIP publisher; passive: it waits for our DTLS
handshake, as ffmpeg does; play-passive likewise. One that watches tells when, by the sender's reports, a source that flashes and
beeps did it. Writes what it has as lines of JSON; ends when its standard input does."""
import asyncio
import json
import sys
import urllib.request
from urllib.parse import urljoin

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RTCRtpReceiver, TimestampMapper
from aiortc.rtp import RtcpSrPacket

BRIGHT = 128
LOUD = 0.1 * 32768
QUIET_S = 0.3
RATES = {"video": 90000, "audio": 48000}


def tell(**what):
    print(json.dumps(what), flush=True)


def request(method, url, body=None):
    asked = urllib.request.Request(url, method=method, data=body, headers={"Content-Type": "application/sdp"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.headers.get("Location"), answer.read().decode()


async def count(track, counts):
    try:
        while True:
            frame = await track.recv()
            counts[track.kind] = counts.get(track.kind, 0) + 1
            if track.kind == "video":
                counts["size"] = [frame.width, frame.height]
    except MediaStreamError:
        pass


class Watcher:
    """Timestamps of flashes and beeps, and what reports say of them."""

    def __init__(self):
        self.reports, self.seen, self.lit, self.quiet_from = {}, {"video": [], "audio": []}, False, None
        handle, watcher = RTCRtpReceiver._handle_rtcp_packet, self

        async def handle_rtcp(receiver, packet):
            if isinstance(packet, RtcpSrPacket):
                watcher.reports[receiver.track.kind] = packet.sender_info
            await handle(receiver, packet)

        RTCRtpReceiver._handle_rtcp_packet = handle_rtcp
        # Frames keep their RTP timestamps.
        TimestampMapper.map = lambda _, timestamp: timestamp

    def take(self, kind, frame):
        if kind == "video":
            lit = frame.reformat(width=16, height=16, format="gray").to_ndarray().mean() > BRIGHT
            if lit and not self.lit:
                self.seen[kind].append(frame.pts)
            self.lit = lit
        else:
            self.listen(frame)
        self.tell(kind)

    def listen(self, frame):
        samples = abs(frame.to_ndarray().reshape(-1)[::len(frame.layout.channels)].astype(int))
        loud = [int(i) for i in (samples > LOUD).nonzero()[0]]
        if self.quiet_from is None:
            self.quiet_from = frame.pts
        if loud and frame.pts + loud[0] - self.quiet_from > QUIET_S * RATES["audio"]:
            self.seen["audio"].append(frame.pts + loud[0])
        if loud:
            self.quiet_from = frame.pts + loud[-1]

    def tell(self, kind):
        report = self.reports.get(kind)
        while report and self.seen[kind]:
            ticks = (self.seen[kind].pop(0) - report.rtp_timestamp + 2**31) % 2**32 - 2**31
            tell(event="flash" if kind == "video" else "beep", ms=report.ntp_timestamp / 2**32 * 1000 + ticks * 1000 / RATES[kind])


async def watch(track, watcher):
    try:
        while True:
            watcher.take(track.kind, await track.recv())
    except MediaStreamError:
        pass


async def main(what, url):
    pc, counts, tasks = RTCPeerConnection(), {}, []
    what, _, setup = what.partition("-")
    watcher = Watcher() if what == "watch" else None
    if what in ("play", "watch"):
        pc.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track, watcher) if watcher else count(track, counts))))
        pc.addTransceiver("video", "recvonly")
        pc.addTransceiver("audio", "recvonly")
    else:
        pc.addTrack(MediaPlayer("testsrc2=size=320x180:rate=20", format="lavfi").video)
        pc.addTrack(MediaPlayer("sine=frequency=440:sample_rate=48000", format="lavfi").audio)
    await pc.setLocalDescription(await pc.createOffer())
    loop = asyncio.get_event_loop()
    offer = pc.localDescription.sdp.replace("a=setup:actpass", f"a=setup:{setup or 'actpass'}")
    location, answer = await loop.run_in_executor(None, request, "POST", url, offer.encode())
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    over = loop.run_in_executor(None, sys.stdin.read)
    while not over.done():
        tell(event="peer", state=pc.connectionState, **counts)
        await asyncio.wait([over], timeout=0.2)
    await loop.run_in_executor(None, request, "DELETE", urljoin(url, location))
    await pc.close()


asyncio.run(main(*sys.argv[1:3]))
