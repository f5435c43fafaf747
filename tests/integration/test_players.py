"""HLS through a balancer that sends each single request to a random edge: real players have to notice nothing. The long
runs are scripts/players."""
import pytest

import hls
import media as m
from balancer import Balancer
from browser import Browser
from waiting import wait_for

pytestmark = pytest.mark.clients

NAME = "live/cam1"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "stream.linger_ms": 500, "stream.idle_pull_ms": 2000, "stream.lost_ms": 5000}
EDGES = ("e1", "e2", "e3")
PLAY_S = 20
FRAME_RATE = 25
LATENCY_S = 1.5
SEGMENTS_MIN = 3
# A machine with much to do shall not make a player stall; it may lag.
PATIENT = {"liveSyncDuration": 2}
SINK = ["video-sink=fakesink num-buffers=75 sync=true"]
PROGRAMS = {
    "ffmpeg": ["ffmpeg", "-nostdin", "-v", "error", "-i", "{url}", "-t", "3", "-f", "null", "-"],
    "hlsdemux2": ["gst-launch-1.0", "-q", "playbin3", "uri={url}", "flags=video", *SINK],
}


class Bed:
    def __init__(self, cluster, closing, run):
        self.cluster, self.run = cluster, run
        for role, id in (("origin", "o1"), ("origin", "o2"), *(("edge", id) for id in EDGES)):
            cluster.start(role, id, FAST)
        self.nodes = cluster.nodes
        self.balancer = closing(Balancer({id: self.nodes[id].http for id in EDGES}))
        self.url = self.balancer.url(f"/{NAME}/index.m3u8")

    def publish(self, id):
        self.publisher = self.run(m.encode_words(self.nodes[id].rtmp_url(NAME + "?token=mine"), key_frames_s=1))
        self.cluster.wait_owner(NAME, id)

    def wait_segments(self, count=SEGMENTS_MIN):
        """Players that know nothing of parts need some."""
        wait_for(lambda: hls.get(self.nodes["e1"], f"/{NAME}/main.m3u8")[1].count(b"#EXTINF") >= count, 30, f"{count} segments")

    def assert_served(self):
        assert not self.balancer.misses(), [r.line() for r in self.balancer.misses()]
        assert set(self.balancer.shares()) == set(EDGES)


@pytest.fixture
def bed(cluster, closing, run):
    return Bed(cluster, closing, run)


@pytest.mark.alone
def test_hls_js(bed, closing):
    bed.publish("o1")
    browser = closing(Browser("hls.js", bed.url, PATIENT))
    browser.wait_event("first", 60)
    browser.wait_media(PLAY_S, 4 * PLAY_S)
    assert not browser.errors() and not browser.stalls(), browser.tail()
    walls = [s["wall_ms"] / 1000 for s in browser.all("sample")[3:]]
    assert walls and max(walls) <= 4 * LATENCY_S, walls
    assert browser.last("sample")["parts"] > PLAY_S, browser.tail()
    bed.assert_served()


def test_hls_js_comes_to_the_end(bed, closing):
    bed.publish("o1")
    browser = closing(Browser("hls.js", bed.url, PATIENT))
    browser.wait_event("first", 60)
    assert bed.publisher.terminate() is not None
    browser.wait_event("ended", 60)
    assert not [e for e in browser.errors() if e["fatal"]], browser.tail()


@pytest.mark.alone
def test_hls_js_survives_the_owner(bed, closing):
    bed.publish("o1")
    bed.wait_segments()
    browser = closing(Browser("hls.js", bed.url, PATIENT))
    browser.wait_event("first", 60)
    browser.wait_media(3, 30)
    for id in EDGES:
        bed.nodes[id].expect(r" upstream\.", r"session\.close ")
    bed.nodes["o1"].kill()
    bed.publisher.finish()
    bed.publish("o2")
    browser.wait_media(6, 60)
    assert not [e for e in browser.errors() if e["fatal"]], browser.tail()
    bed.assert_served()


@pytest.mark.parametrize("kind", ["shaka", "native"])
def test_other_players_in_the_browser(bed, closing, kind):
    bed.publish("o1")
    bed.wait_segments(5)
    browser = closing(Browser(kind, bed.url))
    browser.wait_event("first", 60)
    browser.wait_media(4, 60)
    assert not browser.errors(), browser.tail()
    bed.assert_served()


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(bed, run, program):
    bed.publish("o1")
    bed.wait_segments(5)
    run([w.format(url=bed.url) for w in PROGRAMS[program]]).succeeds(60)
    assert not bed.balancer.misses(), [r.line() for r in bed.balancer.misses()]


def test_hlsdemux(bed, run):
    """GStreamer's old one, which does not end when nobody wants more."""
    bed.publish("o1")
    bed.wait_segments(5)
    words = "gst-launch-1.0 -v souphttpsrc location={url} ! hlsdemux ! qtdemux name=q q.video_0 ! queue ! fakesink silent=false"
    program = run(words.format(url=bed.url).split())
    wait_for(lambda: program.output.count(b"chain") > 5 * FRAME_RATE, 60, "frames", state=program.text)
    assert not bed.balancer.misses(), [r.line() for r in bed.balancer.misses()]
