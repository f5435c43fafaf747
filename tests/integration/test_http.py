"""The API, health and metrics as contract.md has them, and HTTP clients that do not behave."""
import json
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import media as m
from node import free_port
from raw import Raw, exchange
from waiting import SLOW, wait_for

pytestmark = pytest.mark.core

BAD = [r"http.*reason=(bad_input|timeout)", r"http\.bad"]


def test_node(node, feed, play_flv):
    have = node.get_json("/api/v1/node")
    assert set(have) >= set("id instance role version state workers listen streams viewers".split())
    assert set(have["listen"]) == {"rtmp", "http", "cluster", "webrtc", "admin"}
    assert len(have["listen"]["webrtc"]) == have["workers"]
    assert have["id"] == "node" and have["role"] == "node" and have["state"] == "up" and have["workers"] == 2
    assert have["listen"]["rtmp"] == node.ports["rtmp"] and have["streams"] == have["viewers"] == 0
    feed(node, "live/cam1")
    play_flv(node, "live/cam1").wait_media(10)
    have = node.get_json("/api/v1/node", port="http")
    assert (have["streams"], have["viewers"]) == (1, 1)


def test_nodes_without_a_cluster(node):
    rows = node.get_json("/api/v1/nodes")["nodes"]
    assert [r["id"] for r in rows] == ["node"]
    assert set(rows[0]) >= {"id", "addr", "http", "role", "state", "streams", "viewers", "age_ms"}


def test_streams(node, feed, play, play_flv):
    assert node.get_json("/api/v1/streams") == {"streams": []}
    feed(node, "live/cam1")
    players = [play(node, "live/cam1"), play_flv(node, "live/cam1")]
    for player in players:
        player.wait_media(30)
    row, = node.get_json("/api/v1/streams")["streams"]
    assert row["name"] == "live/cam1" and row["owner"] == "node" and row["local"] == "publish"
    assert isinstance(row["epoch"], str) and int(row["epoch"]) > 0
    assert row["viewers"] == {"rtmp": 1, "flv": 1, "hls": 0, "whep": 0}
    assert {(t["kind"], t["id"], t["codec"]) for t in row["tracks"]} == {("video", 0, "h264"), ("audio", 0, "aac")}
    assert row["age_ms"] >= 0
    wait_for(lambda: 100_000 < node.get_json("/api/v1/streams")["streams"][0]["bitrate_bps"] < 2_000_000, 10, "the rate")
    one = node.get_json("/api/v1/streams/live/cam1")
    assert one.get("name", one.get("stream", {}).get("name") if isinstance(one.get("stream"), dict) else None) == "live/cam1"


@pytest.mark.parametrize("port", ["http", "admin"])
@pytest.mark.parametrize("path, status", [
    ("/healthz", 200), ("/readyz", 200), ("/api/v1/node", 200), ("/api/v1/streams/live/none", 404),
    ("/api/v1/nothing", 404), ("/api/v1/streams/live/..", 400), ("/api/v1/streams/live/a%00b", 400),
])
def test_answers(node, port, path, status):
    node.expect(*BAD)
    got, headers, body = node.request(path, port=port)
    assert got == status, body
    if status >= 400:
        assert set(json.loads(body)["error"]) == {"code", "message"}


