"""HLS: what is answered to whom, with which headers; who is counted, refused and let go."""
import gzip
import json
import re
import threading
import time

import pytest

import hls
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

NAME = "live/cam1"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "stream.publisher_timeout_ms": 30000}
EXPOSED = {"content-length", "content-range", "date", "age", "etag"}
ALLOWED = {"range", "if-none-match", "authorization", "content-type"}
FOR_EVER = "public, max-age=31536000, immutable"
PLAYLIST, MEDIA = "application/vnd.apple.mpegurl", "video/mp4"


@pytest.fixture
def node(start, feed):
    """One with a stream that has two complete segments."""
    node = start("node", FAST)
    node.publisher = feed(node, NAME)
    wait_for(lambda: hls.get(node, f"/{NAME}/main.m3u8")[1].count(b"#EXTINF") >= 2, 15, "two segments")
    return node


def named(node):
    """Paths of one of each kind."""
    text = hls.text_of(node, f"/{NAME}/main.m3u8")
    hint, msn, part = hls.hint_of(text)
    segment = re.findall(r"^(?!#)(\S+\.m4s)$", text, re.M)[-1]
    return {"index": "index.m3u8", "main": "main.m3u8", "held": f"main.m3u8?_HLS_msn={msn}&_HLS_part={part}",
            "init": re.search(r'#EXT-X-MAP:URI="([^"]+)"', text)[1], "segment": segment,
            "part": re.findall(r'#EXT-X-PART:[^\n]*URI="([^"]+)"', text)[-1], "hint": hint}, msn, part


def ask(node, what, method="GET", headers=None):
    return node.request(f"/{NAME}/{what}", method=method, port="http", headers=headers)


def listed(headers, name):
    return {w.strip().lower() for w in (headers[name] or "").split(",")}


def assert_cors(headers):
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert EXPOSED <= listed(headers, "Access-Control-Expose-Headers")


# kind: type, Cache-Control, whether parts of the bytes may be asked for
KINDS = {
    "index": (PLAYLIST, "public, max-age=2", False),
    "main": (PLAYLIST, "public, max-age=1", False),
    "held": (PLAYLIST, "public, max-age=12", False),
    "init": (MEDIA, FOR_EVER, True),
    "segment": (MEDIA, FOR_EVER, True),
    "part": (MEDIA, FOR_EVER, True),
    "hint": (MEDIA, FOR_EVER, True),
}


def test_every_kind_of_answer(node):
    paths = named(node)[0]
    for kind, (type, cache, ranged) in KINDS.items():
        status, headers, body = ask(node, paths[kind])
        assert status == 200 and body, kind
        assert (headers["Content-Type"], headers["Cache-Control"]) == (type, cache), kind
        assert_cors(headers)
        etag = headers["ETag"]
        assert re.fullmatch(r'"[^"]+"', etag)
        assert headers["Accept-Ranges"] == ("bytes" if ranged else None), kind
        if kind in ("init", "segment", "part"):
            check_fixed(node, paths[kind], etag, body)
        status, headers, _ = ask(node, paths[kind], "OPTIONS")
        assert status == 204 and ALLOWED <= listed(headers, "Access-Control-Allow-Headers"), kind
        assert {"get", "head"} <= listed(headers, "Access-Control-Allow-Methods"), kind
        assert_cors(headers)
    status, headers, _ = node.request(f"/{NAME}.m3u8", port="http")
    assert status == 200 and headers["Content-Type"] == PLAYLIST  # urllib follows to index.m3u8
    status, headers, body = ask(node, "index.m3u8", headers={"If-None-Match": ask(node, "index.m3u8")[1]["ETag"]})
    assert (status, body) == (304, b"")


