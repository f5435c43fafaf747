"""Nodes that go out of service: by a signal, by an operator's word, and back."""
import http.client
import json
import signal
import threading
import time

import pytest

import flv
import media as m
import rtmp
from node import HOST
from raw import Raw
from waiting import scaled, wait_for
from webrtc_http import CANDIDATE, FRAGMENT, SDP, Session, offer

pytestmark = pytest.mark.core

LOST = r"session\.close reason=(peer_closed|io_error)"
NODE = "sluice:{default}:node:"
RECONNECT = "NetConnection.Connect.ReconnectRequest"
CAN_RECONNECT = {**rtmp.EVERYTHING, "capsEx": rtmp.EVERYTHING["capsEx"] | rtmp.CAPS_RECONNECT}


def drain(node, method="POST"):
    status, _, body = node.request("/api/v1/drain", method)
    assert status == 200
    return json.loads(body)


def readyz(node):
    return node.request("/readyz", port="http")[0]


def has_media_of(player, feeder, start):
    """The player has got what the feeder sent as its 90th message."""
    sent = feeder.sent[90][2]
    return any(body == sent for _, _, body in player.media[start:])


@pytest.fixture
def events(redis):
    pubsub = redis.client().pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("sluice:{default}:events")
    heard = []

    def listen(t, node):
        while (message := pubsub.get_message()) is not None:
            heard.append(json.loads(message["data"]))
        return sum(1 for e in heard if e["t"] == t and e["node"] == node)

    yield listen
    pubsub.close()


def test_idle_node_goes_at_once(start):
    node = start("node", {"node.drain_s": 60})
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < scaled(1)


def test_kept_connections_leave_for_another_node(start):
    """Behind a balancer a connection that is kept would lead to this node for ever."""
    node = start("node", {"node.drain_s": 60})
    host, port = node.http

    def ask(connection):
        connection.request("GET", "/api/v1/node")
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("Connection")

    idle, new = (http.client.HTTPConnection(host, port, timeout=scaled(10)) for _ in range(2))
    assert ask(idle) != "close"
    assert drain(node)["state"] == "drain"
    assert idle.sock.recv(1) == b""
    assert ask(new) == "close"
    drain(node, "DELETE")
    assert ask(new) != "close"
    idle.close()
    new.close()


def test_operator_drains_and_takes_it_back(start, feed, play, play_flv, tags, closing):
    """The node stays up without publishers and players, and takes both again."""
    node = start("node", {"node.drain_s": 3})
    node.expect(LOST)
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    assert drain(node, "DELETE")["state"] == "up"
    have = drain(node)
    assert set(have) == {"state", "publishers", "viewers"} and have["state"] == "drain" and have["publishers"] == 1
    assert drain(node)["state"] == "drain"
    assert readyz(node) == 503 and node.request("/healthz", port="http")[0] == 200
    assert node.get_json("/api/v1/node")["state"] == "drain"
    late = rtmp.player(node.rtmp, "live/cam1")
    late.wait_status("NetStream.Play.Failed")
    assert "out of service" in late.description("NetStream.Play.Failed")
    late.close()
    other = rtmp.Publisher(node.rtmp, "live/cam2")
    other.connection.wait_status("NetStream.Publish.Rejected")
    other.vanish()
    status, headers, _ = node.request("/live/cam1.flv", port="http")
    assert status == 503 and headers["Retry-After"]
    player.wait_closed()
    publisher.connection.wait_closed()
    node.wait_metric("publishers", 0)
    assert node.metric("viewers") == 0 and node.is_running()
    assert drain(node, "DELETE") == {"state": "up", "publishers": 0, "viewers": 0}
    assert readyz(node) == 200
    again = feed(node, "live/cam2")
    player = play(node, "live/cam2")
    player.wait_media(60)
    m.assert_unbroken(player.media, again.sent)


def test_drain_is_taken_back_in_time(start, feed, play):
    """Before its turn has come nobody has noticed anything."""
    node = start("node", {"node.drain_s": 60})
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    node.wait_metric("viewers", 1)
    assert drain(node, "DELETE")["state"] == "up"
    assert drain(node)["publishers"] == 1
    assert drain(node, "DELETE")["state"] == "up"
    assert not publisher.connection.closed
    play(node, "live/cam1").wait_media(10)


