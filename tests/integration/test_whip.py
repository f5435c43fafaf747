"""WebRTC publishers: the claim on the name, every codec to every kind of player, nodes that own no streams."""
import re

import pytest

from browser import Browser
from webrtc_http import SDP, Session, ask, offer, post

NAME = "live/cam1"
WHIP = f"/{NAME}/whip"
SETTINGS = {"stream.lost_ms": 2000, "stream.linger_ms": 500}
FFPROBE = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"]


def url(node, kind="whip"):
    host, port = node.http
    return f"http://{host}:{port}/{NAME}/{kind}"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def tracks(node):
    streams = {s["name"]: s for s in node.get_json("/api/v1/streams")["streams"]}
    return {t["codec"]: t for t in streams.get(NAME, {}).get("tracks", [])}


def publish(closing, node, codec="H264"):
    browser = closing(Browser("whip", url(node), {"codec": codec}))

    def sends():
        told = browser.last("rtc")
        return told and any(s["kind"] == "video" and s["frames"] >= 30 for s in told["streams"])

    browser.wait(sends, 60, "30 frames sent")
    return browser


def seen(run, where):
    """Codecs and sizes that ffprobe finds."""
    probe = run(FFPROBE + [where])
    probe.succeeds(40)
    return sorted(set(probe.text().split()))


# --- the claim ---


def test_a_name_that_is_taken(node, feed):
    feed(node, f"{NAME}?token=one")
    node.wait_metric("publishers", 1)
    answer = post(node, WHIP, "chrome-whip", **bearer("two"))
    assert (answer.status, answer.code()) == (409, "name_taken")


def test_the_same_publisher_again(node):
    first = Session(node, WHIP, "chrome-whip", **bearer("one"))
    second = Session(node, WHIP, "chrome-whip", **bearer("one"))
    assert first.get().status == 404 and second.get().status == 204
    assert second.delete().status == 200
    node.wait_metric("publishers", 0)
    node.wait_metric("rtc_peers", 0)


def test_kicked_and_drained(node):
    session = Session(node, WHIP, "chrome-whip")
    assert node.request(f"/api/v1/streams/{NAME}", "DELETE")[0] == 200
    assert session.get().status == 404
    session = Session(node, WHIP, "chrome-whip")
    node.request("/api/v1/drain", "POST")
    answer = post(node, WHIP, "chrome-whip")
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0


def test_a_codec_that_is_asked_for_and_not_taken(node):
    """H.265 in the place of VP8, which the query asks for: there is H.264, too."""
    body = offer("chrome-whip").replace("VP8/90000", "H265/90000")
    answer = ask(node, "POST", f"{WHIP}?video=h265", body, Content_Type=SDP)
    assert answer.status == 201 and "H264/90000" in answer.body and "H265" not in answer.body
    assert ask(node, "DELETE", answer.headers["Location"]).status == 200


def test_one_who_never_connects(start):
    node = start("node", {"stream.publisher_timeout_ms": 500})
    session = Session(node, WHIP, "chrome-whip")
    node.wait_metric("publishers", 0, 20)
    assert session.get().status == 404
    node.wait_metric("rtc_peers", 0)


# --- media ---


@pytest.mark.clients
@pytest.mark.parametrize("codec", ["H264", "VP9", "AV1"])
def test_codecs_reach_players(start, closing, run, codec):
    node = start("node", SETTINGS)
    browser = publish(closing, node, codec)
    name = codec.lower()
    assert set(tracks(node)) == {name, "opus"}
    hls = seen(run, url(node, "index.m3u8"))
    assert [w for w in hls if w.startswith(name)] and "opus" in hls
    if codec == "H264":
        rtmp = seen(run, node.rtmp_url(NAME))
        assert [w for w in rtmp if w.startswith("h264,")] and "aac" in rtmp
    assert not browser.errors(), browser.tail()
    browser.finish()
    node.wait_metric("publishers", 0)


@pytest.mark.clients
def test_vp8_is_for_webrtc(start, closing, run):
    node = start("node", SETTINGS)
    publish(closing, node, "VP8")
    assert tracks(node)["vp8"]["players"] == ["whep"] and "players" not in tracks(node)["opus"]
    flv = ask(node, "GET", f"/{NAME}.flv")
    assert (flv.status, flv.code()) == (415, "unsupported")
    hls = ask(node, "GET", f"/{NAME}/index.m3u8")
    assert (hls.status, hls.code()) == (404, "unsupported")
    rtmp = run(FFPROBE + [node.rtmp_url(NAME)])
    assert rtmp.wait(20) != 0 and "WHEP" in rtmp.text()
    player = closing(Browser("whep", url(node, "whep")))
    player.wait(lambda: (t := player.last("rtc")) and any(s["kind"] == "video" and s["frames"] > 30 for s in t["streams"]), 60, "frames")


@pytest.mark.clients
def test_a_publisher_at_an_edge(cluster, closing, run):
    origin, edge = cluster.start("origin", "o1", SETTINGS), cluster.start("edge", "e1", SETTINGS)
    publish(closing, edge)
    cluster.wait_owner(NAME, "o1")
    assert origin.metric("publishers") == 1 and edge.metric("carries_total") == 1
    hls = seen(run, url(edge, "index.m3u8"))
    assert [w for w in hls if w.startswith("h264,")] and "opus" in hls


@pytest.mark.clients
def test_key_frames_and_segments(start, closing):
    """A browser sends no key frames by itself: it is asked for them, so segments are what they should be."""
    node = start("node", SETTINGS)
    browser = publish(closing, node)
    path = f"/{NAME}/main.m3u8"

    def segments():
        answer = ask(node, "GET", path)
        lengths = [float(x) for x in re.findall(r"#EXTINF:([\d.]+)", answer.body)]
        return len(lengths) >= 4 and lengths

    lengths = browser.wait(segments, 40, "four segments")
    assert all(1.9 <= x <= 2.6 for x in lengths[1:]), lengths
