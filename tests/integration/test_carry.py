"""Publishing at a node that owns no streams: it carries the publisher on to an origin."""
import time

import pytest

import flv
import media as m
import rtmp
from test_exact import PATIENT, FromFile, in_and_out
from waiting import wait_for

pytestmark = pytest.mark.core

VECTORS = sorted(m.CAPTURES.glob("vec-*.flv"))


def start_all(cluster, origins=("o1",), edges=("e1",), settings=None):
    return ([cluster.start("origin", id, settings) for id in origins],
            [cluster.start("edge", id, settings) for id in edges])


def owner_node(cluster, name):
    return cluster.nodes[cluster.wait_owner(name)["node"]]


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.name.split(".")[0])
def test_byte_for_byte(cluster, play, play_flv, path):
    """Published at one edge, played there, at another edge and at the node that owns it."""
    owner = cluster.start("node", "n1", PATIENT)
    here = cluster.start("edge", "e1", PATIENT)
    there = cluster.start("edge", "e2", PATIENT)
    in_and_out(FromFile(path, here), [here, there, owner], play, play_flv)
    assert here.metric("carries_total") == 1
    here.wait_metric("carried_publishers", 0)
    cluster.wait_no_owner("live/vector")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_ffmpeg_publishes_at_an_edge(cluster, media, run, publish, tls):
    start_all(cluster, settings={**PATIENT, "cluster.tls": tls})
    edge = cluster.nodes["e1"]
    player = run(m.hash_words(edge.flv_url("live/cam1")))
    edge.wait_metric("viewers_flv", 1)
    publish(edge, "live/cam1", loop=False)
    got = m.parse_hashes(player.succeeds(30))
    wanted = m.parse_hashes(run(m.hash_words(media)).succeeds())
    assert sorted(got.values()) == sorted(wanted.values())


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_origin_goes(cluster, feed, play, play_flv, how):
    """Dead, or out of service: another one takes over, and nobody's connection ends."""
    origins, edges = start_all(cluster, ["o1", "o2"], ["e1", "e2"], {"stream.lost_ms": 5000})
    for node in origins + edges:
        node.expect(r"carry\.down", r"upstream\.", r"pull\.", r"reason=(peer_closed|io_error)")
    publisher = feed(edges[0], "live/cam1")
    players = [play_flv(edges[0], "live/cam1"), play(edges[1], "live/cam1")]
    for player in players:
        player.wait_media(30)
    first = owner_node(cluster, "live/cam1")
    second = next(o for o in origins if o is not first)
    first.expect(r"claim\.fenced")  # the other may have it before the one that leaves has given it up
    went = time.monotonic()
    if how == "kill":
        first.kill()
    else:
        assert first.stop() == 0
    cluster.wait_owner("live/cam1", second.id, state="live")
    took = time.monotonic() - went
    assert took < 5, took
    edges[0].wait_metric("carry_reconnects_total", 1)
    for player in players:
        have = len(player.media)
        player.wait_media(have + 60, 15)
        assert not player.closed
        m.assert_forward(player.media)
    assert publisher.error is None and not publisher.connection.closed
    assert publisher.connection.statuses.count("NetStream.Publish.Start") == 1


def test_a_frozen_origin(cluster, feed, play_flv):
    """It says nothing: after two seconds the stream goes on elsewhere; when it wakes up it is fenced."""
    import signal
    origins, edges = start_all(cluster, ["o1", "o2"], ["e1"], {"stream.lost_ms": 5000})
    for node in origins + edges:
        node.expect(r"carry\.down", r"upstream\.", r"pull\.", r"carried\.", r"session\.", r"claim", r"redis\.",
                    r"publish\.", r"cluster\.")
    publisher = feed(edges[0], "live/cam1")
    player = play_flv(edges[0], "live/cam1")
    player.wait_media(30)
    first = owner_node(cluster, "live/cam1")
    second = next(o for o in origins if o is not first)
    first.signal(signal.SIGSTOP)
    try:
        cluster.wait_owner("live/cam1", second.id, deadline=10, state="live")
        have = len(player.media)
        player.wait_media(have + 60, 15)
    finally:
        first.signal(signal.SIGCONT)
    first.wait_metric("publishers", 0)
    m.assert_forward(player.media)
    assert not player.closed and publisher.error is None
    assert cluster.owner("live/cam1")["node"] == second.id


def test_a_name_that_is_taken(cluster, feed):
    """By the second publisher's own edge, or another one: it is told what an origin tells."""
    _, edges = start_all(cluster, ["o1", "o2"], ["e1", "e2"])
    feed(edges[0], "live/cam1")
    for edge in edges:
        second = rtmp.Publisher(edge.rtmp, "live/cam1")
        second.connection.wait_status("NetStream.Publish.BadName")
        second.connection.wait_closed()
        second.vanish()
        assert "taken" in second.connection.description("NetStream.Publish.BadName")
    assert cluster.owner("live/cam1")["state"] == "live"