def test_cluster_hears_of_it(cluster, redis, events):
    origin = cluster.start("origin", "o1", {"cluster.heartbeat_ms": 2000})
    r = redis.client()
    wait_for(lambda: r.hget(NODE + "o1", "state") == "up", 10, "o1 to be up")
    assert events("drain", "o1") == 0
    begun = time.monotonic()
    drain(origin)
    wait_for(lambda: r.hget(NODE + "o1", "state") == "drain" and events("drain", "o1") == 1, 10, "o1 to drain")
    drain(origin, "DELETE")
    wait_for(lambda: r.hget(NODE + "o1", "state") == "up" and events("drain", "o1") == 2, 10, "o1 to be up again")
    assert time.monotonic() - begun < scaled(1)  # not with the next heartbeat


def test_cluster_asks_for_it(cluster, redis):
    """A request on the node's channel does what the operator's word does."""
    origin = cluster.start("origin", "o1")
    origin.log.wait(r"cluster\.start")
    text = json.dumps({"verb": "drain", "stream": "", "from": "test"})
    wait_for(lambda: redis.client().publish("sluice:{default}:to:o1", text) == 1, 10, "o1 to listen")
    origin.log.wait(r"node\.drain ")
    assert readyz(origin) == 503
    assert drain(origin, "DELETE")["state"] == "up"


@pytest.mark.parametrize("word", ["signal", "operator"])
def test_publisher_moves_to_the_other_origin(cluster, feed, play, play_flv, word):
    """It is asked, then closed; players on two edges stay, and time does not go back."""
    a, b = cluster.start("origin", "o1", {"node.drain_s": 6}), cluster.start("origin", "o2")
    edges = [cluster.start("edge", "e1"), cluster.start("edge", "e2")]
    for edge in edges:
        edge.expect(r" upstream\.")
    a.expect(LOST)
    first = feed(a, "live/cam1?token=a", abilities=CAN_RECONNECT)
    players = [p(e, "live/cam1") for e in edges for p in (play, play_flv)]
    for player in players:
        player.wait_media(60)
    if word == "signal":
        a.signal(signal.SIGTERM)
    else:
        drain(a)
    first.connection.wait_status(RECONNECT)
    assert not first.connection.closed and readyz(a) == 503
    first.connection.wait_status("NetStream.Publish.Rejected")
    first.connection.wait_closed()
    assert a.is_running()  # it stays for its edges until they have the next run
    second = feed(b, "live/cam1?token=a")
    cluster.wait_owner("live/cam1", "o2")
    wait_for(lambda: len(second.sent) > 100, 10, "media of the second")
    for player in players:
        player.wait(lambda p=player: has_media_of(p, second, 60), 10, "media of the second")
        assert not player.closed
        m.assert_forward(player.media)
        assert "NetStream.Play.UnpublishNotify" not in getattr(player, "statuses", [])
    if word == "signal":
        assert a.wait_exit() == 0


def test_publisher_that_follows_the_request(cluster, feed, play):
    """It says goodbye in order and goes: its viewers are held for it, not told that the stream has ended."""
    a, b = cluster.start("origin", "o1", {"node.drain_s": 60}), cluster.start("origin", "o2")
    edge = cluster.start("edge", "e1")
    edge.expect(r" upstream\.")
    first = feed(a, "live/cam1?token=a", abilities=CAN_RECONNECT)
    player = play(edge, "live/cam1")
    player.wait_media(60)
    begun = time.monotonic()
    a.signal(signal.SIGTERM)
    first.connection.wait_status(RECONNECT)
    first.finish()
    wait_for(lambda: not cluster.owner("live/cam1"), 5, "the released name")
    second = feed(b, "live/cam1?token=a")
    wait_for(lambda: len(second.sent) > 100, 10, "media of the second")
    player.wait(lambda: has_media_of(player, second, 60), 10, "media of the second")
    assert a.wait_exit() == 0
    assert time.monotonic() - begun < scaled(15)  # far from the third of its time
    assert not player.closed and "NetStream.Play.UnpublishNotify" not in player.statuses
    m.assert_forward(player.media)


