"""HLS: playlists, segments and parts, the same at every node."""
import re
import subprocess
import threading

import pytest

import hls
import media as m
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

NAME = "live/cam1"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "stream.linger_ms": 500}


def wait_playlist(node):
    wait_for(lambda: hls.get(node, f"/{NAME}/main.m3u8")[0] == 200, 15, "a playlist")


def test_playlists_are_valid_and_go_on(start, feed, tmp_path):
    node = start("node", FAST)
    feed(node, NAME)
    wait_playlist(node)
    got = hls.follow(node, NAME, 15)
    hints = [hls.hint_of(p)[1:] for p in got]
    assert hints == sorted(set(hints))
    hls.assert_valid([*got, hls.text_of(node, f"/{NAME}/index.m3u8")], tmp_path)
    for one, next in zip(got, got[1:]):
        first = [int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", p)[1]) for p in (one, next)]
        assert first[0] <= first[1]


def test_a_segment_is_its_parts(start, feed):
    node = start("node", FAST)
    feed(node, NAME)
    wait_playlist(node)
    listed = hls.names(hls.follow(node, NAME, 6)[-1])
    segments = [n for n in listed if re.fullmatch(r"main-\d+-\d+\.m4s", n)]
    checked = 0
    for segment in segments:
        parts = [n for n in listed if re.fullmatch(re.escape(segment[:-4]) + r"\.\d+\.m4s", n)]
        parts.sort(key=lambda n: int(n.split(".")[1]))
        if parts:
            whole = hls.get(node, f"/{NAME}/{segment}")[1]
            assert whole == b"".join(hls.get(node, f"/{NAME}/{p}")[1] for p in parts)
            checked += 1
    assert checked > 0


def test_all_nodes_say_the_same(masterless, feed):
    origin, edge = masterless.start_all(("node", "n1"), ("edge", "e1"), settings=FAST)
    feed(origin, NAME)
    wait_playlist(origin)
    wait_playlist(edge)
    _, msn, part = hls.hint_of(hls.text_of(origin, f"/{NAME}/main.m3u8"))
    got = {}

    def ask(node):
        got[node.id] = hls.text_of(node, f"/{NAME}/main.m3u8?_HLS_msn={msn + 1}&_HLS_part=0")
    threads = [threading.Thread(target=ask, args=(n,)) for n in (origin, edge)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(scaled(20))
    assert got["n1"] == got["e1"]
    for name in hls.names(got["n1"]):
        one, other = (hls.get(n, f"/{NAME}/{name}") for n in (origin, edge))
        assert one[0] == other[0] == 200 and one[1] == other[1], name
    assert hls.get(origin, f"/{NAME}/index.m3u8") == hls.get(edge, f"/{NAME}/index.m3u8")


def test_the_end(start, feed):
    node = start("node", FAST)
    publisher = feed(node, NAME)
    wait_playlist(node)
    publisher.finish()
    wait_for(lambda: "#EXT-X-ENDLIST" in hls.text_of(node, f"/{NAME}/main.m3u8"), 5, "the end of the playlist")
    last = hls.names(hls.text_of(node, f"/{NAME}/main.m3u8"))
    assert all(hls.get(node, f"/{NAME}/{n}")[0] == 200 for n in last)
    wait_for(lambda: hls.get(node, f"/{NAME}/main.m3u8")[0] == 404, 15, "the end of the stream")


def test_nobody_there(node):
    assert hls.get(node, "/live/nobody/index.m3u8")[0] == 404


@pytest.mark.clients
def test_ffmpeg_plays(start, publish):
    node = start("node", FAST)
    publish(node, NAME)
    wait_playlist(node)
    url = f"http://{node.http[0]}:{node.http[1]}/{NAME}.m3u8"
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", url, "-t", "3", "-f", "framecrc", "-"],
                          capture_output=True, timeout=scaled(30))
    packets = [line for line in done.stdout.decode().splitlines() if line and line[0] != "#"]
    assert done.returncode == 0 and len(packets) > 2 * m.FRAME_RATE, done.stderr.decode()
