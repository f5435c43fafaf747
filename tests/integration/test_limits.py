"""Peers that mean harm, peers that cannot keep up, publishers that go silent, and settings that are wrong."""
import json
import signal
import socket
import struct
import subprocess
import time

import pytest

import amf0
import flv
import media as m
import rtmp
from node import BINARY, environment
from raw import Raw, exchange
from waiting import SLOW, scaled, wait_for

pytestmark = pytest.mark.core

BAD = r"session\.close reason=(bad_input|timeout)"
LOST = r"session\.close reason=(peer_closed|io_error)"


def hello(address):
    """A connection behind the handshake."""
    return rtmp.Connection(address).handshake()


# --- hostile RTMP ---


def nested(depth):
    """connect with objects in objects in objects."""
    body = amf0.encode_all("connect", 1) + b"\x03" + b"\0\x01a\x03" * depth
    return rtmp.chunks(rtmp.Message(rtmp.COMMAND, 3, 0, 0, body), 128)


def hostile():
    command = lambda body: rtmp.chunks(rtmp.Message(rtmp.COMMAND, 3, 0, 0, body), 128)
    control = lambda type, value: rtmp.chunks(rtmp.Message(type, 2, 0, 0, struct.pack(">I", value)), 128)

    def header(fmt, csid, length, type=20):
        return bytes([fmt << 6 | csid]) + b"\0\0\0" + length.to_bytes(3, "big") + bytes([type]) + bytes(4)

    return {
        "AMF0 nested 100,000 deep": nested(100_000),
        "AMF0 nested 5,000 deep": nested(5000),
        "a string longer than its message": command(b"\x02\xff\xffconnect"),
        "an array of four billion": command(amf0.encode_all("connect", 1) + b"\x0a\xff\xff\xff\xff"),
        "a command that is none": command(b"\xff" * 100),
        "publish before connect": command(amf0.encode_all("publish", 0, None, "x")),
        "a chunk of size 0": control(rtmp.SET_CHUNK, 0),
        "chunks of size 2^31": control(rtmp.SET_CHUNK, 0x7FFFFFFF),
        "another length in the middle": header(0, 3, 1000) + bytes(128) + header(0, 3, 200) + bytes(128),
        "type 3 on a new chunk stream": b"\xc7" + bytes(200),
        "a message of 16 MB before connect": header(0, 3, 0xFFFFFF) + bytes(128),
        "video before publish": header(0, 6, 100, 9) + bytes(100),
    }


@pytest.mark.parametrize("what", hostile())
def test_hostile_rtmp(node, closing, what):
    """That connection closes; the node does not grow, and serves on."""
    node.expect(BAD)
    before = node.memory_kib()
    bad = closing(hello(node.rtmp))
    try:
        bad.write_raw(hostile()[what])
    except rtmp.Closed:
        pass
    bad.wait_closed(15)
    if not SLOW:
        assert node.memory_kib() - before < 8 * 1024
    other = closing(hello(node.rtmp))
    assert other.connect()[0] == "_result"


def test_announced_bytes_cost_nothing(node, closing):
    """64 chunk streams announce 16 MB each: no memory for what has not come."""
    node.expect(BAD)
    before = node.memory_kib()
    for _ in range(20):
        bad = closing(hello(node.rtmp))
        try:
            for csid in range(3, 64):
                bad.write_raw(bytes([csid]) + b"\0\0\0" + b"\xff\xff\xff\x09" + bytes(4) + b"x")
        except rtmp.Closed:
            pass
    node.wait_metric("connections_open", 1, 15)
    if not SLOW:
        assert node.memory_kib() - before < 8 * 1024


def test_publisher_that_announces_much(node, closing, tags):
    """After publish, messages may be large; memory grows with what came."""
    node.expect(BAD, LOST)
    before = node.memory_kib()
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    for csid in range(8, 20):
        head = bytes([csid]) + b"\0\0\0" + (4 << 20).to_bytes(3, "big") + b"\x09" + struct.pack("<I", 1)
        publisher.connection.write_raw(head + bytes(100))
    publisher.send(*tags[0])
    if not SLOW:
        assert node.memory_kib() - before < 8 * 1024