def test_origin_stays_for_its_edges(cluster, feed, play):
    """Nobody publishes the stream again: the links stay as long as the time allows, the player longer."""
    origin = cluster.start("origin", "o1", {"node.drain_s": 5, "stream.lost_ms": 60000})
    edge = cluster.start("edge", "e1", {"stream.lost_ms": 60000})
    edge.expect(r" upstream\.")
    feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    begun = time.monotonic()
    assert origin.stop() == 0
    assert time.monotonic() - begun < scaled(5.5)
    assert edge.log.find(r"upstream\.end stream=live/cam1 node=o1 reason=3")
    assert not player.closed


class Crowd:
    """FLV players that do nothing but stay, and when each was closed."""

    def __init__(self, node, name, count):
        self.players = [flv.Player(node.http, f"/{name}.flv") for _ in range(count)]
        self.ends = []
        self.threads = [threading.Thread(target=self._watch, args=(p,), daemon=True) for p in self.players]

    def _watch(self, player):
        player.wait(lambda: player.closed, 60, "the end")
        self.ends.append((time.monotonic(), player.complete))

    def watch(self):
        for t in self.threads:
            t.start()
        return self

    def wait(self):
        for t in self.threads:
            t.join(scaled(60))
        return self.ends

    def close(self):
        for p in self.players:
            p.close()


def test_players_are_not_all_sent_away_at_once(cluster, feed, closing):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"node.drain_s": 9})
    origin.expect(r"relay\.")
    feed(origin, "live/cam1")
    crowd = closing(Crowd(edge, "live/cam1", 100))
    for p in crowd.players:
        p.wait_media(1, 20)
    crowd.watch()
    begun = time.monotonic()
    edge.signal(signal.SIGTERM)
    edge.log.wait(r"node\.drain ")
    assert readyz(edge) == 503
    ends = crowd.wait()
    times = sorted(t - begun for t, _ in ends)
    assert len(times) == 100 and all(complete for _, complete in ends)
    assert times[-1] - times[0] > 2
    assert max(sum(1 for t in times if s <= t < s + 0.1) for s in times) < 20 or scaled(1) > 1
    assert edge.wait_exit() == 0
    assert time.monotonic() - begun < scaled(9)


def test_stuck_player_does_not_hold_the_end(start, closing, tags):
    """It takes nothing and does not answer; the node is gone in time."""
    from test_limits import heavy
    node = start("node", {"node.drain_s": 4})
    node.expect(LOST, r"reason=")
    publisher = closing(m.Feeder(node.rtmp, "live/cam1", heavy(tags)))
    stuck = [Raw(node.http, b"GET /live/cam1.flv HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(3)]
    node.wait_metric("viewers_flv", 3)
    wait_for(lambda: len(publisher.sent) > 200, 10, "more than the socket holds")
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < scaled(4.5)
    for s in stuck:
        s.close()


def test_requests_under_way_at_the_end(cluster, feed, closing):
    """A node that has to end at once while it waits for another one, which stands still: nothing is left of what it asked."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"node.drain_s": 0})
    origin.expect(r" ")
    edge.expect(r" (upstream|pull|carry|carrier|publish|session|http|claim|relay|resolve|node|rtc|hls|whip|whep)\.")
    feed(origin, "live/cam1")
    session = Session(origin, "/live/cam2/whip", "chrome-whip")
    assert session.get(edge).status == 204
    origin.signal(signal.SIGSTOP)
    patch = f"If-Match: {session.etag}\r\nContent-Type: {FRAGMENT}\r\nContent-Length: {len(CANDIDATE)}"
    bodies = {"PATCH": (patch, CANDIDATE), "POST": (f"Content-Type: {SDP}\r\nContent-Length: {len(offer('chrome-whip'))}", offer("chrome-whip"))}
    lines = [f"{verb} {session.url}" for verb in ("GET", "PATCH", "DELETE") for _ in range(8)]
    lines += [f"POST /live/new{n}/whip" for n in range(4)] + ["POST /live/cam1/whep"] * 4
    lines += ["GET /live/cam1.flv", "GET /live/cam1/index.m3u8", "GET /live/cam3.flv"]
    for line in lines:
        verb = line.split()[0]
        head, body = bodies.get(verb, ("X: y", ""))
        closing(Raw(edge.http, f"{line} HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}".encode()))
    for n in range(4):
        closing(rtmp.Publisher(edge.rtmp, f"live/more{n}"))
    edge.wait_metric("rtc_carries_total", lambda n: n >= 20)
    assert edge.stop() == 0
    origin.signal(signal.SIGCONT)
