"""Clusters without Redis: nodes tell each other, by a group or by static peers, who they are and what they have."""
import signal
import threading
import time

import pytest

import media as m
import node as node_module
import rtmp
from node import nodes_of, owner_of
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

LOST = r"publisher\.|source_lost|rtmp\."
O1, O2, E1 = ("origin", "o1"), ("origin", "o2"), ("edge", "e1")


def wait_owner(node, name, wanted, deadline=5):
    wait_for(lambda: owner_of(node, name) == wanted, deadline, f"{wanted} to own {name} at {node.id}",
             state=lambda: str(owner_of(node, name)))


def test_all_know_all(masterless):
    began = time.monotonic()
    nodes = masterless.start_all(O1, O2, E1)
    assert time.monotonic() - began < scaled(4)
    for node in nodes:
        for other in nodes:
            if other is not node:
                assert node.log.wait(rf"node\.up id={other.id} addr={other.ports['cluster']} ", 5)
        rows = {n["id"]: n for n in node.get_json("/api/v1/nodes")["nodes"]}
        assert rows["e1"]["role"] == "edge" and rows["o1"]["addr"] == nodes[0].ports["cluster"]
        assert rows["o2"]["http"] == nodes[1].ports["http"] and rows["o2"]["state"] == "up"
        assert node.metric("gossip_nodes") == 2
        assert node.metric("gossip_forged_total") == node.metric("gossip_malformed_total") == 0


def test_publish_at_one_play_at_others(masterless, feed, play, play_flv):
    one, two, edge = masterless.start_all(("node", "n1"), ("node", "n2"), E1)
    publisher = feed(one, "live/cam1")
    players = [play(two, "live/cam1"), play_flv(edge, "live/cam1"), play(edge, "live/cam1")]
    for player in players:
        player.wait_media(60)
        m.assert_unbroken(player.media, publisher.sent)
    for node in (one, two, edge):
        assert owner_of(node, "live/cam1") == "n1"
    publisher.finish()
    wait_for(lambda: owner_of(two, "live/cam1") is None, 5, "the end")


def test_viewer_that_is_there_first(masterless, feed, play_flv):
    origin, edge = (masterless.start(*who, {"stream.wait_ms": 20000}) for who in (O1, E1))
    masterless.wait_known()
    player = play_flv(edge, "live/cam1")
    edge.wait_metric("viewers", 1)
    publisher = feed(origin, "live/cam1")
    player.wait_media(30)
    m.assert_unbroken(player.media, publisher.sent)


def test_who_comes_late_knows_what_there_is(masterless, feed, play):
    origin, = masterless.start_all(O1)
    publishers = [feed(origin, f"live/s{i}") for i in range(5)]
    origin.wait_metric("publishers", 5)
    late = masterless.start(*E1)
    masterless.wait_known()
    for i in range(5):
        wait_owner(late, f"live/s{i}", "o1")
    player = play(late, "live/s3")
    player.wait_media(20)
    m.assert_unbroken(player.media, publishers[3].sent)


def test_same_publisher_moves_to_another_origin(masterless, feed, play, play_flv):
    a, b, edge = masterless.start_all(O1, O2, E1)
    a.expect(r"claim\.fenced", LOST)
    first = feed(a, "live/cam1?token=a")
    players = [play(edge, "live/cam1"), play_flv(edge, "live/cam1")]
    for player in players:
        player.wait_media(60)
    second = feed(b, "live/cam1?token=a")
    first.connection.wait_closed()
    wait_owner(edge, "live/cam1", "o2")
    wait_for(lambda: len(second.sent) > 150, 10, "media of the second")
    wanted = second.sent[100][2]
    for player in players:
        player.wait(lambda p=player: any(body == wanted for _, _, body in p.media), 10, "media of the second")
        assert not player.closed
        m.assert_forward(player.media)


def test_two_publishers_of_one_name(masterless, feed, play, closing):
    """Different credentials: the first stays, the second is told that the name is taken."""
    a, b, edge = masterless.start_all(O1, O2, E1)
    first = feed(a, "live/cam1?token=a")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    second = closing(rtmp.Publisher(b.rtmp, "live/cam1?token=b"))
    second.connection.wait_status("NetStream.Publish.BadName")
    player.wait_media(len(player.media) + 60)
    m.assert_unbroken(player.media, first.sent)
    assert owner_of(edge, "live/cam1") == owner_of(b, "live/cam1") == "o1"