def check_fixed(node, path, etag, body):
    """What has a name for ever: HEAD, 304, ranges."""
    status, headers, nothing = ask(node, path, "HEAD")
    assert (status, nothing, headers["Content-Length"], headers["ETag"]) == (200, b"", str(len(body)), etag)
    for match in (etag, f'"other", {etag}', "*"):
        status, headers, nothing = ask(node, path, headers={"If-None-Match": match})
        assert (status, nothing, headers["ETag"]) == (304, b"", etag)
        assert_cors(headers)
    assert ask(node, path, headers={"If-None-Match": '"other"'})[0] == 200
    # It is compressed already.
    status, headers, plain = ask(node, path, headers={"Accept-Encoding": "gzip"})
    assert (status, plain, headers["Content-Encoding"]) == (200, body, None)
    ranges = {"bytes=0-9": (0, 10), "bytes=5-": (5, len(body)), "bytes=-7": (len(body) - 7, len(body)),
              "bytes=3-99999999": (3, len(body))}
    for asked, (first, end) in ranges.items():
        status, headers, part = ask(node, path, headers={"Range": asked})
        assert (status, part) == (206, body[first:end]), asked
        assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(body)}"
        assert_cors(headers)
    status, headers, _ = ask(node, path, headers={"Range": "bytes=99999999-"})
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(body)}")
    assert_cors(headers)


