"""Origins and edges that find each other through Redis (contract.md: Redis), and what happens when something of it dies."""
import json
import re
import signal
import time

import pytest

import media as m
import rtmp
from waiting import wait_for

pytestmark = pytest.mark.core

STREAM = "sluice:{default}:stream:"
NODE = "sluice:{default}:node:"
STREAM_FIELDS = set("node instance session publisher addr proto epoch state since msn dsn tracks takeovers lease_ms".split())
NODE_FIELDS = set("instance addr http role zone version pv_min pv_max state streams viewers load since".split())
LOST = r"session\.close reason=(peer_closed|io_error)"


def allow_redis_trouble(*nodes):
    for node in nodes:
        node.expect(r" redis\.", r"claim\.restored")


@pytest.fixture
def events(redis, closing):
    """Everything that is said on the cluster's channel, as it was said."""
    pubsub = redis.client().pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("sluice:{default}:events")
    heard = []

    def listen():
        while (message := pubsub.get_message()) is not None:
            heard.append(json.loads(message["data"]))
        return heard

    yield listen
    pubsub.close()


def heard_of(events, t, **wanted):
    def look():
        for event in events():
            if event["t"] == t and all(event.get(k) == v for k, v in wanted.items()):
                return event
        return None
    return wait_for(look, 10, f"the event {t}", state=lambda: str(events()))


# --- what Redis says ---


def test_keys_of_a_node(cluster, redis):
    origin = cluster.start("origin", "o1", {"node.zone": "z1"})
    cluster.start("edge", "e1")
    r = redis.client()
    wait_for(lambda: set(r.zrange("sluice:{default}:nodes", 0, -1)) == {"o1", "e1"}, 10, "both nodes")
    have = r.hgetall(NODE + "o1")
    assert set(have) == NODE_FIELDS
    assert have["role"] == "origin" and have["zone"] == "z1" and have["state"] == "up"
    assert have["addr"] == origin.ports["cluster"] and have["http"] == origin.ports["http"]
    assert have["instance"] == origin.get_json("/api/v1/node")["instance"]
    assert 0 < r.pttl(NODE + "o1") <= 10000
    seconds, _ = r.time()
    assert abs(r.zscore("sluice:{default}:nodes", "o1") / 1000 - seconds) < 10


def test_keys_and_events_of_a_stream(cluster, redis, events, feed):
    origin = cluster.start("origin", "o1")
    publisher = feed(origin, "live/cam1?token=abc")
    have = cluster.wait_owner("live/cam1", "o1")
    assert set(have) == STREAM_FIELDS
    assert have["addr"] == origin.ports["cluster"] and have["proto"] == "rtmp" and have["state"] == "live"
    assert re.fullmatch(r"[0-9a-f]{64}", have["publisher"])
    assert have["lease_ms"] == "10000" and have["instance"] == origin.get_json("/api/v1/node")["instance"]
    r = redis.client()
    assert 0 < r.pttl(STREAM + "live/cam1") <= 10000
    seconds, _ = r.time()
    assert abs(int(have["since"]) / 1e6 - seconds) < 60
    assert int(have["epoch"]) <= int(r.get("sluice:{default}:epoch"))
    own = heard_of(events, "own", stream="live/cam1")
    assert own["node"] == "o1" and own["epoch"] == have["epoch"] and own["addr"] == have["addr"]
    assert own["instance"] == have["instance"] and isinstance(own["v"], int)
    publisher.finish()
    cluster.wait_no_owner("live/cam1")
    end = heard_of(events, "end", stream="live/cam1")
    assert end["v"] > own["v"]


