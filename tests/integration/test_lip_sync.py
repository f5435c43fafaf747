"""Sound and pictures together, of a source that flashes and beeps: in what a player is told of time, and in what Chromium shows."""
import statistics

import pytest

import beeps
from browser import Browser, Peer

pytestmark = [pytest.mark.clients, pytest.mark.alone]

NAME = "live/cam1"
SETTINGS = {"stream.lost_ms": 5000}
EXACT_MS = 5
TOGETHER_MS = 40
PAIRS = 6


def url(node, kind):
    host, port = node.http
    return f"http://{host}:{port}/{NAME}/{kind}"


@pytest.fixture(params=["owner", "edge"])
def place(request, cluster, run):
    """Where players are, of a stream whose sound is AAC."""
    origin = cluster.start("node", "o1", SETTINGS)
    edge = cluster.start("edge", "e1", SETTINGS)
    origin.expect(r"claim\.fenced")
    run(beeps.publish_words(origin.rtmp_url(NAME)))
    origin.wait_metric("publishers", 1)
    return origin if request.param == "owner" else edge


def test_reports(place, closing):
    """By its timestamps and sender reports, sound is exactly where the picture is."""
    peer = closing(Peer("aiortc", "watch", url(place, "whep")))

    def look():
        flashes, sounds = ([e["ms"] for e in peer.all(name)] for name in ("flash", "beep"))
        # Pictures of the past come without sound.
        pairs = [late for at, late in beeps.offsets(flashes, sounds, 1000) if sounds and at > sounds[0] + 500]
        return len(pairs) >= PAIRS and pairs

    for late in peer.wait(look, 60, "flashes and beeps"):
        assert abs(late) < EXACT_MS, peer.tail()


def test_chromium(place, closing):
    """A machine that stands still makes a browser hold sound for longer: it may take some time to get over that."""
    browser = closing(Browser("whep", url(place, "whep"), {"beeps": True}))

    def look():
        newest = [late for _, late in beeps.believed(browser)[-PAIRS:]]
        return len(newest) == PAIRS and abs(statistics.median(newest)) <= TOGETHER_MS

    browser.wait_event("first", 60)
    browser.wait(look, 90, f"sound and pictures within {TOGETHER_MS} ms")
    assert beeps.shown(browser) and not browser.errors(), browser.tail()