def test_metrics_parse_and_are_private(node):
    _, headers, body = node.request("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    helps = set()
    for line in body.decode().splitlines():
        if line.startswith("# "):
            helps.add(line.split()[2])
            continue
        name, value = line.rsplit(" ", 1)
        float(value)
        assert name.split("{")[0] in helps, line
    assert {"sluice_viewers_rtmp", "sluice_pulls_total", "sluice_frames_alive"} <= helps
    assert node.request("/metrics", port="http")[0] == 404
    assert node.request("/api/v1/streams/live/x", method="DELETE", port="http")[0] in (404, 405)


def test_admin_token(start):
    node = start("node", {"admin.token": "s3cret"})
    right = {"Authorization": "Bearer s3cret"}
    node.metrics = lambda: {k.removeprefix("sluice_"): float(v) for k, v in (
        line.rsplit(" ", 1) for line in node.request("/metrics", headers=right)[2].decode().splitlines() if line[0] != "#")}
    assert node.request("/metrics")[0] == 401
    assert node.request("/metrics", headers={"Authorization": "Bearer s3creT"})[0] == 401
    assert node.request("/api/v1/streams/live/x", method="DELETE")[0] == 401
    assert node.request("/healthz")[0] == 200
    assert node.request("/metrics", headers=right)[0] == 200


def test_unknown_stream(start, play, play_flv):
    node = start("node", {"stream.wait_ms": 500})
    began = time.monotonic()
    player = play_flv(node, "live/none")
    assert player.wait_status() == 404
    assert time.monotonic() - began >= 0.4
    assert int(player.headers["retry-after"]) > 0
    player = play(node, "live/none")
    player.wait_status("NetStream.Play.StreamNotFound")
    node.wait_metric("play_not_found_total", 2)


def test_cors(node, feed, play_flv):
    feed(node, "live/cam1")
    player = play_flv(node, "live/cam1", headers=["Origin: http://example.org"])
    player.wait_media(10)
    assert player.headers["access-control-allow-origin"] == "*"
    status, headers, _ = node.request("/live/cam1.flv", method="OPTIONS", port="http",
                                      headers={"Origin": "http://example.org", "Access-Control-Request-Method": "GET"})
    assert status in (200, 204) and headers["Access-Control-Allow-Origin"] == "*"
    assert node.request("/api/v1/node")[1].get("Access-Control-Allow-Origin") is None


def test_head_and_keep_alive(node, feed):
    feed(node, "live/cam1")
    wait_for(lambda: node.get_json("/api/v1/streams")["streams"], 10, "the stream")
    status, headers, body = node.request("/live/cam1.flv", method="HEAD", port="http")
    assert status == 200 and headers["Content-Type"] == "video/x-flv" and body == b""
    raw = Raw(node.http)
    for _ in range(3):
        raw.received = b""
        assert raw.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: raw.read_some(0.1) is not None and raw.received.endswith(b"ok\n"), 5, "an answer")
    raw.close()


