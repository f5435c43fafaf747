"""WebRTC programs of others, on a network of their own: GStreamer and Firefox reach no loopback address."""
import os
import subprocess

import pytest

import media as m
from browser import Page, Peer
from lan import Lan

pytestmark = [pytest.mark.clients, pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")]

NAME = "live/cam1"
# Who publishes, and who plays that.
PAIRS = [("aiortc", "publish-passive", "werift"), ("gst", "publish", "aiortc"), ("werift", "publish", "gst")]
SETTLED = {"stream.lost_ms": 2000}


@pytest.fixture(scope="module")
def lan():
    lan = Lan()
    yield lan
    lan.close()


@pytest.fixture
def node(lan, start):
    return start("node", {**SETTLED, "http.listen": f"{lan.here}:0", "webrtc.listen": f"{lan.here}:0"})


def url(node, kind):
    host, port = node.http
    return f"http://{host}:{port}/{NAME}/{kind}"


def test_guesses_at_sessions_are_slowed_down(lan, node):
    """Loopback is trusted, others have a rate."""
    host, port = node.http
    asked = subprocess.run([*lan.prefix, "curl", "-sS", "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}:%header{retry-after}\\n",
                            f"http://{host}:{port}/{NAME}/whip/node~{'0' * 33}[100-199]"], check=True, capture_output=True, timeout=30)
    told = asked.stdout.decode().split()
    assert told[:20] == ["404:"] * 20 and "503:2" in told and set(told) == {"404:", "503:2"}


@pytest.mark.parametrize("kind, what", [("aiortc", "play-passive"), ("gst", "play"), ("werift", "play")])
def test_plays(lan, node, run, closing, kind, what):
    run(m.encode_words(node.rtmp_url(NAME), key_frames_s=1))
    node.wait_metric("publishers", 1)
    peer = closing(Peer(kind, what, url(node, "whep"), lan.prefix))
    peer.wait_counts(video=50, audio=50)
    assert peer.errors() == []
    peer.finish()
    assert node.metric("rtc_started_over_total") == 0
    node.wait_metric("viewers_whep", 0)


@pytest.mark.parametrize("kind, what, player", PAIRS)
def test_publishes(lan, node, play_flv, run, closing, kind, what, player):
    """Its pictures and sound come to who plays by HTTP-FLV, HLS and WHEP."""
    peer = closing(Peer(kind, what, url(node, "whip"), lan.prefix))
    peer.wait_counts()
    play_flv(node, NAME).wait_media(60, 30)
    other = closing(Peer(player, "play", url(node, "whep"), lan.prefix))
    other.wait_counts(video=30, audio=30)
    probe = run(m.probe_words(url(node, "index.m3u8")))
    probe.succeeds(40)
    assert sorted(set(probe.text().split())) == ["h264,320", "opus"], probe.text()
    assert node.metric("rtc_auth_failed_total") == 0
    assert peer.errors() + other.errors() == []
    other.finish()
    peer.finish()
    node.wait_metric("publishers", 0)


def test_page_finds_another_way(lan, node, run, closing):
    """The same session goes on, by an ICE restart, when nothing has come for some seconds."""
    run(m.encode_words(node.rtmp_url(NAME), key_frames_s=1))
    page = closing(Page(url(node, ""), {}, lan.prefix))
    page.wait_shown(60, state="playing", by="webrtc", bitrate=bool)
    lan.cut()
    try:
        page.wait(lambda: any(e["method"] == "PATCH" for e in page.all("request")), 30, "an ICE restart")
        before = page.shown()["played_s"]
    finally:
        lan.heal()
    page.wait_shown(state="playing", by="webrtc", played_s=lambda s: (s or 0) > before + 1)
    assert [e["method"] for e in page.all("request") if e["method"] != "PATCH"] == ["POST"]
    assert node.metric("rtc_joins_total") == 1
    page.command("goto", "about:blank")
    node.wait_metric("viewers_whep", 0)


def test_firefox(lan, node, closing):
    firefox = {"firefox": True}
    publisher = closing(Page(url(node, "publish"), firefox, lan.prefix))
    publisher.wait_shown(60, state="ready")
    publisher.command("click", "#button")
    shown = publisher.wait_shown(60, state="live", **{"codec-now": bool}, bitrate=bool)
    assert "VP8" in shown["codec-now"]
    player = closing(Page(url(node, ""), firefox, lan.prefix))
    player.wait_shown(60, state="playing", by="webrtc", played_s=lambda s: (s or 0) > 1)
    player.command("goto", "about:blank")
    node.wait_metric("viewers_whep", 0)
    publisher.command("click", "#button")
    publisher.wait_shown(state="ended")
    node.wait_metric("publishers", 0)
