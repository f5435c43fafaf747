"""Redis in trouble (Sentinel failover, stalls, an empty restart, clocks that jump): nobody who plays or publishes sees it."""
import signal
import threading
import time

import pytest

import media as m
import node as node_module
import rtmp
from clockjump import Clock
from sentinels import FakeSentinel, Sentinels
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

    def check(self, pulls=1):
        counts = [len(p.media) for p in self.players]
        for player, count in zip(self.players, counts):
            player.wait_media(count + 30)
            m.assert_unbroken(player.media, self.publisher.sent)
        for silence in self.silences:
            silence.finish()
        longest = max(s.longest for s in self.silences)
        print(f"longest silence at a player: {longest * 1000:.0f} ms")
        assert longest < scaled(SILENCE_S)
        assert self.edge.metric("pulls_total") == pulls and self.edge.metric("pull_reconnects_total") == 0
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
    sc.check(pulls=2)


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


@pytest.mark.core
def test_two_masters(tmp_path, start, feed, play, closing):
    """One origin still writes to the old master while another has taken its stream at the new one: edges follow the
    higher epoch; when the old master is demoted, READONLY brings its origin to the new one, where it is fenced."""
    old = closing(node_module.Redis(tmp_path))
    new = closing(node_module.Redis(tmp_path, ["--replicaof", f"{node_module.HOST} {old.port}"]))
    wait_for(lambda: new.client().info("replication")["master_link_status"] == "up", 10, "the replica")
    watchers = {name: closing(FakeSentinel(old.port)) for name in ("o1", "o2", "e1")}
    cluster = node_module.Cluster(old, start)
    nodes = {}
    for name, watcher in watchers.items():
        nodes[name] = cluster.start("edge" if name == "e1" else "origin", name, watcher.settings)
        nodes[name].expect(r" redis\.", r"claim\.", r"session\.close")
    first = feed(nodes["o1"], "live/cam1?token=a")
    kept = feed(nodes["o1"], "live/cam2?token=a")
    before = {name: cluster.wait_owner(name, "o1")["epoch"] for name in ("live/cam1", "live/cam2")}
    players = [play(nodes["e1"], name) for name in before]
    for player in players:
        player.wait_media(30)
    wait_for(lambda: all(new.client().exists(STREAM + name) for name in before), 10, "the records at the replica")

    new.client().execute_command("REPLICAOF", "NO", "ONE")
    for name in ("o2", "e1"):
        watchers[name].port_of_master = new.port
        watchers[name].say_moved()
        nodes[name].log.wait(rf"redis\.up address={node_module.HOST}:{new.port}")
        nodes[name].wait_metric("redis_up", 1)
    second = feed(nodes["o2"], "live/cam1?token=a")
    wait_for(lambda: new.client().hget(STREAM + "live/cam1", "node") == "o2", 10, "the owner at the new master")
    wait_for(lambda: len(second.sent) > 60, 10, "media of the second")
    wanted = second.sent[50][2]
    players[0].wait(lambda: any(body == wanted for _, _, body in players[0].media), 10, "media of the second")
    m.assert_forward(players[0].media)
    assert not players[0].closed

    watchers["o1"].port_of_master = new.port
    old.client().execute_command("REPLICAOF", node_module.HOST, new.port)
    nodes["o1"].log.wait(r"redis\.lost .*READONLY", 10)
    first.connection.wait_closed()
    wait_for(lambda: new.client().hget(STREAM + "live/cam2", "node") == "o1", 10, "the other stream")
    assert new.client().hget(STREAM + "live/cam2", "epoch") == before["live/cam2"]
    assert new.client().hget(STREAM + "live/cam1", "node") == "o2"
    count = len(players[1].media)
    players[1].wait_media(count + 30)
    m.assert_unbroken(players[1].media, kept.sent)
    assert nodes["e1"].metric("pull_reconnects_total") == 0


# --- Redis that says no ---

SAYS_NO = {
    "OOM": (["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"]),
    "NOREPLICAS": (["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"]),
    "READONLY": ([f"REPLICAOF {node_module.HOST} 1"], ["REPLICAOF NO ONE"]),
    "MASTERDOWN": (["CONFIG SET replica-serve-stale-data no", f"REPLICAOF {node_module.HOST} 1"],
                   ["REPLICAOF NO ONE"]),
}


def tell(redis, lines):
    for line in lines:
        redis.client().execute_command(*line.split())


@pytest.mark.core
@pytest.mark.parametrize("word", SAYS_NO)
def test_redis_says_no(redis, cluster, feed, play, word):
    """Before the start, and while the node runs: it serves, and registers what it has when Redis takes it."""
    before, after = SAYS_NO[word]
    tell(redis, before)
    node = cluster.start("node", "o1")
    node.expect(r" redis\.", r"claim\.restored")
    publisher = feed(node, "live/early")
    player = play(node, "live/early")
    player.wait_media(20)
    node.wait_metric("redis_errors_total", lambda n: n >= 1)
    tell(redis, after)
    epoch = cluster.wait_owner("live/early", "o1")["epoch"]
    tell(redis, before)
    late = feed(node, "live/late")
    count = len(player.media)
    player.wait_media(count + 20)
    tell(redis, after)
    cluster.wait_owner("live/late", "o1")
    assert cluster.wait_owner("live/early", "o1")["epoch"] == epoch
    assert late.error is None
    m.assert_unbroken(player.media, publisher.sent)


