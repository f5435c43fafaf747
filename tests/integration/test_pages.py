"""The pages in Chromium: the player by each of its ways, the publisher, the console."""
import pytest

import media as m
import node as node_module
from browser import Page

pytestmark = pytest.mark.clients

LIBRARIES = node_module.ROOT / "www" / "node_modules" / "hls.js"
needs_libraries = pytest.mark.skipif(not LIBRARIES.exists(), reason="built without www/node_modules")
# A candidate that nobody reaches.
NO_WEBRTC = {"webrtc.public_addresses": ["192.0.2.250"]}


def page_url(node, name, page=""):
    return f"http://{node_module.HOST}:{node.http[1]}/{name}/{page}"


def some(text):
    return bool(text)


def later(than):
    return lambda s: (s or 0) > than


@pytest.fixture
def source(run):
    """source(node, name) publishes pictures and a tone, encoded as it goes."""
    return lambda node, name: run(m.encode_words(node.rtmp_url(name), key_frames_s=1))


def test_player_by_webrtc(node, source, closing):
    source(node, "live/cam1")
    page = closing(Page(page_url(node, "live/cam1")))
    shown = page.wait_shown(state="playing", by="webrtc", played_s=later(1), size=some, bitrate=some, latency=some)
    assert "H264" in shown["protocol"] and "opus" in shown["protocol"]
    node.wait_metric("viewers_whep", 1)
    page.command("goto", "about:blank")
    node.wait_metric("viewers_whep", 0)
    assert page.errors() == []


@needs_libraries
def test_player_without_udp(start, source, closing):
    node = start("node", NO_WEBRTC)
    node.expect(r"rtc\.close", r"whep\.close")
    source(node, "live/cam1")
    page = closing(Page(page_url(node, "live/cam1")))
    page.wait_shown(60, state="playing", by="hls", played_s=later(1), size=some, bitrate=some, latency=some)
    assert any("WebRTC" in e["text"] for e in page.all("console"))
    node.wait_metric("rtc_peers", 0)


@needs_libraries
@pytest.mark.parametrize("by", ["hls", "flv"])
def test_player_as_chosen(node, source, closing, by):
    source(node, "live/cam1")
    page = closing(Page(page_url(node, "live/cam1", f"?by={by}")))
    page.wait_shown(60, state="playing", by=by, played_s=later(1), size=some, bitrate=some, latency=some)
    page.command("choose", "#choice", "webrtc")
    page.wait_shown(state="playing", by="webrtc", played_s=later(0))
    page.command("goto", "about:blank")
    assert page.errors() == []


def test_player_waits_for_the_stream(start, source, closing):
    node = start("node", {"stream.wait_ms": 200})
    page = closing(Page(page_url(node, "live/cam1")))
    page.wait_shown(state="waiting")
    encoder = source(node, "live/cam1")
    page.wait_shown(state="playing", by="webrtc", played_s=later(0))
    encoder.terminate()
    page.wait_shown(state="waiting")
    source(node, "live/cam1")
    page.wait_shown(state="playing", by="webrtc")
    page.command("goto", "about:blank")
    node.wait_metric("viewers_whep", 0)


@pytest.mark.parametrize("codec, seen", [("h264", "H264"), ("vp8", "VP8")])
def test_publisher(node, closing, codec, seen):
    publisher = closing(Page(page_url(node, "live/cam1", "publish")))
    publisher.wait_shown(state="ready")
    publisher.command("choose", "#codec", codec)
    publisher.command("click", "#button")
    shown = publisher.wait_shown(state="live", **{"codec-now": some}, size=some, bitrate=some)
    assert seen in shown["codec-now"] and "opus" in shown["codec-now"]
    player = closing(Page(page_url(node, "live/cam1")))
    player.wait_shown(state="playing", by="webrtc", played_s=later(1))
    player.command("goto", "about:blank")
    node.wait_metric("viewers_whep", 0)
    publisher.command("click", "#button")
    publisher.wait_shown(state="ended")
    node.wait_metric("publishers", 0)
    assert publisher.errors() == [] and player.errors() == []


def test_publisher_with_a_key(start, closing):
    node = start("node", {"auth.publish_keys": ["sesame-sesame"]})
    page = closing(Page(page_url(node, "live/cam1", "publish")))
    page.wait_shown(state="ready")
    page.command("click", "#button")
    page.wait_shown(state="failed", text=lambda t: "token" in (t or ""))
    page.command("run", "(() => { const t = document.getElementById('token'); t.value = 'sesame-sesame'; })()")
    page.command("click", "#button")
    page.wait_shown(state="live")
    page.command("click", "#button")
    page.wait_shown(state="ended")
    node.wait_metric("publishers", 0)


def test_publisher_with_nothing_to_show(node, closing):
    """No camera is a word, not a code; and a key in the address does not stay there."""
    page = closing(Page(page_url(node, "live/cam1", "publish?token=sesame"), {"camera": False}))
    page.wait_shown(state="ready", url="/live/cam1/publish")
    page.command("click", "#button")
    page.wait_shown(state="failed", text="there is neither a camera nor a microphone")
    page.command("run", "document.getElementById('state').textContent = location.search + document.getElementById('token').value")
    page.wait_shown(text="sesame")


def test_console(cluster, source, closing):
    first, second = cluster.start("node", "n1"), cluster.start("node", "n2")
    source(first, "live/cam1")
    cluster.wait_owner("live/cam1", "n1")
    page = closing(Page(f"http://{node_module.HOST}:{second.http[1]}/console"))
    page.wait_shown(nodes=lambda t: t and "n1" in t and "n2" in t, streams=lambda t: t and "live/cam1" in t and "h264" in t)
    assert page.errors() == []
