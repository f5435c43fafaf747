"""Redis in trouble (Sentinel failover, stalls, an empty restart, clocks that jump): nobody who plays or publishes sees it."""
import signal
import threading
import time

import pytest

import media as m
import node as node_module
from sentinels import Sentinels
from waiting import scaled, wait_for

STREAM = "sluice:{default}:stream:"
SILENCE_S = 0.5  # between two frames at a player, on a busy machine


class Silence:
    """The longest time in which a player got nothing, from now on."""

    def __init__(self, player):
        self.player, self.longest = player, 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        count, last = len(self.player.media), time.monotonic()
        while not self.over.wait(0.01):
            now = time.monotonic()
            if len(self.player.media) != count:
                count, last = len(self.player.media), now
            self.longest = max(self.longest, now - last)

    def finish(self):
        self.over.set()
        self.thread.join()


class Scene:
    """An origin, an edge, a stream and its players, which must not notice anything."""

    def __init__(self, cluster, feed, play, play_flv, closing, settings=None):
        self.cluster = cluster
        self.origin = cluster.start("origin", "o1", settings)
        self.edge = cluster.start("edge", "e1", settings)
        for node in (self.origin, self.edge):
            node.expect(r" redis\.", r"claim\.restored")
        self.publisher = feed(self.origin, "live/cam1")
        self.before = cluster.wait_owner("live/cam1", "o1")
        self.players = [play(self.edge, "live/cam1"), play_flv(self.edge, "live/cam1")]
        for player in self.players:
            player.wait_media(30)
        self.silences = [closing(Silence(p)) for p in self.players]
        self.restored = self.origin.metric("claims_restored_total")

    def wait_down(self, deadline=10):
        self.origin.wait_metric("redis_up", 0, deadline)

    def wait_up(self, deadline=15):
        for node in (self.origin, self.edge):
            node.wait_metric("redis_up", 1, deadline)

    def check(self):
        counts = [len(p.media) for p in self.players]
        for player, count in zip(self.players, counts):
            player.wait_media(count + 30)
            m.assert_unbroken(player.media, self.publisher.sent)
        for silence in self.silences:
            silence.finish()
        longest = max(s.longest for s in self.silences)
        print(f"longest silence at a player: {longest * 1000:.0f} ms")
        assert longest < scaled(SILENCE_S)
        assert self.edge.metric("pulls_total") == 1 and self.edge.metric("pull_reconnects_total") == 0
        assert self.origin.is_running() and self.edge.is_running()


@pytest.fixture
def scene(feed, play, play_flv, closing):
    return lambda cluster, settings=None: Scene(cluster, feed, play, play_flv, closing, settings)


# --- Sentinel ---


@pytest.fixture
def sentinels(tmp_path):
    made = Sentinels(tmp_path)
    yield made
    made.finish()


def publish_throughout(sc, feed, over):
    """One more stream each half second, until over(): each is accepted at once."""
    names, slowest = [], 0.0
    while not over():
        name = f"live/late{len(names)}"
        began = time.monotonic()
        feed(sc.origin, name)
        slowest = max(slowest, time.monotonic() - began)
        names.append(name)
        wait_for(lambda: time.monotonic() - began > 0.5, 2)
    print(f"{len(names)} publishers meanwhile, the slowest accepted after {slowest:.2f} s")
    assert slowest < scaled(2)
    return names


def fail_over(sentinels, sc, feed, number):
    """The master is gone: all that was published is registered at the next, in time."""
    old = sentinels.server()
    began = time.monotonic()
    old.process.send_signal(number)
    replicas = [s for s in sentinels.servers if s is not old]
    masters = lambda: [s for s in replicas if s.client().role()[0] == "master"]
    names = publish_throughout(sc, feed, masters)
    promoted = time.monotonic() - began
    new = masters()[0].client()
    keys = [STREAM + name for name in ["live/cam1", *names]]
    wait_for(lambda: new.exists(*keys) == len(keys), 15, "all streams at the new master")
    took = time.monotonic() - began
    print(f"new master after {promoted:.2f} s, all {len(keys)} streams registered after {took:.2f} s")
    assert took < scaled(sentinels.down_after_s + 3)
    assert new.hget(STREAM + "live/cam1", "epoch") == sc.before["epoch"]
    return old