def test_secrets_are_nowhere(cluster, redis, feed):
    """Neither the token nor the session is told to those who ask."""
    origin = cluster.start("node", "o1")
    feed(origin, "live/cam1?token=abcdefgh")
    session = cluster.wait_owner("live/cam1", "o1")["session"]
    said = json.dumps([origin.get_json(p) for p in ("/api/v1/node", "/api/v1/streams", "/api/v1/streams/live/cam1")])
    said += "\n".join(origin.log.lines)
    assert session not in said and "abcdefgh" not in said
    r = redis.client()
    assert not any("abcdefgh" in str(r.hgetall(k)) for k in r.keys("sluice:*stream*"))


def test_clean_end_and_lost_transport(cluster, feed, play):
    origin = cluster.start("origin", "o1", {"stream.lost_ms": 4000})
    edge = cluster.start("edge", "e1")
    origin.expect(LOST)
    clean = feed(origin, "live/clean")
    player = play(edge, "live/clean")
    player.wait_media(30)
    clean.finish()
    player.wait_status("NetStream.Play.UnpublishNotify")
    cluster.wait_no_owner("live/clean")

    lost = feed(origin, "live/lost")
    player = play(edge, "live/lost")
    player.wait_media(30)
    lost.vanish()
    cluster.wait_owner("live/lost", state="lost")
    assert "NetStream.Play.UnpublishNotify" not in player.statuses
    player.wait_status("NetStream.Play.UnpublishNotify", deadline=15)
    cluster.wait_no_owner("live/lost")


# --- viewers at edges ---


def test_publish_is_seen_at_an_edge(cluster, feed, play, play_flv):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    publisher = feed(origin, "live/cam1")
    for player in (play(edge, "live/cam1"), play_flv(edge, "live/cam1")):
        player.wait_media(60)
        m.assert_unbroken(player.media, publisher.sent)


def test_viewer_that_is_there_first_is_served(cluster, feed, play, play_flv):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"stream.wait_ms": 20000})
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    edge.wait_metric("viewers", 2)
    publisher = feed(origin, "live/cam1")
    for player in players:
        player.wait_media(60)
        m.assert_unbroken(player.media, publisher.sent)


def test_one_pull_for_twenty_viewers(cluster, feed, play, play_flv):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    publisher = feed(origin, "live/cam1")
    players = [begin(edge, "live/cam1") for _ in range(10) for begin in (play, play_flv)]
    for player in players:
        player.wait_media(40, 20)
        m.assert_unbroken(player.media, publisher.sent)
    assert edge.metric("pulls_total") == 1
    assert origin.metric("relays") == 1
    assert edge.metric("viewers") == 20


def test_idle_pull_stops(cluster, feed, play):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(20)
    assert edge.metric("pulls") == 1
    player.close()
    edge.wait_metric("pulls", 0)
    origin.wait_metric("relays", 0)
    again = play(edge, "live/cam1")
    again.wait_media(20)


def test_roles(cluster, play, play_flv):
    """Publishers are taken everywhere (test_carry.py), players are not."""
    origin = cluster.start("origin", "o1")
    player = play(origin, "live/cam1")
    player.wait_status("NetStream.Play.Failed")
    assert "edge" in player.description("NetStream.Play.Failed")
    assert play_flv(origin, "live/cam1").wait_status() == 403


def test_kick_from_another_node(cluster, feed, play):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    publisher = feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(20)
    status, _, _ = edge.request("/api/v1/streams/live/cam1", method="DELETE")
    assert status in (200, 202)
    publisher.connection.wait_closed()
    player.wait_status("NetStream.Play.UnpublishNotify")
    cluster.wait_no_owner("live/cam1")
    assert edge.request("/api/v1/streams/live/none", method="DELETE")[0] == 404