def test_bad_media_does_not_end_a_stream(node, feed, play):
    """A message of a kind that is not known is passed over."""
    node.expect(r"publish\.passed_over", LOST)
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(20)
    publisher.halt()
    for body in (b"\xffhvc1rest", b"\x18\x00\x00\x00\x00", b"\x9fhvc1rest"):
        publisher.publisher.send(flv.VIDEO, publisher.sent[-1][1], body)
    at = publisher.sent[-1][1]
    publisher.publisher.send(flv.AUDIO, at, b"\xd0rest")
    publisher.publisher.send(flv.AUDIO, at, b"")
    publisher.publisher.send(flv.VIDEO, at, b"")
    publisher.publisher.send(flv.VIDEO, at + 33, b"\x27\x01\0\0\0\0\0\0\x01\x09")
    player.wait(lambda: player.media[-1] == publisher.sent[-1], 10, "the frame after the bad ones")
    assert not publisher.connection.closed


def test_handshakes_in_dribs_and_drabs(node, feed, play):
    """Five seconds for the handshake, ten for connect to publish or play; viewers see nothing of it."""
    node.expect(BAD)
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    slow = [Raw(node.rtmp, b"\x03") for _ in range(40)]
    idle = Raw(node.rtmp, b"\x03" + bytes(1536))
    idle.send(bytes(1536))
    began = time.monotonic()
    ended = {}

    def dribble():
        for n, raw in enumerate(slow):
            if n not in ended and (not raw.send(b"\0") or raw.read_some() is None):
                ended[n] = time.monotonic() - began
        return len(ended) == len(slow)

    wait_for(dribble, 20, "all handshakes to be given up", state=lambda: f"{len(ended)} ended")
    assert min(ended.values()) > 4
    idle.read_end(20)
    assert time.monotonic() - began > 8
    m.assert_unbroken(player.media, publisher.sent)
    for raw in (*slow, idle):
        raw.close()


@pytest.mark.parametrize("name", ["live/.x", "live/a..b", "live/x.flv", "live/x.m3u8", "live/" + "a" * 129, "live/a b",
                                  "live/a\r\nb", "live/\x1b[2J", "live/é", "live/a/b", "live/", "live/*", "live/{a}"])
def test_names_that_are_refused(node, closing, name):
    player, stream = rtmp.open_connection(node.rtmp, name)
    closing(player).command("play", None, stream, sid=1)
    player.wait_status("NetStream.Play.StreamNotFound", "NetStream.Play.Failed")
    player.wait_closed()
    publisher = closing(rtmp.Publisher(node.rtmp, name))
    publisher.connection.wait_status("NetStream.Publish.BadName", "NetStream.Publish.Denied")
    publisher.connection.wait_closed()
    assert all(line.isascii() and line.isprintable() for line in node.log.lines)


@pytest.mark.parametrize("app", ["api", "rtc", "relay", "", ".live", "a..b", "a" * 129, "live/other"])
def test_applications_that_are_refused(node, closing, app):
    connection = closing(hello(node.rtmp))
    kind, args = connection.connect(app)
    assert kind == "_error" and args[-1]["code"].startswith("NetConnection.Connect.")
    connection.wait_closed()


# --- too slow ---


def heavy(tags):
    """The same with big frames: some 6 Mbit/s, so that sockets fill."""
    filler = bytes(20_000)
    return [(t, ts, body + filler if t == flv.VIDEO and m.is_media((t, ts, body)) else body) for t, ts, body in tags]


