"""cluster.tiers: edges of a zone take a stream of another zone from one of them."""
import signal

import pytest

import media as m
from waiting import wait_for

pytestmark = pytest.mark.core
LOST = r"session\.close reason=(peer_closed|io_error)"


class Zones:
    """Origins in the zone west, edges in the zone east."""

    def __init__(self, cluster, origins, edges):
        self.cluster = cluster
        self.origins = [cluster.start("origin", id, {"node.zone": "west"}) for id in origins]
        self.edges = {id: cluster.start("edge", id, {"node.zone": "east", "cluster.tiers": True}) for id in edges}
        for node in (*self.origins, *self.edges.values()):
            node.expect(r"relay\.", LOST, r" upstream\.", r" pull\.", r" claim\.", r" publisher\.", r" rtmp\.", r" takeover")
        everybody = set(origins) | set(edges)
        for edge in self.edges.values():
            wait_for(lambda e=edge: {n["id"] for n in e.get_json("/api/v1/nodes")["nodes"]} == everybody, 15, "all nodes")

    def ways(self, name="live/cam1"):
        out = {}
        for id, edge in self.edges.items():
            if edge.is_running():
                row = next((s for s in edge.get_json("/api/v1/streams")["streams"] if s["name"] == name), None)
                out[id] = tuple(row["path"]) if row else None
        return out

    def wait_tree(self, owner, deadline=20):
        """One edge asks the owner, the others that one; its id."""
        def look():
            ways = self.ways()
            first = [id for id, way in ways.items() if way == (owner, id)]
            others = [id for id, way in ways.items() if first and way == (owner, first[0], id)]
            return first[0] if len(first) == 1 and len(first) + len(others) == len(ways) else None
        return wait_for(look, deadline, f"one way from {owner}", state=lambda: str(self.ways()))


def test_one_link_into_a_zone(cluster, feed, play):
    """However many edges of the zone want a stream, it comes from far once."""
    zones = Zones(cluster, ["o1"], ["e1", "e2", "e3"])
    publisher = feed(zones.origins[0], "live/cam1")
    players = []
    for edge in zones.edges.values():
        players.append(play(edge, "live/cam1"))
        players[-1].wait_media(30)
    zones.wait_tree("o1")
    zones.origins[0].wait_metric("relays", 1)
    counts = [len(p.media) for p in players]
    for player, count in zip(players, counts):
        player.wait_media(count + 60)
        m.assert_unbroken(player.media, publisher.sent)


def test_edges_that_begin_together(cluster, feed, play):
    """Viewers come to all edges at once: nobody waits for somebody who waits."""
    zones = Zones(cluster, ["o1"], ["e1", "e2", "e3", "e4"])
    publisher = feed(zones.origins[0], "live/cam1")
    wait_for(lambda: len(publisher.sent) > 60, 10, "media")
    players = [play(edge, "live/cam1") for edge in zones.edges.values()]
    for player in players:
        player.wait_media(30)
    zones.wait_tree("o1")
    for player in players:
        m.assert_unbroken(player.media, publisher.sent)


def test_parent_dies(cluster, feed, play, play_flv):
    """Its children go to the owner at once; their viewers stay, and miss nothing."""
    zones = Zones(cluster, ["o1"], ["e1", "e2", "e3"])
    publisher = feed(zones.origins[0], "live/cam1")
    players = {id: [play(e, "live/cam1"), play_flv(e, "live/cam1")] for id, e in zones.edges.items()}
    for player in sum(players.values(), []):
        player.wait_media(30)
    parent = zones.wait_tree("o1")
    kept = [p for id, some in players.items() if id != parent for p in some]
    counts = [len(p.media) for p in kept]
    zones.edges[parent].kill()
    for player, count in zip(kept, counts):
        player.wait_media(count + 60, 3)
        assert not player.closed
        m.assert_unbroken(player.media, publisher.sent)
    zones.wait_tree("o1")


def test_parent_stands_still(cluster, feed, play):
    """Its silence is noticed after 2 s; afterwards it comes back as a child."""
    zones = Zones(cluster, ["o1"], ["e1", "e2"])
    publisher = feed(zones.origins[0], "live/cam1")
    players = {id: play(e, "live/cam1") for id, e in zones.edges.items()}
    for player in players.values():
        player.wait_media(30)
    parent = zones.wait_tree("o1")
    child = next(id for id in zones.edges if id != parent)
    stopped = zones.edges[parent]
    stopped.expect(r".*")
    zones.edges[child].expect(r" redis\.")
    stopped.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: zones.edges[child].get_json("/api/v1/streams")["streams"][0]["path"] == ["o1", child], 10,
                 "the owner to be asked")
    finally:
        stopped.signal(signal.SIGCONT)
    count = len(players[child].media)
    players[child].wait_media(count + 60)
    m.assert_unbroken(players[child].media, publisher.sent)
    zones.wait_tree("o1")


def test_takeover_below_two_links(cluster, feed, play):
    """The publisher moves to another origin: viewers behind the parent stay and their time goes on."""
    zones = Zones(cluster, ["o1", "o2"], ["e1", "e2"])
    first = feed(zones.origins[0], "live/cam1?token=a")
    players = [play(e, "live/cam1") for e in zones.edges.values()]
    for player in players:
        player.wait_media(60)
    parent = zones.wait_tree("o1")
    second = feed(zones.origins[1], "live/cam1?token=a")
    first.connection.wait_closed()
    wait_for(lambda: len(second.sent) > 100, 10, "media of the second")
    for player in players:
        player.wait(lambda p=player: any(body == second.sent[90][2] for _, _, body in p.media[60:]), 10, "media of the second")
        assert not player.closed
        m.assert_forward(player.media)
    assert zones.wait_tree("o2") == parent


def test_a_parent_keeps_its_pull_for_its_children(cluster, feed, play):
    """Without viewers of its own, but with a child, a parent goes on."""
    zones = Zones(cluster, ["o1"], ["e1", "e2"])
    publisher = feed(zones.origins[0], "live/cam1")
    players = {id: play(e, "live/cam1") for id, e in zones.edges.items()}
    for player in players.values():
        player.wait_media(30)
    parent = zones.wait_tree("o1")
    child = next(id for id in zones.edges if id != parent)
    players[parent].close()
    zones.edges[parent].wait_metric("viewers", 0)
    count = len(players[child].media)
    players[child].wait_media(count + 90)
    assert zones.ways() == {parent: ("o1", parent), child: ("o1", parent, child)}
    m.assert_unbroken(players[child].media, publisher.sent)
    players[child].close()
    zones.edges[parent].wait_metric("pulls", 0)