def test_streams_of_the_whole_cluster(cluster, feed, play):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(20)
    def row():
        found = edge.get_json("/api/v1/streams?scope=cluster")["streams"]
        return found[0] if len(found) == 1 and found[0]["owner"] == "o1" else None
    have = wait_for(row, 10, "one stream")
    assert have["name"] == "live/cam1" and {t["codec"] for t in have["tracks"]} == {"h264", "aac"}
    one = edge.get_json("/api/v1/streams/live/cam1", port="http")
    assert one.get("owner", one.get("stream", {}).get("owner")) == "o1"
    nodes = wait_for(lambda: len(have := edge.get_json("/api/v1/nodes")["nodes"]) == 2 and have, 10, "two nodes")
    assert {n["id"] for n in nodes} == {"o1", "e1"}
    assert all(set(n) >= {"id", "addr", "http", "role", "state", "streams", "viewers", "age_ms"} for n in nodes)


# --- who may have a name ---


def test_two_publishers_on_two_origins(cluster, feed, play, closing):
    """Different credentials: the first stays, the second is told that the name is taken."""
    a, b, edge = cluster.start("origin", "o1"), cluster.start("origin", "o2"), cluster.start("edge", "e1")
    first = feed(a, "live/cam1?token=a")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    second = closing(rtmp.Publisher(b.rtmp, "live/cam1?token=b"))
    second.connection.wait_status("NetStream.Publish.BadName")
    count = len(player.media)
    player.wait_media(count + 60)
    m.assert_unbroken(player.media, first.sent)
    assert cluster.owner("live/cam1")["node"] == "o1"


def test_same_publisher_moves_to_another_origin(cluster, feed, play, play_flv):
    """It takes over at once; viewers stay connected, and their time goes forward."""
    a, b, edge = cluster.start("origin", "o1"), cluster.start("origin", "o2"), cluster.start("edge", "e1")
    a.expect(r"claim\.fenced", LOST)
    first = feed(a, "live/cam1?token=a")
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    for player in players:
        player.wait_media(60)
    second = feed(b, "live/cam1?token=a")
    first.connection.wait_closed()
    cluster.wait_owner("live/cam1", "o2")
    wait_for(lambda: len(second.sent) > 150, 10, "media of the second")
    wanted = second.sent[100][2]
    for player in players:
        player.wait(lambda p=player: any(body == wanted for _, _, body in p.media), 10, "media of the second")
        assert not player.closed
        m.assert_forward(player.media)
    assert edge.metric("takeover_total") >= 1
    assert edge.metric("pulls_total") <= 2


def test_origin_dies_and_publisher_goes_to_another(cluster, feed, play, play_flv):
    a, b, edge = cluster.start("origin", "o1"), cluster.start("origin", "o2"), cluster.start("edge", "e1")
    edge.expect(r" upstream\.", r"source_lost")
    feed(a, "live/cam1?token=a")
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    for player in players:
        player.wait_media(60)
    a.kill()
    second = feed(b, "live/cam1?token=a")
    for player in players:
        player.wait(lambda p=player: any(body == second.sent[60][2] for _, _, body in p.media[60:])
                    if len(second.sent) > 60 else False, 15, "media of the second")
        assert not player.closed
        m.assert_forward(player.media)


def test_origin_dies_for_good(cluster, feed, play, play_flv):
    """Viewers are held for viewer.hold_ms, then told that it is over."""
    a, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"viewer.hold_ms": 3000})
    edge.expect(r" upstream\.", r"source_lost", r" pull\.")
    feed(a, "live/cam1")
    first, second = play(edge, "live/cam1"), play_flv(edge, "live/cam1")
    first.wait_media(60)
    second.wait_media(60)
    a.kill()
    began = time.monotonic()
    first.wait_closed(20)
    second.wait_closed(20)
    assert time.monotonic() - began > 2.5


# --- Redis away ---