@pytest.mark.parametrize("kind", ["rtmp", "flv"])
def test_slow_viewer(start, closing, tags, play, play_flv, kind):
    """It is moved on to newer key frames, never given a stream that cannot be decoded; others see nothing of it."""
    node = start("node", {"viewer.behind_ms": 1000})
    node.expect(r"(session|flv|http).*reason=(too_slow|stalled)")
    publisher = closing(m.Feeder(node.rtmp, "live/cam1", heavy(tags)))
    fast = play(node, "live/cam1")
    fast.wait_media(10)
    bucket = m.Bucket(1_500_000)
    if kind == "flv":
        slow = play_flv(node, "live/cam1", receive_buffer=32768, bucket=bucket)
    else:
        slow = play(node, "live/cam1", receive_buffer=32768).throttle(bucket)
    node.wait_metric("cursor_skips_total", lambda n: n >= 2, 30)
    bucket.free()
    count = len(fast.media)
    fast.wait_media(count + 60)
    m.assert_unbroken(fast.media, publisher.sent)
    assert node.metric("frames_skipped_total") > 0
    m.assert_forward(slow.media)
    # Where something is missing, a key frame follows.
    got = [t for t in slow.media if m.is_media(t)]
    wait_for(lambda: got[-1] in publisher.sent, 5, "the publisher to have noted what it sent")
    place = {t: i for i, t in enumerate(t for t in publisher.sent if m.is_media(t))}
    holes = 0
    for a, b in zip(got, got[1:]):
        if place[b] != place[a] + 1:
            holes += 1
            assert b[0] == flv.VIDEO and flv.packets(*b[::2])[0].is_key
    assert holes >= 2


def test_viewer_that_takes_nothing(start, closing, tags, play):
    """After viewer.stalled_ms it is closed."""
    node = start("node", {"viewer.stalled_ms": 1500, "viewer.behind_ms": 500})
    node.expect(r"reason=(too_slow|stalled)")
    publisher = closing(m.Feeder(node.rtmp, "live/cam1", heavy(tags)))
    fast = play(node, "live/cam1")
    fast.wait_media(10)
    dead = Raw(node.http, b"GET /live/cam1.flv HTTP/1.1\r\nHost: a\r\n\r\n")
    node.wait_metric("viewers_flv", 1)
    node.wait_metric("viewers_flv", 0, 30)
    closed = node.metrics()
    assert closed.get('closed_total{reason="stalled"}', 0) + closed.get('closed_total{reason="too_slow"}', 0) == 1
    m.assert_unbroken(fast.media, publisher.sent)
    dead.close()


def test_most_viewers(start, feed, play, play_flv):
    node = start("node", {"viewer.max": 2})
    feed(node, "live/cam1")
    players = [play(node, "live/cam1"), play_flv(node, "live/cam1")]
    for player in players:
        player.wait_media(5)
    refused = play_flv(node, "live/cam1")
    assert refused.wait_status() == 503 and "retry-after" in refused.headers
    node.expect(r"reason=overload")
    other = play(node, "live/cam1")
    other.wait_status("NetStream.Play.Failed")
    other.wait_closed()


# --- publishers ---


def test_silent_publisher(start, feed, play):
    """No media for publisher_timeout_ms: the transport is given up; lost_ms later the stream has ended."""
    node = start("node", {"stream.publisher_timeout_ms": 1000, "stream.lost_ms": 2000})
    node.expect(r"reason=(no_media|timeout)")
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(30)
    publisher.halt()
    began = time.monotonic()
    publisher.connection.wait_closed(15)
    assert time.monotonic() - began > 0.7
    assert "NetStream.Play.UnpublishNotify" not in player.statuses
    player.wait_status("NetStream.Play.UnpublishNotify", deadline=15)
    assert time.monotonic() - began > 2.5


def test_publisher_without_media(start, closing):
    """The first media has to come within ten seconds."""
    node = start("node")
    node.expect(r"reason=(no_media|timeout)")
    began = time.monotonic()
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    publisher.connection.wait_closed(25)
    assert time.monotonic() - began > 4