def test_playlists_are_compressed(node):
    for what in ("index.m3u8", "main.m3u8", "main.m3u8?_HLS_skip=YES"):
        status, headers, body = ask(node, what, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        assert (status, headers["Content-Encoding"], headers["Vary"]) == (200, "gzip", "Accept-Encoding")
        assert gzip.decompress(body).startswith(b"#EXTM3U") and body[4:8] == bytes(4)
        status, headers, body = ask(node, what, headers={"Accept-Encoding": "gzip;q=0", "Range": "bytes=0-4"})
        assert (status, headers["Content-Encoding"]) == (200, None) and body.startswith(b"#EXTM3U")
    head, full = ask(node, "index.m3u8", "HEAD"), ask(node, "index.m3u8")
    assert head[1]["Content-Length"] == str(len(full[2])) and head[2] == b""


def test_every_refusal(node):
    _, msn, part = named(node)
    epoch = re.search(r"main-(\d+)-", hls.text_of(node, f"/{NAME}/main.m3u8"))[1]
    refused = {
        "main.m3u8?_HLS_part=0": 400,
        "main.m3u8?_HLS_msn=": 400,
        "main.m3u8?_HLS_msn=-1": 400,
        "main.m3u8?_HLS_msn=1&_HLS_part=x": 400,
        f"main.m3u8?_HLS_msn={msn + 3}": 400,
        f"main.m3u8?_HLS_msn={msn}&_HLS_part={part + 40}": 400,
        "other.m3u8": 404,
        "v1.m3u8": 404,
        "a0.m3u8": 404,
        "main-0123456789abcdef.mp4": 404,
        f"main-{epoch}-{msn - 100}.m4s": 404,
        f"main-{epoch}-{msn + 5}.m4s": 404,
        f"main-{epoch}-{msn}.{part + 40}.m4s": 404,
        f"main-1-{msn - 1}.m4s": 404,
        f"main-{epoch}-0{msn - 1}.m4s": 404,
        "other.m4s": 404,
    }
    for what, wanted in refused.items():
        status, headers, body = ask(node, what)
        assert status == wanted, (what, status)
        assert json.loads(body)["error"]["code"] and headers["Content-Type"].startswith("application/json")
        assert "max-age" not in (headers["Cache-Control"] or ""), what
        assert_cors(headers)
    for what in ("main.m3u8?_HLS_msn=1", "main.m3u8?_HLS_msn=1&_HLS_part=9", "main.m3u8?_HLS_skip=maybe"):
        assert ask(node, what)[0] == 200, what  # the past is there, and what is not known is ignored
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = ask(node, "main.m3u8", method)
        assert status == 405
        assert_cors(headers)
    status, headers, _ = node.request("/live/nobody/main.m3u8", port="http")
    assert status == 404 and headers["Retry-After"]
    assert_cors(headers)


def test_what_does_not_come(node):
    """A publisher that says nothing: requests are held for three target durations."""
    _, msn, part = named(node)
    node.publisher.halt()
    begun, got = time.monotonic(), {}

    def hold(what):
        got[what] = (*ask(node, what)[:2], time.monotonic() - begun)
    text = hls.text_of(node, f"/{NAME}/main.m3u8")
    hint, msn, part = hls.hint_of(text)
    waits = [hint, f"main.m3u8?_HLS_msn={msn}", f"main.m3u8?_HLS_msn={msn}&_HLS_part={part}"]
    threads = [threading.Thread(target=hold, args=(w,)) for w in waits]
    for t in threads:
        t.start()
    node.wait_metric("hls_held", 3)
    for t in threads:
        t.join(scaled(20))
    for what, (status, headers, took) in got.items():
        assert status == 503 and headers["Retry-After"], what
        assert 5 < took < scaled(9)
        assert_cors(headers)
    assert len(got) == 3


def test_more_viewers_than_allowed(start, feed, closing):
    node = start("node", {**FAST, "viewer.max": 2})
    feed(node, NAME)
    wait_for(lambda: hls.get(node, f"/{NAME}/index.m3u8")[0] == 200, 15, "a playlist")
    nodes = closing(hls.Nodes([node]))
    followers = [closing(hls.Follower(nodes, NAME)) for _ in range(2)]
    node.wait_metric("viewers_hls", 2, 10)
    status, headers, body = ask(node, "index.m3u8")
    assert status == 503 and headers["Retry-After"] and b"unavailable" in body
    assert_cors(headers)
    have = [len(f.texts) for f in followers]
    wait_for(lambda: all(len(f.texts) > n + 5 for f, n in zip(followers, have)), 10, "those that play to go on")
    assert node.metric("play_refused_total") >= 1
    followers[0].finish()
    wait_for(lambda: ask(node, "index.m3u8")[0] == 200, 10, "room for another")


def test_a_node_that_drains(start, feed, closing):
    """Nobody begins there; who plays goes on, also for a while after the signal."""
    node = start("node", {**FAST, "node.drain_s": 30})
    feed(node, NAME)
    wait_for(lambda: hls.get(node, f"/{NAME}/index.m3u8")[0] == 200, 15, "a playlist")
    follower = closing(hls.Follower(closing(hls.Nodes([node])), NAME))
    node.wait_metric("viewers_hls", 1)
    assert node.request("/api/v1/drain", "POST")[0] == 200
    status, headers, _ = ask(node, "index.m3u8")
    assert status == 503 and headers["Retry-After"]
    have = len(follower.texts)
    wait_for(lambda: len(follower.texts) > have + 8, 10, "the player to go on")
    assert follower.error is None
    assert node.request("/api/v1/drain", "DELETE")[0] == 200
    assert ask(node, "index.m3u8")[0] == 200


def test_players_are_counted_once(cluster, feed, closing):
    """However many nodes they touch; pulls end when nobody asks."""
    origin, *edges = (cluster.start(role, id, FAST) for role, id in (("origin", "o1"), ("edge", "e1"), ("edge", "e2"), ("edge", "e3")))
    feed(origin, NAME)
    for edge in edges:
        wait_for(lambda e=edge: hls.get(e, f"/{NAME}/index.m3u8")[0] == 200, 15, "a playlist")
    nodes = closing(hls.Nodes(edges))
    followers = [closing(hls.Follower(nodes, NAME)) for _ in range(9)]

    def counted():
        return sum(e.metric("viewers_hls") for e in edges)
    wait_for(lambda: 8 <= counted() <= 10, 10, "nine players", state=lambda: str(counted()))
    in_api = [e.get_json("/api/v1/streams")["streams"][0]["viewers"]["hls"] for e in edges]
    assert 6 <= sum(in_api) <= 12
    assert all(f.error is None for f in followers)
    for follower in followers:
        follower.finish()
    wait_for(lambda: counted() == 0, 10, "nobody")
    for edge in edges:
        edge.wait_metric("pulls", 0, 20)
    assert origin.metric("relays") == 0