def test_redis_dies_while_playing(cluster, redis, feed, play, play_flv):
    """Nobody sees it; the keys are back, with the same epoch, after it returns empty."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    allow_redis_trouble(origin, edge)
    publisher = feed(origin, "live/cam1")
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    for player in players:
        player.wait_media(30)
    before = cluster.wait_owner("live/cam1", "o1")
    redis.kill()
    for node in (origin, edge):
        node.wait_metric("redis_up", 0)
    counts = [len(p.media) for p in players]
    for player, count in zip(players, counts):
        player.wait_media(count + 150)
    assert origin.request("/healthz")[0] == edge.request("/readyz", port="http")[0] == 200
    redis.start()
    began = time.monotonic()
    after = cluster.wait_owner("live/cam1", "o1", 16)
    print(f"keys are back after {time.monotonic() - began:.2f} s")
    assert after["epoch"] == before["epoch"]
    counts = [len(p.media) for p in players]
    for player, count in zip(players, counts):
        player.wait_media(count + 60)
        m.assert_unbroken(player.media, publisher.sent)
    assert edge.metric("pulls_total") == 1 and edge.metric("pull_reconnects_total") == 0
    for node in (origin, edge):
        node.wait_metric("redis_up", 1)


def test_publish_while_redis_is_away(cluster, redis, feed, play):
    """Accepted at once, served at its own node, registered later."""
    node, edge = cluster.start("node", "o1"), cluster.start("edge", "e1")
    allow_redis_trouble(node, edge)
    redis.kill()
    node.wait_metric("redis_up", 0)
    publisher = feed(node, "live/late")
    here = play(node, "live/late")
    here.wait_media(40)
    redis.start()
    cluster.wait_owner("live/late", "o1", 16)
    there = play(edge, "live/late")
    there.wait_media(40)
    for player in (here, there):
        m.assert_unbroken(player.media, publisher.sent)


def test_unknown_stream_while_redis_is_away(cluster, redis, feed, play):
    """The edge asks the origins it knew last."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1", {"stream.wait_ms": 10000})
    allow_redis_trouble(origin, edge)
    publisher = feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    wait_for(lambda: len(edge.get_json("/api/v1/nodes")["nodes"]) == 2, 10, "both nodes to be known")
    redis.kill()
    edge.wait_metric("redis_up", 0)
    player = play(edge, "live/cam1")
    player.wait_media(40)
    m.assert_unbroken(player.media, publisher.sent)


def test_start_without_redis(cluster, redis, feed, play):
    """A node starts all the same, and joins when Redis is there."""
    redis.kill()
    node = cluster.start("node", "n1")
    allow_redis_trouble(node)
    publisher = feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(30)
    redis.start()
    cluster.wait_owner("live/cam1", "n1", 16)
    m.assert_unbroken(player.media, publisher.sent)


def test_relay_wants_a_signature(cluster, feed):
    origin = cluster.start("origin", "o1")
    origin.expect(r"relay", r"auth")
    feed(origin, "live/cam1")
    for path in ("/relay/v1/live/cam1", "/cluster/v1/streams"):
        assert origin.request(path, port="cluster")[0] in (401, 403)


def test_wrong_secret_gets_nothing(cluster, feed, play):
    origin = cluster.start("origin", "o1")
    edge = cluster.start("edge", "e1", {"cluster.secret": "another secret, just as long as it has to be"})
    origin.expect(r"relay", r"auth")
    edge.expect(r"upstream", r"auth")
    feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    player = play(edge, "live/cam1")
    player.wait_status("NetStream.Play.StreamNotFound")
    assert not player.media
    assert origin.metric("relay_auth_failed_total") >= 1


def test_drained_origin_leaves_redis(cluster, redis, events, feed):
    origin = cluster.start("origin", "o1")
    publisher = feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    assert origin.stop() == 0
    publisher.connection.wait_closed()
    r = redis.client()
    assert r.hgetall(STREAM + "live/cam1") == {} and r.hgetall(NODE + "o1") == {}
    assert r.zrange("sluice:{default}:nodes", 0, -1) == []


# --- going away and coming back ---