def test_publish_keys(start, closing, play):
    node = start("node", {"auth.publish_keys": ["right-key-1", "right-key-2"]})
    node.expect(r"reason=auth")
    for query in ("", "?token=wrong", "?token=", "?token=right-key-", "?token=right-key-11", "?key=right-key-1"):
        publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1" + query))
        publisher.connection.wait_status("NetStream.Publish.Denied")
        publisher.connection.wait_closed()
    for query in ("?token=right-key-1", "?a=b&token=right-key-2"):
        publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1" + query).accepted())
        publisher.finish()
    assert node.metric("publish_refused_total") == 6
    log = "\n".join(node.log.lines)
    assert "right-key" not in log and "token=wrong" not in log


def test_publish_key_in_the_application(start, closing):
    """OBS' "server" field with the token there: rtmp://HOST/live?token=KEY"""
    node = start("node", {"auth.publish_keys": ["right-key-1"]})
    c = closing(hello(node.rtmp))
    assert c.connect("live?token=right-key-1")[0] == "_result"
    c.create_stream()
    c.command("publish", None, "cam1", "live", sid=1)
    c.wait_status("NetStream.Publish.Start")


def test_open_publishing_is_warned_of(start):
    node = start("node", {"rtmp.listen": "0.0.0.0:0"})
    node.expect(r"auth\.open")
    assert node.log.find(r"warn .* auth\.open")


# --- PROXY protocol ---


SOURCE, TARGET = "203.0.113.7", "192.0.2.1"
V1 = f"PROXY TCP4 {SOURCE} {TARGET} 40000 1935\r\n".encode()
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
V2 += socket.inet_aton(SOURCE) + socket.inet_aton(TARGET) + struct.pack(">HH", 40000, 1935)
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"


@pytest.mark.parametrize("header, peer", [(V1, SOURCE), (V2, SOURCE), (V2_LOCAL, "127.0.0.1")], ids=["v1", "v2", "v2 local"])
def test_proxy_protocol(start, tags, closing, header, peer):
    node = start("node", {"rtmp.proxy_protocol": True, "http.proxy_protocol": True})
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1", prefix=header).accepted())
    assert peer in node.log.wait(r"publish\.start")
    publisher.send_all(tags[:60])
    status, _, _ = exchange(node.http, header + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert status == 200


@pytest.mark.parametrize("header", [b"PROXY TCP4 1 2 3 4\r\n", b"\x03" + bytes(1536), b"PROXY " + b"a" * 200, V2[:12] + b"\x31" + V2[13:]],
                         ids=["nonsense", "none", "endless", "version 3"])
def test_bad_proxy_protocol(start, header):
    node = start("node", {"rtmp.proxy_protocol": True})
    node.expect(r"proxy|bad_input|listen\.refused")
    raw = Raw(node.rtmp, header)
    assert raw.read_end(15) == b""
    raw.close()


# --- log lines ---


def test_json_log(start, feed, play):
    node = start("node", {"log.format": "json"})
    feed(node, "live/cam1")
    play(node, "live/cam1").wait_media(10)
    node.log.wait("publish.start")
    for line in node.log.lines:
        have = json.loads(line)
        assert {"time", "level", "object", "event"} <= set(have)
        assert all(isinstance(v, str) for v in have.values())
    assert any(json.loads(l)["event"] == "publish.start" and json.loads(l)["stream"] == "live/cam1" for l in node.log.lines)


def test_reload(start, tmp_path):
    """SIGHUP takes the log level; what only a restart can change is said."""
    conf = tmp_path / "s.yaml"
    conf.write_text("log:\n  level: warn\n")
    node = start("node", {"log.level": "info", "process.user": "root"}, arguments=["-c", str(conf)])
    node.expect(r"config\.")
    conf.write_text("log:\n  level: debug\nnode:\n  zone: other\n")
    node.signal(signal.SIGHUP)
    node.log.wait(r"config\.reloaded")
    assert "node.zone" in node.log.wait(r"config\.kept")
    conf.write_text("log:\n  level: nonsense\n")
    node.signal(signal.SIGHUP)
    assert f"{conf}:2:10" in node.log.wait(r"config\.reload_failed")


# --- going out of service ---


def test_drain(node, feed, play, play_flv):
    """Everybody is told, and the exit code is 0."""
    node.expect(LOST)
    publisher = feed(node, "live/cam1")
    player, other = play(node, "live/cam1"), play_flv(node, "live/cam1")
    waiting = play(node, "live/none")
    for p in (player, other):
        p.wait_media(30)
    node.signal(signal.SIGTERM)
    player.wait_closed()
    other.wait_closed()
    waiting.wait_closed()
    publisher.connection.wait_closed()
    assert node.wait_exit() == 0
    assert node.log.find(r"node\.drained")
    assert "NetStream.Play.Stop" in player.statuses or "NetStream.Play.UnpublishNotify" in player.statuses
    assert other.error is None and other.complete


def test_second_signal_stops_at_once(start, closing, tags):
    """A connection that takes nothing does not hold up the second signal."""
    node = start("node", {"node.drain_s": 60})
    node.expect(r"node\.stop_now", LOST, r"reason=")
    publisher = closing(m.Feeder(node.rtmp, "live/cam1", heavy(tags)))
    stuck = Raw(node.http, b"GET /live/cam1.flv HTTP/1.1\r\nHost: a\r\n\r\n")
    node.wait_metric("viewers_flv", 1)
    wait_for(lambda: len(publisher.sent) > 200, 10, "more than the socket holds")
    node.signal(signal.SIGTERM)
    node.log.wait(r"node\.drain ")
    node.signal(signal.SIGTERM)
    assert node.wait_exit(10) == 0
    stuck.close()


# --- settings ---


def sluice(*words, **environ):
    return subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=scaled(20), check=False,
                          env=environment(environ))