@pytest.mark.core
@pytest.mark.parametrize("policy, warned", [("noeviction", False), ("volatile-lru", True), ("allkeys-lru", True)])
def test_eviction_is_warned_of(redis, cluster, closing, policy, warned):
    redis.client().config_set("maxmemory-policy", policy)
    node = cluster.start("node", "o1")
    node.expect(r"redis\.evicts")
    # Asked for when the connection is up, and Redis answers in order: known before anything is granted.
    node.log.wait(r"redis\.up")
    closing(rtmp.Publisher(node.rtmp, "live/cam1").accepted())
    cluster.wait_owner("live/cam1", "o1")
    assert (node.log.find(r"redis\.evicts") is not None) == warned


# --- Redis that comes back empty ---


@pytest.mark.slow
def test_many_streams_are_restored(redis, cluster, scene, closing, tags):
    """Each with its epoch, in batches that do not hold Redis up."""
    sc = scene(cluster, {"stream.publisher_timeout_ms": 60000})
    for i in range(300):
        closing(rtmp.Publisher(sc.origin.rtmp, f"live/s{i}").accepted()).send_all(tags[:4])
    def epochs():
        r = redis.client()
        return {k: r.hget(k, "epoch") for k in r.keys(STREAM + "*")}
    before = wait_for(lambda: len(have := epochs()) == 301 and have, 20, "all streams")
    redis.kill()
    sc.wait_down()
    redis.start()
    began = time.monotonic()
    r = redis.client()
    r.config_set("slowlog-log-slower-than", 20000)
    wait_for(lambda: len(r.keys(STREAM + "*")) == 301, 15, "all streams again")
    took = time.monotonic() - began
    calls = r.info("commandstats")["cmdstat_evalsha"]
    print(f"301 streams restored after {took:.2f} s by {calls['calls']} calls of {calls['usec_per_call']} us")
    assert took < scaled(4)
    assert epochs() == before
    assert calls["calls"] >= 301 / 50
    assert r.slowlog_len() == 0
    sc.check()


# --- Redis' host has another time ---


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, -1])
def test_clock_of_redis_jumps(tmp_path, start, scene, feed, closing, hours):
    jump = Clock(tmp_path)
    redis = closing(node_module.Redis(tmp_path, environ=jump.environ))
    sc = scene(node_module.Cluster(redis, start))
    jump.set(hours * 3600)
    began = time.monotonic()
    r = redis.client()
    wait_for(lambda: abs(r.time()[0] - time.time() - hours * 3600) < 60, 5, "the jump")
    wait_for(lambda: r.hget(STREAM + "live/cam1", "epoch") == sc.before["epoch"] and
             5000 < r.pttl(STREAM + "live/cam1") <= 10000, 10, "a lease like any other")
    print(f"healed {time.monotonic() - began:.2f} s after a jump of {hours:+d} h")
    assert time.monotonic() - began < scaled(4)
    again = feed(sc.origin, "live/next")
    have = sc.cluster.wait_owner("live/next", "o1")
    assert int(have["epoch"]) > int(sc.before["epoch"])
    assert again.error is None
    sc.check()


@pytest.mark.slow
def test_dead_owner_with_a_long_lease(tmp_path, start, feed, play, closing):
    """The clock went back, so the record of an origin that died lives for an hour: its publisher has the name at once."""
    jump = Clock(tmp_path)
    jump.set(3600)
    redis = closing(node_module.Redis(tmp_path, environ=jump.environ))
    cluster = node_module.Cluster(redis, start)
    a, b, edge = cluster.start("origin", "o1"), cluster.start("origin", "o2"), cluster.start("edge", "e1")
    for node in (b, edge):
        node.expect(r" redis\.", r" upstream\.", r"source_lost", r"claim\.")
    feed(a, "live/cam1?token=a")
    before = cluster.wait_owner("live/cam1", "o1")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    a.kill()
    jump.set(0)
    assert redis.client().pttl(STREAM + "live/cam1") > 3000000
    began = time.monotonic()
    second = feed(b, "live/cam1?token=a")
    took = time.monotonic() - began
    print(f"accepted after {took:.2f} s")
    have = cluster.wait_owner("live/cam1", "o2")
    assert int(have["epoch"]) > int(before["epoch"])
    wait_for(lambda: len(second.sent) > 60, 10, "media of the second")
    player.wait(lambda: any(body == second.sent[50][2] for _, _, body in player.media), 10, "media of the second")
    assert took < scaled(2) and not player.closed
    m.assert_forward(player.media)


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