def test_edge_dies(cluster, feed, play):
    """The origin lets go of its relay; viewers that come back at once share one pull of the next edge."""
    origin, a, b = cluster.start("origin", "o1"), cluster.start("edge", "e1"), cluster.start("edge", "e2")
    origin.expect(r"relay\.", LOST)
    publisher = feed(origin, "live/cam1")
    play(a, "live/cam1").wait_media(30)
    assert origin.metric("relays") == 1
    a.kill()
    origin.wait_metric("relays", 0, 5)
    players = [play(b, "live/cam1") for _ in range(20)]
    for player in players:
        player.wait_media(30, 20)
        m.assert_unbroken(player.media, publisher.sent)
    assert b.metric("pulls_total") == 1


def test_origin_stands_still(cluster, feed, play, play_flv):
    """Stopped for some seconds: its edges notice, hold their viewers, and go on where they were."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    edge.expect(r" upstream\.", r" pull\.")
    origin.expect(r"relay\.", LOST, r" redis\.", r"claim\.")
    publisher = feed(origin, "live/cam1")
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    for player in players:
        player.wait_media(60)
    origin.signal(signal.SIGSTOP)
    edge.wait_metric("pull_reconnects_total", lambda n: n >= 1, 10)
    origin.signal(signal.SIGCONT)
    counts = [len(p.media) for p in players]
    for player, count in zip(players, counts):
        player.wait_media(count + 120, 20)
        assert not player.closed
        m.assert_unbroken(player.media, publisher.sent)
    assert cluster.owner("live/cam1")["node"] == "o1"


def test_redis_stands_still(cluster, redis, feed, play):
    """It answers nothing for some seconds: nobody who plays or publishes sees it."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    allow_redis_trouble(origin, edge)
    publisher = feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    redis.process.send_signal(signal.SIGSTOP)
    for node in (origin, edge):
        node.wait_metric("redis_up", 0, 15)
    count = len(player.media)
    player.wait_media(count + 60)
    late = feed(origin, "live/late")
    redis.process.send_signal(signal.SIGCONT)
    for node in (origin, edge):
        node.wait_metric("redis_up", 1, 15)
    cluster.wait_owner("live/late", "o1", 16)
    other = play(edge, "live/late")
    other.wait_media(30)
    m.assert_unbroken(player.media, publisher.sent)
    m.assert_unbroken(other.media, late.sent)


def test_same_publisher_at_the_same_node(cluster, feed, play):
    """It comes back before its old connection is noticed to be dead: the new one has the name at once."""
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    origin.expect(LOST)
    first = feed(origin, "live/cam1?token=a")
    player = play(edge, "live/cam1")
    player.wait_media(60)
    second = feed(origin, "live/cam1?token=a")
    first.connection.wait_closed()
    wait_for(lambda: len(second.sent) > 100, 10, "media of the second")
    player.wait(lambda: any(body == second.sent[90][2] for _, _, body in player.media[60:]), 10, "media of the second")
    m.assert_forward(player.media)
    assert not player.closed


def test_many_streams_come_and_go(cluster, closing, tags, play, play_flv):
    """Thirty streams published, played at an edge and ended, one after the other: nothing stays."""
    origin = cluster.start("origin", "o1", {"stream.idle_pull_ms": 0})
    edge = cluster.start("edge", "e1", {"stream.wait_ms": 10000, "viewer.behind_ms": 60000})
    for i in range(30):
        name = f"live/s{i}"
        player = (play if i % 2 else play_flv)(edge, name)
        publisher = closing(rtmp.Publisher(origin.rtmp, name).accepted())
        publisher.send_all(tags[:20])
        player.wait_media(5)
        publisher.send_all(tags[20:60])
        publisher.finish(f"s{i}")
        player.wait(lambda p=player: p.media and p.media[-1] == publisher.sent[-1], 10, "the last frame")
        player.close()
    origin.wait_metric("relays", 0)
    edge.wait_metric("pulls", 0)
    assert origin.metric("publish_total") == 30 and edge.metric("play_total") == 30