@pytest.mark.core
def test_sentinel_master_dies(sentinels, start, scene, feed):
    sc = scene(node_module.Cluster(sentinels, start), sentinels.settings)
    fail_over(sentinels, sc, feed, signal.SIGKILL)
    sc.wait_up()
    sc.check()


@pytest.mark.slow
def test_sentinel_master_stands_still_and_comes_back(sentinels, start, scene, feed, play):
    """For a while there are two masters: edges do not care, and the owner is in the new one."""
    sc = scene(node_module.Cluster(sentinels, start), sentinels.settings)
    old = fail_over(sentinels, sc, feed, signal.SIGSTOP)
    sc.wait_up()
    old.process.send_signal(signal.SIGCONT)
    late = feed(sc.origin, "live/after")
    wait_for(lambda: old.client().role()[0] == "slave", 30, "the old master to be a replica")
    wait_for(lambda: old.client().exists(STREAM + "live/after"), 15, "the stream at the replica")
    player = play(sc.edge, "live/after")
    player.wait_media(30)
    m.assert_unbroken(player.media, late.sent)
    assert sentinels.client().hget(STREAM + "live/cam1", "epoch") == sc.before["epoch"]
    sc.check()


@pytest.mark.core
def test_sentinel_that_is_away(tmp_path, start, feed):
    """The list names one that nobody runs: the next is asked."""
    made = Sentinels(tmp_path)
    try:
        dead = made.watchers[0]
        dead.finish()
        cluster = node_module.Cluster(made, start)
        origin = cluster.start("origin", "o1", made.settings)
        origin.expect(r" redis\.")
        origin.wait_metric("redis_up", 1)
        feed(origin, "live/cam1")
        made.watchers = made.watchers[1:]
        cluster.wait_owner("live/cam1", "o1")
    finally:
        made.watchers.append(dead)
        made.finish()


@pytest.mark.core
def test_no_master_yet(redis, cluster, feed):
    """No Sentinel answers: the node runs alone."""
    origin = cluster.start("origin", "o1", {"cluster.redis.sentinels": [f"127.0.0.1:{node_module.free_port()}"],
                                            "cluster.redis.master": "main"})
    origin.expect(r" redis\.")
    feed(origin, "live/cam1")
    assert origin.metric("redis_up") == 0 and origin.request("/healthz")[0] == 200


# --- Redis that is slow ---


@pytest.mark.slow
@pytest.mark.parametrize("stall_s", [1.5, 5, 12])
def test_redis_stalls(redis, cluster, scene, stall_s):
    sc = scene(cluster)
    redis.process.send_signal(signal.SIGSTOP)
    time.sleep(stall_s)
    redis.process.send_signal(signal.SIGCONT)
    began = time.monotonic()
    wait_for(lambda: cluster.owner("live/cam1").get("epoch") == sc.before["epoch"], 10, "the owner")
    sc.wait_up()
    print(f"back {time.monotonic() - began:.2f} s after a stall of {stall_s} s")
    assert time.monotonic() - began < scaled(4)
    sc.check()


@pytest.mark.slow
def test_redis_script_hangs(redis, cluster, scene):
    """BUSY is an answer, too: what cannot be asked is done without."""
    sc = scene(cluster)
    r = redis.client()
    r.config_set("busy-reply-threshold", 100)
    hang = threading.Thread(target=lambda: _hang(redis))
    hang.start()
    sc.origin.wait_metric("redis_errors_total", lambda n: n >= 1, 10)
    hang.join()
    sc.wait_up()
    wait_for(lambda: cluster.owner("live/cam1").get("epoch") == sc.before["epoch"], 10, "the owner")
    sc.check()


def _hang(redis):
    script = "local e = redis.call('TIME')[1] + 4 while tonumber(redis.call('TIME')[1]) < e do end return 1"
    link = redis.client()
    link.connection_pool.connection_kwargs["socket_timeout"] = 30
    link.eval(script, 0)
