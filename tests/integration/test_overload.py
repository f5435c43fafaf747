"""Nodes that stood still, that are late, or that have nothing left: what they must not do, and whom they still serve."""
import itertools
import signal
import socket
import struct
import threading
import time

import pytest

import media as m
import rtmp
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

LOST = r"session\.close reason=(peer_closed|io_error|fenced)"
KEY, DELTA = b"\x17\x01\0\0\0", b"\x27\x01\0\0\0"
FRAME_S = 0.02


class Marked:
    """Publishes frames that say who made them and which they are."""

    def __init__(self, address, name, who, tags):
        self.publisher = rtmp.Publisher(address, name)
        self.connection, self.who, self.count, self.ending = self.publisher.connection, who, 0, False
        self.publisher.accepted()
        self.publisher.send_all([t for t in tags if t[2][1:2] == b"\0" and t[0] == rtmp.VIDEO][:1])
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            for i in itertools.count():
                if self.ending:
                    return
                body = (DELTA if i % 25 else KEY) + struct.pack(">4sI", self.who, i) + bytes(1000)
                self.count = i
                self.publisher.send(rtmp.VIDEO, int(i * FRAME_S * 1000), body)
                time.sleep(FRAME_S)
        except rtmp.Closed:
            pass

    def vanish(self):
        self.ending = True
        self.publisher.vanish()
        self.thread.join(scaled(10))


def marks(media):
    """(who, which) of each frame a player got."""
    return [struct.unpack(">4sI", body[5:13]) for type, _, body in media
            if type == rtmp.VIDEO and body[:5] in (KEY, DELTA) and len(body) > 1000]


def newest(player, who):
    return max((i for w, i in marks(player.media) if w == who), default=-1)


def local_of(node, name):
    rows = {r["name"]: r for r in node.get_json("/api/v1/streams")["streams"]}
    return rows.get(name, {}).get("local")


@pytest.mark.parametrize("seconds", [5, 12])
def test_revived_origin_sends_nothing_old(cluster, play, play_flv, tags, closing, seconds):
    """Its publisher has gone to another node meanwhile: what still lay in its sockets is nobody's."""
    a = cluster.start("node", "o1", {"stream.publisher_timeout_ms": 30000})
    b, edge = cluster.start("origin", "o2"), cluster.start("edge", "e1")
    a.expect(r"claim\.fenced", LOST, r"relay\.", r" redis\.", r" upstream\.")
    edge.expect(r" upstream\.", r" pull\.")
    first = closing(Marked(a.rtmp, "live/cam1?token=a", b"one_", tags))
    players = [p(n, "live/cam1") for n in (a, edge) for p in (play, play_flv)]
    for player in players:
        player.wait(lambda p=player: newest(p, b"one_") > 20, 10, "the first")
    a.signal(signal.SIGSTOP)
    last = first.count + 2
    stopped = time.monotonic()
    edge.wait_metric("pull_reconnects_total", lambda n: n >= 1, 10)
    second = closing(Marked(b.rtmp, "live/cam1?token=a", b"two_", tags))
    for player in players[2:]:
        player.wait(lambda p=player: newest(p, b"two_") > 20, 10, "the second at the edge")
    wait_for(lambda: time.monotonic() - stopped > seconds, seconds + 5, "the time to go on")
    assert first.count > last + 50  # there is something old to be sent
    a.signal(signal.SIGCONT)
    revived = time.monotonic()
    wait_for(lambda: local_of(a, "live/cam1") == "pull", 5, "o1 to be a replica")
    print(f"a replica after {(time.monotonic() - revived) * 1000:.0f} ms")
    assert time.monotonic() - revived < scaled(1)
    first.connection.wait_status("NetStream.Publish.BadName")
    upto = second.count
    for player in players:
        player.wait(lambda p=player: newest(p, b"two_") > upto + 25, 10, "the second")
        assert newest(player, b"one_") <= last
        assert not player.closed
        m.assert_forward(player.media)


def test_node_that_stood_still_alone(cluster, redis, play, tags, closing):
    """The directory does not answer either: after a moment it goes on as before, without a hole."""
    node = cluster.start("node", "n1", {"stream.publisher_timeout_ms": 30000})
    node.expect(r"cluster\.unconfirmed", r" redis\.")
    publisher = closing(Marked(node.rtmp, "live/cam1", b"one_", tags))
    player = play(node, "live/cam1")
    player.wait(lambda: newest(player, b"one_") > 20, 10, "media")
    redis.process.send_signal(signal.SIGSTOP)
    node.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_for(lambda: time.monotonic() - stopped > 3, 10, "three seconds")
    node.signal(signal.SIGCONT)
    upto = publisher.count
    player.wait(lambda: newest(player, b"one_") > upto + 25, 10, "media again")
    redis.process.send_signal(signal.SIGCONT)
    have = [i for _, i in marks(player.media)]
    assert have == list(range(have[0], have[0] + len(have)))
    assert node.log.find(r"loop\.gap") and node.log.find(r"cluster\.unconfirmed")


def test_late_node_takes_no_more_players(start, feed, play):
    """Handlers come late: new players are refused, those that are there and publishers are not."""
    node = start("node", {"limits.loop_lag_ms": 50})
    node.expect(r"session\.close reason=overload")
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    ending = threading.Event()

    def hinder():
        while not ending.is_set():
            node.signal(signal.SIGSTOP)
            time.sleep(0.15)
            node.signal(signal.SIGCONT)
            time.sleep(0.05)

    thread = threading.Thread(target=hinder, daemon=True)
    thread.start()
    try:
        node.wait_metric("loop_lag_us", lambda us: us > 60000, 20)
        status, headers, _ = node.request("/live/cam1.flv", port="http")
        assert status == 503 and headers["Retry-After"]
        late = rtmp.player(node.rtmp, "live/cam1")
        late.wait_status("NetStream.Play.Failed")
        late.close()
        feed(node, "live/cam2")
        node.wait_metric("publishers", 2)
    finally:
        ending.set()
        thread.join()
    assert node.metric("viewers_shed_total") >= 2
    node.wait_metric("loop_lag_us", lambda us: us < 50000, 20)
    count = len(player.media)
    play(node, "live/cam1").wait_media(10)
    player.wait_media(count + 30)
    assert not publisher.connection.closed


def test_out_of_descriptors(cluster, feed, play):
    """Players are refused, and other nodes, health checks and those that are there are not."""
    origin = cluster.start("node", "o1", prefix=("prlimit", "--nofile=300:300"))
    edge = cluster.start("edge", "e1")
    origin.expect(r"listen\.refused", r" session\.close")
    feed(origin, "live/cam1")
    player = play(origin, "live/cam1")
    player.wait_media(10)
    crowd = []
    for _ in range(400):
        s = socket.create_connection(origin.http)
        crowd.append(s)
    origin.wait_metric("connections_refused_total", lambda n: n > 50)
    other = play(edge, "live/cam1")
    other.wait_media(30)
    assert origin.request("/healthz")[0] == 200
    count = len(player.media)
    player.wait_media(count + 30)
    for s in crowd:
        s.close()
    play(origin, "live/cam1").wait_media(10)