def test_two_at_the_same_moment(masterless, feed):
    """Whoever both had granted it to: one stays, everybody agrees who."""
    a, b, edge = masterless.start_all(O1, O2, E1)
    for node in (a, b):
        node.expect(r"claim\.fenced", LOST, r"publish\.")
    # Neither hears the other while both decide.
    for node in (a, b):
        node.signal(signal.SIGSTOP)
    both = []
    threads = [threading.Thread(target=lambda n=n, t=t: both.append((n, rtmp.Publisher(n.rtmp, f"live/cam1?token={t}"))))
               for n, t in ((a, "a"), (b, "b"))]
    for thread in threads:
        thread.start()
    for node in (a, b):
        node.signal(signal.SIGCONT)
    for thread in threads:
        thread.join()
    try:
        wait_for(lambda: sum(1 for _, p in both if p.connection.closed or "NetStream.Publish.BadName" in p.connection.statuses) == 1,
                 10, "one of them to be refused or ended")
        stays = next(n for n, p in both if not p.connection.closed and "NetStream.Publish.BadName" not in p.connection.statuses)
        for node in (a, b, edge):
            wait_owner(node, "live/cam1", stays.id)
    finally:
        for _, publisher in both:
            publisher.vanish()
    wait_for(lambda: owner_of(edge, "live/cam1") is None, 10, "the end")


def test_node_is_killed(masterless, feed, play):
    a, b, edge = masterless.start_all(O1, O2, E1)
    for node in (b, edge):
        node.expect(r" upstream\.", r"source_lost")
    feed(a, "live/cam1?token=a")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    a.kill()
    began = time.monotonic()
    for node in (b, edge):
        wait_for(lambda n=node: nodes_of(n) == {"o2", "e1"}, 6, f"{node.id} to know that it is gone")
        assert owner_of(node, "live/cam1") in (None, "o1" if node is edge else None)
        assert node.log.wait(r"node\.down id=o1", 5)
    assert time.monotonic() - began < scaled(4.5)
    second = feed(b, "live/cam1?token=a")
    wait_for(lambda: len(second.sent) > 60, 10, "media of the second")
    player.wait(lambda: any(body == second.sent[50][2] for _, _, body in player.media), 10, "media of the second")
    assert not player.closed


def test_node_stands_still(masterless, feed, play):
    """Its publisher goes elsewhere meanwhile: it gives up as soon as it runs again, and nobody sees a frame of it."""
    a, b, edge = masterless.start_all(O1, O2, E1)
    a.expect(LOST, r"claim\.", r" cluster\.", r"loop\.|worker\.|relay\.|upstream\.")
    for node in (b, edge):
        node.expect(r" upstream\.", r" pull\.", r"request\.")
    feed(a, "live/cam1?token=a")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    a.signal(signal.SIGSTOP)
    try:
        for node in (b, edge):
            assert node.log.wait(r"node\.down id=o1", 6)
        second = feed(b, "live/cam1?token=a")
        wait_for(lambda: len(second.sent) > 60, 10, "media of the second")
    finally:
        a.signal(signal.SIGCONT)
    began = time.monotonic()
    wait_owner(a, "live/cam1", "o2")
    a.wait_metric("publishers", 0)
    assert time.monotonic() - began < scaled(1)
    player.wait(lambda: any(body == second.sent[50][2] for _, _, body in player.media), 10, "media of the second")
    assert not player.closed
    m.assert_forward(player.media)
    for node in (a, b, edge):
        wait_for(lambda n=node: nodes_of(n) == {"o1", "o2", "e1"}, 6, f"{node.id} to know all again")