GOOD_HOST = b"Host: a\r\n"
MALFORMED = {
    "no version": b"GET /healthz\r\n\r\n",
    "version 0.9": b"GET /healthz HTTP/0.9\r\n" + GOOD_HOST + b"\r\n",
    "version 2.0": b"GET /healthz HTTP/2.0\r\n" + GOOD_HOST + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "unknown method": b"BREW /healthz HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "lower case method": b"get /healthz HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nHost: a\n\n",
    "bare CR": b"GET /healthz HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "obs-fold": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "space before colon": b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "empty name": b"GET /healthz HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "NUL in a value": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "DEL in a name": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\x7f: b\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "list of lengths": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
    "signed length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "negative length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
    "hex length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
    "huge length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "length over the limit": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
    "TE and length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE twice": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE xchunked": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE in 1.0": b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size of nine digits": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n0\r\n\r\n",
    "chunk size that is none": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunk without its end": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
    "%00": b"GET /live/a%00.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "half an escape": b"GET /live/a%4 HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "bad escape": b"GET /live/a%zz.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "escaped dots": b"GET /live/%2e%2e/x.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "escaped slash and dots": b"GET /live/..%2fx.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "dots": b"GET /live/../x.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "double slash": b"GET //live/x.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "CR LF in the path": b"GET /live/a%0d%0ab.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "raw byte in the path": b"GET /live/\xff.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "space in the path": b"GET /live/a b.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "no slash": b"GET live/a.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "asterisk": b"GET * HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "long target": b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 70000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: b\r\n" % i for i in range(2000)) + b"\r\n",
    "chunk extension": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\n\r\n",
    "chunk size with a sign": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "chunk size with 0x": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk size with a space": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    "chunk size before a bare LF": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "TE with a tab": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "TE chunked, identity": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE with a vertical tab": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "length and TE that is none": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "length with a space": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na",
    "empty length": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\na",
    "space before the first header": b"GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n",
    "space before the method": b" GET /healthz HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "a tab for a space": b"GET\t/healthz\tHTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "escape and overlong slash": b"GET /live/..%c0%afx.flv HTTP/1.1\r\n" + GOOD_HOST + b"\r\n",
    "TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "RTMP hello": b"\x03" + bytes(1536),
    "nothing but line feeds": b"\r\n" * 5000,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_requests(node, what):
    """Each is refused, and nothing more is read from its connection."""
    node.expect(*BAD, r"http\.tls .*the peer speaks TLS")
    after = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    status, head, body = exchange(node.http, MALFORMED[what] + after)
    assert 400 <= status < 600, head[:200]
    assert "connection: close" in head.lower()
    assert not re.search(rb"HTTP/1\.\d \d\d\d ", body), "a second answer"
    assert node.request("/healthz", port="http")[0] == 200


HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  http-reuse always
listen front
  bind {front}
  server node {node}
"""


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy")
def test_nothing_is_smuggled_past_a_proxy(node, tmp_path, closing):
    """Whatever a proxy makes of a request: who shares its connection to the node gets the answer to his own."""
    node.expect(*BAD, r"http\.tls")
    front = free_port()
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(HAPROXY.format(front=f"127.0.0.1:{front}", node="127.0.0.1:%d" % node.http[1]))
    proxy = subprocess.Popen(["haproxy", "-db", "-f", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: node_is_there(front), 10, "haproxy")
        for what, bad in MALFORMED.items():
            attacker = Raw(("127.0.0.1", front), bad + b"GET /api/v1/node HTTP/1.1\r\nHost: smuggled\r\n\r\n")
            victims = [exchange(("127.0.0.1", front), b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") for _ in range(3)]
            attacker.close()
            assert [(status, body) for status, _, body in victims] == [(200, b"ok\n")] * 3, what
    finally:
        proxy.terminate()
        proxy.wait()


def node_is_there(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


def test_bad_names_are_refused(node):
    node.expect(*BAD)
    for name in ("live/.hidden", "live/-a/b", "api/x", "rtc/x", "relay/x", "a" * 129 + "/x", "live/" + "b" * 129, "live/a..b"):
        status, _, _ = exchange(node.http, f"GET /{name}.flv HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert status in (400, 404), (name, status)


def test_slow_requests_end_at_the_deadline(node, feed, play):
    """A request in dribs and drabs is given ten seconds in all, whatever it sends meanwhile; a viewer sees nothing of it."""
    node.expect(*BAD)
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    loris = [Raw(node.http, b"GET /healthz HTTP/1.1\r\nHost: a\r\n") for _ in range(20)]
    silent = [Raw(node.http) for _ in range(5)]
    began = time.monotonic()
    ended = {}
    last = [began]

    def dribble():
        now = time.monotonic()
        drop = now - last[0] > 0.3  # so that the headers do not get too many
        if drop:
            last[0] = now
        for n, raw in enumerate(loris + silent):
            if n not in ended and ((drop and n < len(loris) and not raw.send(b"X: y\r\n")) or raw.read_some() is None):
                ended[n] = now - began
        return len(ended) == len(loris) + len(silent)

    wait_for(dribble, 20, "all to be closed", state=lambda: str(ended))
    assert min(ended.values()) > 8
    if not SLOW:
        assert max(ended.values()) < 40
    for raw in loris + silent:
        raw.close()
    m.assert_unbroken(player.media, publisher.sent)


def test_pipelined_requests(node):
    status, _, body = exchange(node.http, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 10 +
                               b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert status == 200 and body.count(b"HTTP/1.1 200") == 10


def test_many_clients_at_once(node):
    """Sixty requests at a time from threads: every answer is whole."""
    results = []

    def ask():
        results.append(exchange(node.http, b"GET /api/v1/node HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))

    threads = [threading.Thread(target=ask) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 60
    assert all(status == 200 and json.loads(body)["id"] == "node" for status, _, body in results)
