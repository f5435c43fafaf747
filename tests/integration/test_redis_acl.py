"""The users of docs/redis.md, exactly as written there: a cluster works with them, and they can do no more."""
import re

import pytest
import redis as client_module

import node as n
from waiting import wait_for

pytestmark = pytest.mark.core

PREFIX = "sluice:{default}:"
STREAM = PREFIX + "stream:live/cam1"
DOC = (n.ROOT / "docs" / "redis.md").read_text()


def acl_words(user, edge_id="e1"):
    """The words of ACL SETUSER user …"""
    block = re.search(rf"^ACL SETUSER {user} .*?(?=\n\n|\n```)", DOC, re.M | re.S).group(0)
    # A selector is one word.
    return re.findall(r"\([^)]*\)|\S+", block.replace("EDGE_ID", edge_id))


@pytest.fixture
def users(redis):
    r = redis.client()
    for user in ("origin", "edge"):
        assert r.execute_command(*acl_words(user)) in (True, "OK", b"OK")
    return r


def url(redis, user):
    return redis.url.replace("//", f"//{user}:SECRET@")


def as_user(redis, user):
    return client_module.Redis(n.HOST, redis.port, username=user, password="SECRET", decode_responses=True)


def test_cluster_with_these_users(users, redis, cluster, feed, play, events_heard):
    origin = cluster.start("origin", "o1", {"cluster.redis.url": url(redis, "origin")})
    other = cluster.start("origin", "o2", {"cluster.redis.url": url(redis, "origin")})
    edge = cluster.start("edge", "e1", {"cluster.redis.url": url(redis, "edge")})
    origin.expect(r"claim\.fenced", r"session\.close")
    feed(origin, "live/cam1?token=a")
    cluster.wait_owner("live/cam1", "o1")
    player = play(edge, "live/cam1")
    player.wait_media(30)
    assert other.request("/api/v1/streams/live/none", method="DELETE")[0] == 404
    second = feed(other, "live/cam1?token=a")
    cluster.wait_owner("live/cam1", "o2")
    assert origin.request("/api/v1/streams/live/cam1", method="DELETE")[0] == 202
    second.connection.wait_closed()
    cluster.wait_no_owner("live/cam1")
    wait_for(lambda: set(users.zrange(PREFIX + "nodes", 0, -1)) == {"o1", "o2", "e1"}, 10, "all nodes")
    wait_for(lambda: {"own", "end", "node"} <= {t for t in events_heard()}, 10, "the events")
    # The self-check has run on each: it is the last thing that needs a right.
    for node in (origin, other, edge):
        assert node.metric("redis_errors_total") == 0, node.id
    assert edge.stop() == 0
    assert not users.exists(PREFIX + "node:e1") and users.zscore(PREFIX + "nodes", "e1") is None


@pytest.fixture
def events_heard(redis):
    pubsub = redis.client().pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(PREFIX + "events")
    heard = []

    def listen():
        while (message := pubsub.get_message()) is not None:
            heard.append(re.search(r'"t":"(\w+)"', message["data"].replace(" ", "")).group(1))
        return heard

    yield listen
    pubsub.close()


EDGE_MUST_NOT = [
    ("HSET", STREAM, "node", "e1"), ("DEL", STREAM), ("PEXPIRE", STREAM, "1"), ("DEL", PREFIX + "epoch"),
    ("HSET", PREFIX + "node:o1", "addr", "x"), ("ZADD", PREFIX + "version", "1", "x"), ("SET", STREAM, "x"),
    ("EVAL", "return 1", "0"), ("EVALSHA", "0" * 40, "0"), ("SCRIPT", "LOAD", "return 1"), ("INCR", PREFIX + "version"),
    ("PUBLISH", PREFIX + "events", "x"), ("PUBLISH", PREFIX + "to:o1", "x"), ("PUBLISH", "sluice:{other}:events", "x"), ("SUBSCRIBE", PREFIX + "to:o1"),
    ("GET", "secret"), ("KEYS", "*"), ("SCAN", "0"), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("FLUSHALL",),
]
ORIGIN_MUST_NOT = [
    ("GET", "secret"), ("SET", "sluice:{other}:epoch", "1"), ("DEL", "sluice:{defaulted}:epoch"),
    ("HSET", "sluice:{other}:stream:live/cam1", "node", "x"), ("PUBLISH", "sluice:{other}:events", "x"),
    ("SUBSCRIBE", "sluice:{other}:events"), ("PSUBSCRIBE", "*"), ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"),
    ("KEYS", "*"), ("SCAN", "0"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("SHUTDOWN",), ("ACL", "LIST"), ("MONITOR",),
    ("CLIENT", "KILL", "TYPE", "normal"), ("REPLICAOF", "NO", "ONE"),
]


@pytest.mark.parametrize("user, rows", [("edge", EDGE_MUST_NOT), ("origin", ORIGIN_MUST_NOT)])
def test_no_more_than_that(users, redis, user, rows):
    users.hset(STREAM, "node", "o1")
    users.set("secret", "x")
    r = as_user(redis, user)
    for words in rows:
        try:
            answer = r.execute_command(*words)
        except client_module.exceptions.NoPermissionError:
            continue
        pytest.fail(f"{user} may {words}: {answer}")
    assert users.hgetall(STREAM) == {"node": "o1"}


def test_script_cannot_leave_the_prefix(users, redis):
    """An origin may load any script; its rights are those of the user."""
    users.set("secret", "x")
    r = as_user(redis, "origin")
    for text in ("return redis.call('GET', 'secret')", "return redis.call('FLUSHALL')"):
        sha = r.script_load(text)
        with pytest.raises(client_module.RedisError, match="user executing the script can't"):
            r.evalsha(sha, 0)
    assert users.get("secret") == "x"


def test_user_that_goes_and_comes_back(users, redis, cluster, feed, play):
    """Refused while it runs: nothing stops; the user is there again: so is the node."""
    node = cluster.start("node", "o1", {"cluster.redis.url": url(redis, "origin")})
    node.expect(r" redis\.", r"claim\.restored")
    feed(node, "live/cam1")
    before = cluster.wait_owner("live/cam1", "o1")
    player = play(node, "live/cam1")
    player.wait_media(10)
    users.execute_command("ACL", "DELUSER", "origin")
    node.wait_metric("redis_up", 0)
    node.log.wait(r"redis\.refused .*WRONGPASS")
    late = feed(node, "live/late")
    count = len(player.media)
    player.wait_media(count + 30)
    users.execute_command(*acl_words("origin"))
    node.wait_metric("redis_up", 1)
    cluster.wait_owner("live/late", "o1")
    assert cluster.owner("live/cam1")["epoch"] == before["epoch"]
    assert late.error is None