def test_node_comes_back_under_its_name(masterless, feed, play):
    settings = masterless.settings()
    a, edge = masterless.start(*O1, settings), masterless.start(*E1)
    masterless.wait_known()
    edge.expect(r" upstream\.", r"source_lost")
    a.kill()
    again = masterless.start(*O1, settings)
    wait_for(lambda: edge.log.find(rf"node\.up id=o1 addr={again.ports['cluster']} "), 10, "the new one to be known")
    publisher = feed(again, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    m.assert_unbroken(player.media, publisher.sent)


def test_node_drains(masterless, feed, play):
    a, b, edge = masterless.start_all(O1, O2, E1)
    a.expect(LOST)
    assert a.stop() == 0
    began = time.monotonic()
    for node in (b, edge):
        wait_for(lambda n=node: nodes_of(n) == {"o2", "e1"}, 2, f"{node.id} to know that it left")
    assert time.monotonic() - began < scaled(1)


def test_kick_from_another_node(masterless, feed, play):
    origin, edge = masterless.start_all(O1, E1)
    publisher = feed(origin, "live/cam1")
    player = play(edge, "live/cam1")
    player.wait_media(20)
    assert edge.request("/api/v1/streams/live/cam1", method="DELETE")[0] in (200, 202)
    publisher.connection.wait_closed()
    player.wait_status("NetStream.Play.UnpublishNotify")
    wait_for(lambda: owner_of(edge, "live/cam1") is None, 5, "the end")
    assert edge.request("/api/v1/streams/live/none", method="DELETE")[0] == 404


def test_another_secret_is_another_cluster(masterless):
    a, b = masterless.start_all(O1, O2)
    stranger = masterless.start("edge", "e9", {"cluster.secret": "another secret, just as long as it has to be"})
    wait_for(lambda: a.metric("gossip_forged_total") + b.metric("gossip_forged_total") >= 1, 10, "datagrams of the stranger")
    assert nodes_of(stranger) == {"e9"} and nodes_of(a) == nodes_of(b) == {"o1", "o2"}
    assert a.request("/cluster/v1/set?instance=0000000000000001&since=0", port="cluster")[0] in (401, 403)
    assert a.request("/cluster/v1/request", method="POST", port="cluster")[0] in (401, 403)


def test_many_streams(masterless, closing, tags, play):
    """They do not fit one datagram; a node that comes late fetches them."""
    origin, edge = masterless.start_all(O1, E1)
    publishers = [closing(rtmp.Publisher(origin.rtmp, f"live/{'x' * 100}{i}").accepted()) for i in range(60)]
    for publisher in publishers:
        publisher.send_all(tags[:10])
    edge.wait_metric("gossip_streams", 60)
    late = masterless.start("edge", "e2")
    late.wait_metric("gossip_streams", 60)
    assert late.metric("gossip_fetches_total") >= 1
    for publisher in publishers[:59]:
        publisher.finish()
    for node in (edge, late):
        node.wait_metric("gossip_streams", 1)


# --- static peers only ---


def test_peers_by_name(start):
    """A name may stand for addresses that nobody answers at."""
    cluster = node_module.Masterless("static", start)
    cluster.start(*O1)
    first = cluster.first
    cluster.start("edge", "e1", {"cluster.static.peers": [f"localhost:{first}", f"nobody.invalid:{first}"]})
    cluster.wait_known(10)


def test_port_is_taken(start, started):
    cluster = node_module.Masterless("static", start)
    cluster.start(*O1)
    other = node_module.Node("edge", {**cluster.settings(), "cluster.static.listen": f"127.0.0.1:{cluster.first}"}, id="e1")
    try:
        assert other.wait_exit() == 78
        assert "cluster.static.listen" in "\n".join(other.log.lines)
    finally:
        other.process.kill()


def test_peers_are_not_for_every_backend(start):
    node = start("node", {"cluster.static.peers": ["127.0.0.1:7946"]})
    node.expect(r"config\.unused setting=cluster\.static\.peers")
    assert node.log.wait(r"config\.unused setting=cluster\.static\.peers")


# --- static peers beside Redis ---


@pytest.fixture
def both(redis, start):
    """Nodes with Redis and with each other as peers: both(role, id)."""
    cluster = node_module.Masterless("static", start)

    def begin(role, id, settings=None):
        node = cluster.start(role, id, {"cluster.backend": "redis", "cluster.redis.url": redis.url, **(settings or {})})
        node.expect(r" redis\.", r"claim\.restored")
        return node

    # The first has nobody to name but itself, and without peers there is no mesh.
    cluster.first = node_module.free_udp_port()
    begin("origin", "o1", {"cluster.static.listen": f"127.0.0.1:{cluster.first}"})
    return begin, cluster


def test_redis_dies_and_new_streams_are_found(both, redis, feed, play):
    begin, cluster = both
    a, b, edge = cluster.nodes["o1"], begin("origin", "o2"), begin("edge", "e1")
    for node in (a, b, edge):
        node.wait_metric("gossip_nodes", 2)
    old = feed(a, "live/old")
    player = play(edge, "live/old")
    player.wait_media(30)
    redis.kill()
    for node in (a, b, edge):
        node.wait_metric("redis_up", 0)
    publisher = feed(b, "live/new")
    began = time.monotonic()
    wait_owner(edge, "live/new", "o2", 3)
    found_s = time.monotonic() - began
    other = play(edge, "live/new")
    other.wait_media(30)
    m.assert_unbroken(other.media, publisher.sent)
    m.assert_unbroken(player.media, old.sent)
    assert found_s < scaled(2.5)
    assert nodes_of(edge) == {"o1", "o2", "e1"}
    redis.start()
    wait_for(lambda: redis.client().hget("sluice:{default}:stream:live/new", "node") == "o2", 16, "the key of the new one")


def test_name_is_taken_while_redis_is_away(both, redis, feed, closing):
    begin, cluster = both
    a, b = cluster.nodes["o1"], begin("origin", "o2")
    for node in (a, b):
        node.wait_metric("gossip_nodes", 1)
    redis.kill()
    for node in (a, b):
        node.wait_metric("redis_up", 0)
    feed(a, "live/cam1?token=a")
    wait_owner(b, "live/cam1", "o1", 3)
    second = closing(rtmp.Publisher(b.rtmp, "live/cam1?token=b"))
    second.connection.wait_status("NetStream.Publish.BadName")
