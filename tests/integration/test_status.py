"""`sluice status`: the cluster as a person sees it."""
import json
import os
import subprocess

import pytest

from node import BINARY, HOST, free_port
from waiting import scaled, wait_for

pytestmark = pytest.mark.core
LOST = r"session\.close reason=(peer_closed|io_error)"


def status(*words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    done = subprocess.run([BINARY, "status", *words], capture_output=True, env=env, timeout=scaled(20))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def url(node, port="http"):
    return "http://%s:%d" % node.address(port)


def test_cluster_as_a_table(cluster, feed, play):
    """From any node the same; a node that died is told as missing until its lease is over."""
    origin = cluster.start("origin", "o1", {"node.zone": "west"})
    edge = cluster.start("edge", "e1", {"node.zone": "east"})
    dead = cluster.start("edge", "e2")
    origin.expect(r"relay\.", LOST)
    feed(origin, "live/cam1")
    play(edge, "live/cam1").wait_media(30)
    wait_for(lambda: len(edge.get_json("/api/v1/nodes")["nodes"]) == 3, 10, "all nodes")
    for node, port in ((origin, "http"), (edge, "http"), (edge, "admin")):
        code, out, err = status("--url", url(node, port))
        assert code == 0 and not err, err
        lines = out.splitlines()
        assert any(l.split()[:4] == ["o1", "origin", "west", "up"] for l in lines), out
        row = next(l for l in lines if l.startswith("live/cam1"))
        assert row.split()[1] == "o1" and "h264 aac" in row and "rtmp 1" in row
        assert "  o1 → e1(1)" in lines and "\033" not in out
    dead.kill()
    code, out, _ = status("--url", url(edge))
    assert code == 0 and "partial: no answer from e2" in out
    assert any(l.startswith("e2 ") and "no answer" in l for l in out.splitlines())
    code, out, _ = status("--url", url(edge), "--json")
    told = json.loads(out)
    assert code == 0 and told["missing"] == ["e2"] and len(told["nodes"]) == 3
    rows = {n["id"]: n for n in told["streams"][0]["nodes"]}
    assert rows["o1"]["path"] == ["o1"] and rows["o1"]["upstream"] == "" and rows["o1"]["hops"] == 0
    assert rows["e1"]["path"] == ["o1", "e1"] and rows["e1"]["upstream"] == "o1" and rows["e1"]["hops"] == 1
    assert {n["id"]: n["zone"] for n in told["nodes"]} == {"o1": "west", "e1": "east", "e2": ""}


def test_nodes_are_known_while_redis_is_away(cluster, redis, feed):
    origin, edge = cluster.start("origin", "o1"), cluster.start("edge", "e1")
    for node in (origin, edge):
        node.expect(r" redis\.", r"claim\.restored")
    feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    wait_for(lambda: len(edge.get_json("/api/v1/nodes")["nodes"]) == 2, 10, "both nodes")
    redis.kill()
    edge.wait_metric("redis_up", 0)
    assert {n["id"] for n in edge.get_json("/api/v1/nodes")["nodes"]} == {"o1", "e1"}
    code, out, _ = status("--url", url(edge))
    assert code == 0 and any(l.startswith("live/cam1") for l in out.splitlines())


def test_status_says_what_is_wrong(node):
    assert status("--url", f"http://{HOST}:{free_port()}")[0] == 1
    code, _, err = status("--url", "https://127.0.0.1")
    assert code == 64 and "https" in err
    assert status("--url", url(node), "-c", "x")[0] == 64
    assert status("more")[0] == 64
    code, out, _ = status("--url", url(node))
    assert code == 0 and "no streams" in out
