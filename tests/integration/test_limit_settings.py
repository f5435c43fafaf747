"""Every limit that is a setting: what it refuses, its metric and its line."""
import signal
import time

import pytest

import media as m
import rtmp
from raw import Raw, exchange
from test_limits import heavy
from waiting import SLOW, wait_for

pytestmark = pytest.mark.core

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LOST = r"session\.close reason=(peer_closed|io_error)"


def reached(node, setting, at_least=1):
    """The metric counts, and a line names the setting."""
    node.wait_metric(f'limit_reached_total{{setting="{setting}"}}', lambda n: n >= at_least)
    assert node.log.wait(rf"limit\.reached setting={setting} who=\S")


def proxied(address, source, data=b""):
    """A connection that a balancer says comes from `source`: loopback itself is not counted."""
    return Raw(address, f"PROXY TCP4 {source} 192.0.2.1 40000 80\r\n".encode() + data)


def closed(raw):
    return raw.read_some(0.05) is None


def test_connections_in_all(start, closing):
    node = start("node", {"limits.connections": 20})
    held = [closing(Raw(node.rtmp)) for _ in range(30)]
    wait_for(lambda: sum(closed(r) for r in held) >= 10, 10, "connections to be refused")
    reached(node, "limits.connections", 10)
    assert sum(not closed(r) for r in held) <= 20
    assert node.request("/healthz")[0] == 200  # an admin is let in
    for raw in held:
        raw.close()
    wait_for(lambda: exchange(node.http, HEALTH)[0] == 200, 10, "room again")


def test_connections_per_address(start, closing):
    node = start("node", {"http.proxy_protocol": True, "limits.connections_per_address": 3})
    held = [closing(proxied(node.http, "203.0.113.7", HEALTH[:20])) for _ in range(5)]
    wait_for(lambda: sum(closed(r) for r in held) == 2, 10, "two to be refused")
    reached(node, "limits.connections_per_address", 2)
    other = closing(proxied(node.http, "203.0.113.8", HEALTH))
    assert b" 200 " in other.read_end()


def test_half_open_per_address(start, closing):
    node = start("node", {"rtmp.proxy_protocol": True, "limits.half_open_per_address": 4})
    node.expect(r"session\.close reason=timeout")
    held = [closing(proxied(node.rtmp, "203.0.113.7", b"\x03")) for _ in range(7)]
    wait_for(lambda: sum(closed(r) for r in held) == 3, 10, "three to be refused")
    reached(node, "limits.half_open_per_address", 3)


def test_handshake_deadline(start, closing):
    node = start("node", {"limits.handshake_ms": 300, "http.proxy_protocol": True})
    node.expect(r"session\.close reason=timeout")
    began = time.monotonic()
    raws = [closing(Raw(node.rtmp, b"\x03" + bytes(10))), closing(Raw(node.http, b"PROXY TCP4"))]
    for raw in raws:
        raw.read_end(10)
    assert SLOW or time.monotonic() - began < 4
    reached(node, "limits.handshake_ms", 2)


def test_request_deadline(start, closing):
    """HTTP: of a request; RTMP: from the handshake to publish or play."""
    node = start("node", {"limits.request_ms": 300})
    node.expect(r"session\.close reason=timeout")
    raw = closing(Raw(node.http, HEALTH[:30]))
    assert raw.read_end().startswith(b"HTTP/1.1 408 ")
    client = closing(rtmp.Connection(node.rtmp).handshake())
    client.connect("live")
    client.wait_closed(10)
    reached(node, "limits.request_ms", 2)


def test_bytes_before_publish(start, closing, tags):
    """Who only talks is not listened to for ever; who publishes may send more."""
    node = start("node", {"limits.unaccepted_bytes": 16384})
    node.expect(r"session\.close reason=bad_input", LOST)
    talker = closing(rtmp.Connection(node.rtmp).handshake())
    talker.connect("live")
    try:
        for _ in range(8):
            talker.command("hello", None, "x" * 4000)
    except rtmp.Closed:
        pass
    talker.wait_closed(10)
    reached(node, "limits.unaccepted_bytes")
    publisher = closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    publisher.send_all(tags)
    assert not publisher.connection.closed


def refused(closing, node, name):
    publisher = closing(rtmp.Publisher(node.rtmp, name))
    publisher.connection.wait_status("NetStream.Publish.BadName", "NetStream.Publish.Rejected")
    publisher.connection.wait_closed()


def test_streams_of_a_node(start, closing, feed):
    node = start("node", {"limits.streams": 2})
    node.expect(r"reason=overload", LOST)
    first, second = feed(node, "live/one"), feed(node, "live/two")
    refused(closing, node, "live/three")
    reached(node, "limits.streams")
    second.finish()
    node.wait_metric("publishers", 1)

    def accepted():
        try:
            closing(rtmp.Publisher(node.rtmp, "live/three").accepted())
            return True
        except AssertionError:
            return False

    wait_for(accepted, 10, "the second's place")
    assert not first.connection.closed


def test_streams_of_an_edge(cluster, feed, play_flv):
    """What it would pull counts as well."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"limits.streams": 1})
    feed(origin, "live/one"), feed(origin, "live/two")
    play_flv(edge, "live/one").wait_media(10)
    assert play_flv(edge, "live/two").wait_status() == 404
    reached(edge, "limits.streams")


def test_publishers_of_an_application(start, closing, feed):
    node = start("node", {"limits.publishers_per_app": 1})
    node.expect(r"reason=overload")
    feed(node, "live/one")
    refused(closing, node, "live/two")
    feed(node, "other/one")
    reached(node, "limits.publishers_per_app")


def test_memory_of_the_process(start, closing, feed, play_flv, tmp_path, tags):
    """Tight: who plays goes on, but slow ones are let go; nobody new comes. Enough again: all is as before."""
    conf = tmp_path / "s.yaml"
    conf.write_text("limits:\n  memory_bytes: 17179869184\n")
    node = start("node", {"viewer.behind_ms": 2000, "process.user": "root"}, arguments=["-c", str(conf)])
    node.expect(r"reason=overload", r"memory\.level", r"reason=(too_slow|stalled)")
    closing(m.Feeder(node.rtmp, "live/cam1", heavy(tags)))
    fast = play_flv(node, "live/cam1")
    fast.wait_media(10)
    slow = play_flv(node, "live/cam1", receive_buffer=32768, bucket=m.Bucket(600_000))
    slow.wait_media(1)

    conf.write_text("limits:\n  memory_bytes: 16777216\n")
    node.signal(signal.SIGHUP)
    node.log.wait(r"memory\.level level=out .*setting=limits\.memory_bytes")
    assert node.metric("memory_level") == 2
    assert play_flv(node, "live/cam1").wait_status() == 503
    refused(closing, node, "live/two")
    reached(node, "limits.memory_bytes", 2)
    node.wait_metric("viewers_flv", 1, 30)
    count = len(fast.media)
    fast.wait_media(count + 30)

    conf.write_text("limits:\n  memory_bytes: 17179869184\n")
    node.signal(signal.SIGHUP)
    node.log.wait(r"memory\.level level=enough")
    play_flv(node, "live/cam1").wait_media(5)


def test_viewers_are_named(start, feed, play_flv):
    node = start("node", {"viewer.max": 1})
    feed(node, "live/cam1")
    play_flv(node, "live/cam1").wait_media(5)
    assert play_flv(node, "live/cam1").wait_status() == 503
    reached(node, "viewer.max")