def test_the_same_publisher_comes_by_another_edge(cluster, feed):
    """With the same key it displaces itself, wherever it comes in."""
    _, edges = start_all(cluster, ["o1"], ["e1", "e2"])
    first = feed(edges[0], "live/cam1?token=abc")
    second = rtmp.Publisher(edges[1].rtmp, "live/cam1?token=abc").accepted()
    first.connection.wait_status("NetStream.Publish.BadName")
    first.connection.wait_closed()
    second.finish()


def test_a_wrong_token_is_refused_where_it_comes(cluster):
    origins, edges = start_all(cluster, settings={"auth.publish_keys": ["right"]})
    edges[0].expect(r"reason=auth")
    wrong = rtmp.Publisher(edges[0].rtmp, "live/cam1?token=wrong")
    wrong.connection.wait_status("NetStream.Publish.Denied")
    wrong.vanish()
    right = rtmp.Publisher(edges[0].rtmp, "live/cam1?token=right").accepted()
    right.finish()
    assert origins[0].metric("publish_total") == 1
    assert origins[0].metric("publish_refused_total") == 0


def test_an_operator_ends_it(cluster, feed):
    """Asked at the edge where the publisher is."""
    _, edges = start_all(cluster)
    publisher = feed(edges[0], "live/cam1")
    cluster.wait_owner("live/cam1", "o1", state="live")
    status, _, _ = edges[0].request("/api/v1/streams/live/cam1", "DELETE")
    assert status == 202
    publisher.connection.wait_status("NetStream.Publish.Denied")
    publisher.connection.wait_closed()
    cluster.wait_no_owner("live/cam1")


def test_a_clean_end_ends_the_stream_at_once(cluster, feed, play):
    _, edges = start_all(cluster, settings={"stream.lost_ms": 60000})
    publisher = feed(edges[0], "live/cam1")
    player = play(edges[0], "live/cam1")
    player.wait_media(10)
    publisher.finish()
    player.wait_status("NetStream.Play.UnpublishNotify", deadline=2)
    cluster.wait_no_owner("live/cam1", deadline=2)


def test_a_lost_publisher_may_come_back(cluster, feed, play):
    """Its transport is gone: the stream is lost for a while, and players stay."""
    _, edges = start_all(cluster, ["o1"], ["e1", "e2"], {"stream.lost_ms": 10000})
    for node in edges:
        node.expect(r"reason=(peer_closed|io_error)")
    publisher = feed(edges[0], "live/cam1?token=me")
    player = play(edges[1], "live/cam1")
    player.wait_media(10)
    publisher.vanish()
    cluster.wait_owner("live/cam1", state="lost")
    again = feed(edges[1], "live/cam1?token=me")
    have = len(player.media)
    player.wait_media(have + 30)
    m.assert_forward(player.media)
    assert not player.closed and not again.connection.closed


def test_an_edge_that_leaves_does_not_end_the_stream(cluster, feed):
    _, edges = start_all(cluster, settings={"stream.lost_ms": 10000})
    publisher = feed(edges[0], "live/cam1")
    cluster.wait_owner("live/cam1", state="live")
    assert edges[0].stop() == 0
    publisher.connection.wait_closed()
    cluster.wait_owner("live/cam1", state="lost")


def test_without_an_origin(cluster):
    """Refused with a clear word after a while that is bounded."""
    edge = cluster.start("edge", "e1")
    edge.expect(r"reason=no_origin")
    began = time.monotonic()
    publisher = rtmp.Publisher(edge.rtmp, "live/cam1")
    publisher.connection.wait_status("NetStream.Publish.Rejected", deadline=15)
    assert 4 < time.monotonic() - began < 15
    assert "No node" in publisher.connection.description("NetStream.Publish.Rejected")
    publisher.connection.wait_closed()
    publisher.vanish()
    assert edge.metric("publish_refused_total") == 1


def test_publishers_are_spread(cluster, feed):
    """The node with fewer streams gets the next one, once that is known."""
    origins, edges = start_all(cluster, ["o1", "o2"])
    def streams():
        nodes = edges[0].get_json("/api/v1/nodes")["nodes"]
        return {n["id"]: n["streams"] for n in nodes}
    for i in range(4):
        feed(edges[0], f"live/cam{i}")
        wait_for(lambda: sum(v for k, v in streams().items() if k != "e1") == i + 1, 15, "heartbeats")
    assert [o.metric("publishers") for o in origins] == [2, 2]