CONFIGS = {
    "unknown key": ("rtmp:\n  listn: \":1\"\n", "2:3"),
    "unknown section": ("rtpm:\n  listen: \":1\"\n", "1:1"),
    "wrong type": ("node:\n  workers: many\n", "2:12"),
    "out of range": ("node:\n  drain_s: -1\n", "2:12"),
    "bad address": ("rtmp:\n  listen: nowhere\n", "2:11"),
    "not YAML": ("rtmp: [\n", None),
    "twice": ("node:\n  id: a\n  id: b\n", "3:3"),
    "cluster without secret": ("cluster:\n  backend: redis\n", None),
    "admin on all addresses": ("admin:\n  listen: \":8090\"\n", None),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_wrong_configuration(tmp_path, what):
    text, place = CONFIGS[what]
    path = tmp_path / "s.yaml"
    path.write_text(text)
    for words in (["check", "-c", path], ["serve", "-c", path]):
        done = sluice(*words)
        assert done.returncode == 78, done
        assert str(path) in done.stderr or place is None
        if place:
            assert f"{path}:{place}" in done.stderr, done.stderr


def test_command_line(tmp_path):
    good = tmp_path / "s.yaml"
    good.write_text("node:\n  id: a\n")
    assert sluice("check", "-c", good).returncode == 0
    assert sluice("check").returncode == 0
    assert sluice("check", "--set", "node.workers=many").returncode == 78
    assert sluice("check", "-c", tmp_path / "none.yaml").returncode == 78
    assert sluice("nonsense").returncode == 64
    assert sluice("--nonsense").returncode == 64
    assert sluice("serve", "--set", "no.such=1").returncode == 78
    for url in ("redis://h:99999", "http://127.0.0.1"):
        assert sluice("serve", "--set", "cluster.backend=redis", "--set", "cluster.secret=0123456789abcdef",
                      "--set", f"cluster.redis.url={url}").returncode == 78
    assert sluice("serve", "--set", "node.workers=x").returncode == 78
    assert sluice("serve", SLUICE_NODE_WORKERS="x").returncode == 78
    assert sluice("--version").stdout.startswith("sluice ")
    assert sluice("--help").returncode == 0


def test_later_settings_win(start, tmp_path):
    """File, environment, --set."""
    path = tmp_path / "s.yaml"
    path.write_text("node:\n  id: from-file\n  zone: from-file\nlog:\n  format: text\n")
    node = start("node", {"node.id": "from-set"}, arguments=["-c", str(path)],
                 environ={"SLUICE_NODE_ID": "from-environment", "SLUICE_NODE_WORKERS": "1", "SLUICE_NO_SUCH": "1",
                          "SLUICE_HLS_SEGMENT_MS": "4000"})
    node.expect(r"config\.unknown_variable")
    assert node.get_json("/api/v1/node")["id"] == "from-set"
    assert node.log.find(r"config\.unknown_variable.*SLUICE_NO_SUCH")


def test_port_in_use(node):
    host, port = node.rtmp
    done = sluice("serve", "--set", f"rtmp.listen={host}:{port}", "--set", f"http.listen={host}:0",
                  "--set", f"admin.listen={host}:0", "--set", f"webrtc.listen={host}:0")
    assert done.returncode == 1
    assert "listen.failed" in done.stderr


def test_refused_by_redis_for_good(redis, start):
    """A wrong password at the start ends the node with the configuration's exit code."""
    redis.client().config_set("requirepass", "hunter2")
    node = start("node", {"cluster.backend": "redis", "cluster.redis.url": redis.url.replace("//", "//:wrong@"),
                          "cluster.secret": "a secret that is long enough"})
    node.expect(r" redis\.", r"cluster\.refused")
    assert node.wait_exit() == 78
    node.quiet_end = False
    assert "wrong" not in "\n".join(node.log.lines)


def test_half_open_connections(start, closing):
    """Loopback is not counted: a balancer or this test may have many."""
    node = start("node", {"limits.half_open_per_address": 4})
    for _ in range(20):
        closing(Raw(node.rtmp))
    node.wait_metric("connections_open", lambda n: n >= 20)


@pytest.mark.parametrize("kind", ["rtmp", "flv"])
def test_slow_viewer_gets_the_end(start, closing, tags, play, play_flv, kind):
    """The publisher says goodbye while a viewer is still behind: it gets the rest, then it is told."""
    node = start("node", {"viewer.behind_ms": 60000})
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    media = heavy(tags)
    publisher.send_all(media[:10])
    bucket = m.Bucket(8_000_000)
    if kind == "flv":
        slow = play_flv(node, "live/cam1", receive_buffer=32768, bucket=bucket)
    else:
        slow = play(node, "live/cam1", receive_buffer=32768).throttle(bucket)
    slow.wait_media(3)
    publisher.send_all(media[10:])
    publisher.finish("cam1")
    node.wait_metric("publishers", 0)
    assert len(slow.media) < len(media) / 2
    bucket.free()
    slow.wait(lambda: slow.media[-1] == publisher.sent[-1], 15, "the last frame")
    if kind == "flv":
        slow.wait_closed()
        assert slow.complete
    else:
        slow.wait_status("NetStream.Play.UnpublishNotify")
    m.assert_unbroken(slow.media, publisher.sent)


def test_dead_viewer_of_an_ended_stream(start, closing, tags):
    """It is not waited for longer than for any other that takes nothing."""
    node = start("node", {"viewer.behind_ms": 60000, "viewer.stalled_ms": 1000})
    node.expect(r"reason=(stalled|too_slow)")
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    publisher.send_all(heavy(tags))
    dead = Raw(node.http, b"GET /live/cam1.flv HTTP/1.1\r\nHost: a\r\n\r\n")
    node.wait_metric("play_total", 1)
    publisher.finish("cam1")
    node.wait_metric("viewers_flv", 0, 20)
    dead.close()
