"""TLS inside of the cluster: rediss://, and links between nodes (docs/redis.md, ARCHITECTURE.md 5)."""
import signal
import socket
import struct
import threading

import pytest

import certificates
import media as m
import node as node_module
from raw import Raw, exchange
from waiting import wait_for

pytestmark = pytest.mark.core

TROUBLE = (r" redis\.", r"claim\.restored")


@pytest.fixture
def authority(tmp_path):
    return certificates.Authority(tmp_path / "ca")


class TlsRedis(node_module.Redis):
    """With a port for TLS, which asks for nobody's certificate unless told to; the plain one is the test's own."""

    def __init__(self, folder, authority, identity, clients="no"):
        self.authority, self.clients = authority, clients
        self.tls_port = node_module.free_port()
        super().__init__(folder, self.tls_words(identity))

    def tls_words(self, identity):
        certificate, key = identity
        return ["--tls-port", str(self.tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
                "--tls-ca-cert-file", str(self.authority.certificate), "--tls-auth-clients", self.clients]

    def restart(self, identity):
        self.kill()
        self.words = self.tls_words(identity)
        self.start()

    @property
    def url(self):
        return f"rediss://{node_module.HOST}:{self.tls_port}/0"


@pytest.fixture
def tls_redis(tmp_path):
    servers = []

    def run(authority, identity, **options):
        servers.append(TlsRedis(tmp_path, authority, identity, **options))
        return servers[-1]

    yield run
    for server in servers:
        server.finish()


class Wire:
    """What passes a TCP port of loopback, as a third party sees it."""

    def __init__(self, port):
        try:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        except PermissionError:
            pytest.skip("looking at the wire takes CAP_NET_RAW")
        self.sock.bind(("lo", 0))
        self.sock.settimeout(0.1)
        self.port, self.seen, self.ending = port, bytearray(), False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.ending:
            try:
                packet = self.sock.recv(1 << 17)
            except TimeoutError:
                continue
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
                continue
            tcp = packet[(packet[0] & 15) * 4:]
            if self.port in struct.unpack(">HH", tcp[:4]):
                self.seen += tcp[(tcp[12] >> 4) * 4:]

    def close(self):
        self.ending = True
        self.thread.join()
        self.sock.close()


def pair(cluster, settings, edge_settings=None):
    origin = cluster.start("origin", "o1", settings)
    return origin, cluster.start("edge", "e1", edge_settings or settings)


# --- Redis ---


def test_cluster_over_rediss(tls_redis, authority, start, feed, play):
    redis = tls_redis(authority, authority.make("redis"))
    cluster = node_module.Cluster(redis, start)
    settings = {"cluster.redis.tls_ca": str(authority.certificate)}
    origins = [cluster.start("origin", f"o{i}", settings) for i in (1, 2)]
    edges = [cluster.start("edge", f"e{i}", settings) for i in (1, 2)]
    publishers = [feed(o, f"live/cam{i}") for i, o in enumerate(origins)]
    cluster.wait_owner("live/cam0", "o1")
    cluster.wait_owner("live/cam1", "o2")
    for edge in edges:
        for i, publisher in enumerate(publishers):
            player = play(edge, f"live/cam{i}")
            player.wait_media(60)
            m.assert_unbroken(player.media, publisher.sent)


@pytest.mark.parametrize("wrong, says", [
    ("authority", "not trusted"), ("name", "another address"), ("expired", "expired"),
    ("file", "authority's file")])
def test_rediss_that_is_not_what_it_should_be(tls_redis, authority, tmp_path, wrong, says):
    identity = authority.make("redis", alt="DNS:elsewhere" if wrong == "name" else "IP:127.0.0.1",
                              expired=wrong == "expired")
    redis = tls_redis(authority, identity)
    trusted = authority
    if wrong == "authority":
        trusted = certificates.Authority(tmp_path / "other", "other")
    ca = "/nowhere/ca.pem" if wrong == "file" else str(trusted.certificate)
    node = node_module.Node("node", {
        "cluster.backend": "redis", "cluster.secret": node_module.SECRET,
        "cluster.redis.url": redis.url, "cluster.redis.tls_ca": ca})
    assert node.wait_exit() == 78
    assert says in node.log.find(r"error .*cluster\.(refused|failed) .*TLS")


def test_certificate_of_ours(tls_redis, authority, start):
    """Redis that wants one lets in who has one."""
    certificate, key = authority.make("node")
    redis = tls_redis(authority, authority.make("redis"), clients="yes")
    settings = {"cluster.redis.tls_ca": str(authority.certificate)}
    cluster = node_module.Cluster(redis, start)
    with_one = cluster.start("node", "n1", {**settings, "tls.certificate": str(certificate), "tls.key": str(key)})
    with_one.wait_metric("redis_up", 1)
    node = node_module.Node("node", {"cluster.backend": "redis", "cluster.secret": node_module.SECRET,
                                     "cluster.redis.url": redis.url, **settings})
    assert node.wait_exit() == 78
    assert "TLS: the peer refused" in node.log.find("cluster.refused")


def test_certificate_that_expires_later(tls_redis, authority, start, feed, play):
    """What plays plays on; Redis is tried until it shows a good certificate."""
    redis = tls_redis(authority, authority.make("redis"))
    cluster = node_module.Cluster(redis, start)
    node = cluster.start("node", "n1", {"cluster.redis.tls_ca": str(authority.certificate)})
    node.expect(*TROUBLE)
    feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(30)
    redis.restart(authority.make("old", expired=True))
    node.log.wait(r"redis\.untrusted .*expired")
    player.wait_media(len(player.media) + 60)
    redis.restart(authority.make("new"))
    node.wait_metric("redis_up", 1)
    cluster.wait_owner("live/cam1", "n1")


# --- between nodes ---


def test_links_between_nodes_are_closed_to_others(cluster, feed, play, play_flv, closing):
    origin, edge = pair(cluster, {"cluster.tls": True})
    wire = closing(Wire(origin.address("cluster")[1]))
    publisher = feed(origin, "live/cam1")
    for player in (play(edge, "live/cam1"), play_flv(edge, "live/cam1")):
        player.wait_media(100)
        m.assert_unbroken(player.media, publisher.sent)
    assert len(edge.get_json("/api/v1/streams?scope=cluster")["streams"]) == 1
    assert edge.metric("tls_handshakes_total") >= 1
    wait_for(lambda: len(wire.seen) > 100000, what="the stream to come over the wire")
    for word in (b"HTTP/1.1", b"GET /", b"X-Sluice", b"live/cam1", b"onMetaData", b"avcC"):
        assert word not in wire.seen, word
    assert edge.metric("tls_failed_total") == 0


def test_another_secret_does_not_get_in(cluster, feed, play):
    other = {"cluster.tls": True, "cluster.secret": "another secret, also long enough"}
    origin, edge = pair(cluster, {"cluster.tls": True}, other)
    feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    for node in (origin, edge):
        node.expect(r"another secret", r"upstream\.", r"pull\.", r" reason=tls", r"play\.|stream\.")
    player = play(edge, "live/cam1")
    origin.log.wait(r"warn .*listen\.refused name=cluster .*another secret")
    edge.log.wait(r"warn .*relay\.tls .*another secret")
    origin.wait_metric("tls_failed_total", lambda n: n >= 1)
    assert origin.metric("relays_total") == 0 and origin.metric("http_requests_total") <= 2
    assert player.media == []


@pytest.mark.parametrize("secure", ["origin", "edge"])
def test_plain_nodes_are_told(cluster, feed, play, secure):
    """Neither side falls back, both say what is wrong."""
    settings = {role: {"cluster.tls": role == secure} for role in ("origin", "edge")}
    origin, edge = pair(cluster, settings["origin"], settings["edge"])
    feed(origin, "live/cam1")
    cluster.wait_owner("live/cam1", "o1")
    for node in (origin, edge):
        node.expect(r"speaks? TLS", r"upstream\.", r"pull\.", r" reason=tls")
    player = play(edge, "live/cam1")
    if secure == "origin":
        origin.log.wait(r"warn .*listen\.refused name=cluster .*does not speak TLS")
        edge.log.wait(r"warn .*relay\.tls .*the peer speaks TLS, we do not")
    else:
        origin.log.wait(r"warn .*http\.tls name=cluster .*the peer speaks TLS, this port does not")
        edge.log.wait(r"warn .*relay\.tls .*does not speak TLS")
    assert player.media == []


def test_strangers_at_the_port(cluster, closing):
    """Lines about them are limited, and the node does not mind."""
    node = cluster.start("node", "n1", {"cluster.tls": True})
    node.expect(r"listen\.refused name=cluster", r"log\.suppressed")
    address = node.address("cluster")
    assert exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 0
    for data in (b"\x03" + bytes(1536), bytes(range(256)) * 4, b"\x16\x03\x01\x40\x00\x01" + bytes(100)):
        raw = closing(Raw(address, data))
        raw.sock.shutdown(socket.SHUT_WR)
        raw.read_end()
    for _ in range(100):
        closing(Raw(address, b"no TLS at all\r\n")).read_end()
    assert node.log.count(r"warn .*listen\.refused") < 60
    wait_for(lambda: node.metric("tls_failed_total") >= 100, 10, "the failures to be counted")
    assert node.request("/healthz")[0] == 200


def test_our_certificate_is_read_again_on_sighup(tls_redis, authority, start, tmp_path):
    """Redis that comes back sees the new one: the old one would be let in no more."""
    certificate, key = tmp_path / "node.pem", tmp_path / "node.key"
    def show(identity):
        certificate.write_bytes(identity[0].read_bytes())
        key.write_bytes(identity[1].read_bytes())
    show(authority.make("before"))
    redis = tls_redis(authority, authority.make("redis"), clients="yes")
    cluster = node_module.Cluster(redis, start)
    node = cluster.start("node", "n1", {"cluster.redis.tls_ca": str(authority.certificate),
                                        "tls.certificate": str(certificate), "tls.key": str(key), "process.user": "root"})
    node.wait_metric("redis_up", 1)
    node.expect(*TROUBLE, r"tls\.(expired|reload_failed)")
    show(authority.make("expired", expired=True))
    node.signal(signal.SIGHUP)
    node.log.wait(r"tls\.reloaded")
    redis.kill()
    redis.start()
    node.log.wait(r"redis\.untrusted .*the peer refused .*expired")
    show(authority.make("after"))
    node.signal(signal.SIGHUP)
    node.wait_metric("redis_up", 1)
