"""Keys, tokens and passwords are nowhere to be read: logs at their most talkative, API, metrics, Redis, refusals."""
import base64
import json
import subprocess

import pytest

import media as m
import rtmp
from node import BINARY, Cluster, environment
from raw import Raw, exchange
from webrtc_http import SDP, Session, ask, offer, post

pytestmark = pytest.mark.core

# Each is part of what is given in one place; none may come back out of another.
PUBLISH, WRONG, ADMIN = "S3CR3T-publish-key", "S3CR3T-wrong-key", "S3CR3T-admin-token"
REDIS, CLUSTER, VIEWER = "S3CR3T-redis-password", "S3CR3T-cluster-secret", "S3CR3T-viewer-token"


@pytest.fixture
def guarded(redis, start):
    """A node of a cluster with everything that can be secret, and a second one."""
    redis.client().config_set("requirepass", REDIS)
    settings = {"cluster.redis.url": f"redis://default:{REDIS}@127.0.0.1:{redis.port}/0", "cluster.secret": CLUSTER,
                "auth.publish_keys": [PUBLISH], "admin.token": ADMIN, "log.level": "debug"}
    cluster = Cluster(redis, start)
    found = [cluster.start("node", id, settings) for id in ("n1", "n2")]
    for node in found:
        node.expect(r"reason=auth", r"http\.bad", r"bad_input", r"session\.close", r" upstream\.", r" redis\.")
        asked = node.request
        # As every question of these tests has to say who asks.
        node.request = lambda path, method="GET", port="admin", headers=None, asked=asked: asked(
            path, method, port, {"Authorization": f"Bearer {ADMIN}", **(headers or {})})
    return found


