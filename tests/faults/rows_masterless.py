"""Rows about clusters without Redis: who knows whom, and what, and when."""
import datetime
import re
import time

from bed import Bed, Node
from load import now_us
from row import row
from waiting import wait_for

TEN = tuple(f"n{i}" for i in range(10))
SEEDS = ("n0", "n5")
UDP_PORT = 7946
STAMP = re.compile(r"^(\S+Z) ")


def stamp(line):
    """When a line was written, unix seconds."""
    return datetime.datetime.fromisoformat(STAMP.match(line).group(1).replace("Z", "+00:00")).timestamp()


class Masterless(Bed):
    """Ten nodes that find each other; `far` of them are behind a router."""

    def __init__(self, kind, media, far=()):
        super().__init__(origins=(), edges=(), media=media)
        self.kind, self.far = kind, far

    def __enter__(self):
        try:
            if self.far:
                self.lab.net(1)
            for id in TEN:
                self.lab.host(id, 1 if id in self.far else 0)
            self.lab.host("pub")
            self.lab.host("load")
            if self.far:
                self.route()
            for id in TEN:
                self.launch(id)
            for node in self.nodes.values():
                node.ready()
        except BaseException:
            self.close()
            raise
        return self

    def route(self):
        router = self.lab.route(1)
        for host in list(self.lab.hosts.values()):
            if host is not router:
                host.sh("ip", "route", "add", "default", "via", "10.77.1.254" if host.name in self.far else router.address)

    def found_by(self):
        if self.kind == "multicast":
            return {"cluster.multicast.interface": "eth0"}
        peers = [f"{self.lab.hosts[id].address}:{UDP_PORT}" for id in SEEDS]
        return {"cluster.static.listen": f":{UDP_PORT}", "cluster.static.peers": peers}

    def launch(self, id):
        settings = {"cluster.backend": self.kind, "node.advertise": "", **self.found_by()}
        self.nodes[id] = Node(self.lab.host(id), "node", settings)
        return self.nodes[id]

    # --- what the nodes have heard ---

    def others(self, node):
        return set(self.nodes) - {node.id}

    def heard_up(self, node, start=0):
        return {m.group(1): stamp(l) for l in node.log.lines[start:] if (m := re.search(r" node\.up id=(\S+)", l))}

    def wait_all_known(self, deadline=15):
        """Seconds from the start of the last node until everybody knew everybody."""
        for node in self.nodes.values():
            wait_for(lambda n=node: self.others(n) <= set(self.heard_up(n)), deadline, f"{node.id} to know all",
                     state=lambda n=node: str(sorted(self.heard_up(n))))
        began = max(stamp(n.log.find(r" node\.start ")) for n in self.nodes.values())
        return max(t for n in self.nodes.values() for id, t in self.heard_up(n).items() if id in self.nodes) - began

    def wait_gone(self, id, since, deadline=15):
        """Seconds until the last node had said so."""
        latest = since
        for node in self.nodes.values():
            line = node.log.wait(rf" node\.down id={id}$", deadline)
            latest = max(latest, stamp(line))
        return latest - since

    def deaths(self):
        return sum(n.log.count(r" node\.down ") for n in self.nodes.values())

    def wait_streams(self, owners, deadline=20):
        """{node: monotonic microseconds at which it was seen to know all streams of others}; owners: of each stream."""
        left, seen = set(self.nodes), {}
        def look():
            for id in list(left):
                if self.nodes[id].metric("gossip_streams") == sum(1 for o in owners if o != id):
                    seen[id] = now_us()
                    left.discard(id)
            return not left
        wait_for(look, deadline, f"{len(owners)} streams to be known", state=lambda: f"not at {sorted(left)}")
        return seen


def live(run, bed):
    """Ten nodes: all know all, one publishes to all others, one dies."""
    run.within("all_know_all_ms", bed.wait_all_known() * 1000, 2000)
    publisher = bed.publish("live/cam1", origins=["n0"])
    granted = publisher.wait_granted()
    seen = bed.wait_streams(["n0"])
    run.within("stream_known_ms", (max(seen.values()) - granted["at_us"]) / 1000, 1000)
    others = [n for n in TEN if n != "n0"]
    watches = {n: bed.watch(run.pick(10, 50), edges=[n]) for n in others}
    for watch in watches.values():
        watch.wait_playing()
    run.exact("playing_nodes", sum(1 for n in others if bed[n].metric("pulls") == 1), 9)
    died = time.time()
    bed.kill("n4")
    run.within("idle_node_gone_ms", bed.wait_gone("n4", died) * 1000, 4000)
    died = time.time()
    bed.kill("n0")
    run.within("owner_gone_ms", bed.wait_gone("n0", died) * 1000, 4000)
    bed.wait_streams([])
    run.exact("deaths", bed.deaths(), 2 * len(bed.nodes))
    left = [w.finish() for n, w in watches.items() if n != "n4"]
    run.exact("disconnects", sum(end["closed"] + end["refused"] for end in left))
    back = bed.launch("n4").ready()
    run.within("back_ms", bed.wait_all_known() * 1000, 2000)
    run.exact("running", sum(1 for n in bed.nodes.values() if n.is_running()), 9)
    assert back.is_running()


@row("multicast", "ten nodes on a bridge, none knows of another")
def by_multicast(run):
    with Masterless("multicast", run.media) as bed:
        live(run, bed)


@row("static", "ten nodes in two subnets with no multicast between them")
def by_static(run):
    with Masterless("static", run.media, far=TEN[5:]) as bed:
        live(run, bed)


@row(18, "30 % of the datagrams are lost")
def datagrams_lost(run):
    for kind in ("multicast", "static"):
        lossy(run, kind)


def lossy(run, kind):
    known, owners = [], []
    with Masterless(kind, run.media) as bed:
        bed.lab.drop("ip protocol udp numgen random mod 100 < 30")
        run.note(**{f"{kind}_all_know_all_ms": round(bed.wait_all_known(30) * 1000)})
        for i in range(run.rounds or run.pick(8, 40)):
            owners.append(TEN[i % len(TEN)])
            granted = bed.publish(f"live/s{i}", origins=owners[-1:], again=False).wait_granted()
            seen = bed.wait_streams(owners)
            known += [(at - granted["at_us"]) / 1000 for id, at in seen.items() if id != owners[-1]]
        run.sleep(run.pick(5, 60))
        run.exact(f"{kind}_false_deaths", bed.deaths())
        run.exact(f"{kind}_forged", sum(n.metric("gossip_forged_total") for n in bed.nodes.values()))
        run.times(f"{kind}_stream_known_ms", known, 2500)