def everything(node, other, redis_port):
    """What can be read of the nodes, by whom they are for."""
    texts = {"log": "\n".join(node.log.lines), "log of the other": "\n".join(other.log.lines)}
    for port in ("http", "admin"):
        for path in ("/api/v1/node", "/api/v1/nodes", "/api/v1/streams", "/api/v1/streams?scope=cluster",
                     "/api/v1/streams/live/cam1", "/healthz", "/readyz", "/nowhere", f"/nowhere?token={WRONG}"):
            _, headers, body = node.request(path, port=port)
            texts[port + path.split("?")[0]] = str(headers) + body.decode()
    texts["metrics"] = node.request("/metrics")[2].decode()
    for path in ("/live/cam1/index.m3u8", "/live/cam1/main.m3u8", "/live/cam1/", "/live/cam1/publish"):
        texts[path] = exchange(node.http, f"GET {path}?token={VIEWER} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())[2].decode()
    import redis
    client = redis.Redis("127.0.0.1", redis_port, password=REDIS, decode_responses=True)
    dump = []
    for key in client.scan_iter("*"):
        kind = client.type(key)
        dump.append((key, client.hgetall(key) if kind == "hash" else client.zrange(key, 0, -1) if kind == "zset" else client.get(key)))
    texts["redis"] = json.dumps(dump)
    return texts


def test_nothing_secret_is_shown(guarded, redis, closing, tags, play_flv):
    node, other = guarded
    # Publishing by RTMP: refused in all ways, then accepted with the key in the stream's and in the server's name.
    for query in (f"?token={WRONG}", f"?key={PUBLISH}", f"?token={PUBLISH}x"):
        refused = closing(rtmp.Publisher(node.rtmp, "live/cam1" + query))
        refused.connection.wait_closed()
    closing(m.Feeder(node.rtmp, f"live/cam1?token={PUBLISH}", tags))
    c = closing(rtmp.Connection(node.rtmp).handshake())
    assert c.connect(f"live?token={PUBLISH}")[0] == "_result"
    c.create_stream()
    c.command("publish", None, "cam2", "live", sid=1)
    c.wait_status("NetStream.Publish.Start")
    # Playing, here and through the other node.
    play_flv(node, f"live/cam1").wait_media(5)
    play_flv(other, f"live/cam1").wait_media(5)
    player, stream = rtmp.open_connection(other.rtmp, f"live/cam1?token={VIEWER}")
    closing(player).command("play", None, stream, sid=1)
    player.wait_status("NetStream.Play.Start")
    raw = closing(Raw(node.http, f"GET /live/cam1.flv?token={VIEWER} HTTP/1.1\r\nHost: a\r\nCookie: s={VIEWER}\r\n\r\n".encode()))
    raw.read_some(5)
    # WebRTC: bearer, in the query, wrong, right; a session's URL is a key as well.
    for headers in ({}, {"Authorization": f"Bearer {WRONG}"}, {"Authorization": f"Basic {base64.b64encode(WRONG.encode()).decode()}"}):
        assert post(node, f"/live/cam3/whip?token={WRONG}", "chrome-whip", **headers).status == 401
    whip = Session(node, "/live/cam3/whip", "chrome-whip", Authorization=f"Bearer {PUBLISH}")
    whep = Session(node, "/live/cam1/whep", "chrome-whep", Authorization=f"Bearer {VIEWER}")
    keys = [s.url.rsplit("~", 1)[-1] for s in (whip, whep)]
    assert all(len(k) > 20 for k in keys)
    ask(other, "PATCH", whip.url, "nonsense", Content_Type=SDP, Authorization=f"Bearer {WRONG}")
    # The admin port: wrong, none, right; a request that is none.
    for value in (f"Bearer {WRONG}", f"Basic {WRONG}", WRONG):
        assert ask(node, "GET", "/metrics", port="admin", Authorization=value).status == 401
    exchange(node.admin, f"GET /metrics?token={ADMIN} HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {ADMIN}\r\n\r\n".encode())
    exchange(node.http, f"GET /live/cam1.flv?token={VIEWER} HTTP/1.1\r\nHost a {VIEWER}\r\n\r\n".encode())

    texts = everything(node, other, redis.port)
    for ended in (whip, whep):
        ask(node, "DELETE", ended.url, Authorization=f"Bearer {PUBLISH if ended is whip else VIEWER}")
    texts["log afterwards"] = "\n".join(node.log.lines)
    for where, text in texts.items():
        for secret in (PUBLISH, WRONG, ADMIN, REDIS, CLUSTER, VIEWER, *keys):
            assert secret not in text, f"{secret} is in {where}"
    assert "live/cam1" in texts["log"] and "live/cam1" in texts["redis"] and "live/cam1" in texts["http/api/v1/streams"]


@pytest.mark.parametrize("setting", ["cluster.secret=S3CR3T", "cluster.redis.url=S3CR3T://x", "admin.token=S3CR3T ~\u00e9",
                                     'auth.publish_keys=["S3CR3T \u00e9"]', "tls.key=S3CR3T", "webrtc.ice_servers=[\"S3CR3T\"]"])
def test_a_setting_that_is_refused_is_not_shown(setting):
    done = subprocess.run([BINARY, "serve", "--set", "cluster.backend=redis", "--set", setting], capture_output=True, text=True,
                          timeout=20, env=environment())
    assert done.returncode == 78
    assert "S3CR3T" not in done.stdout + done.stderr


def test_a_reload_shows_no_values(start, tmp_path):
    conf = tmp_path / "s.yaml"
    conf.write_text("log:\n  level: info\n")
    node = start("node", {"process.user": "root"}, arguments=["-c", str(conf)])
    node.expect(r"config\.")
    conf.write_text(f"admin:\n  token: {ADMIN}\nauth:\n  publish_keys: [{PUBLISH}]\ncluster:\n  secret: {CLUSTER}\n")
    node.process.send_signal(1)
    node.log.wait(r"config\.reloaded")
    log = "\n".join(node.log.lines)
    assert "admin.token" in log and "S3CR3T" not in log
