"""TLS on the public ports, HTTP/2, and certificates that change."""
import json
import signal
import socket
import ssl
import subprocess

import pytest

import certificates
import media as m
import node as node_module
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

HOST = node_module.HOST


@pytest.fixture
def authority(tmp_path):
    return certificates.Authority(tmp_path / "ca")


@pytest.fixture
def settings(authority, tmp_path):
    """Of a node with all ports; its certificate is in files that a test may change."""
    certificate, key = tmp_path / "shown.pem", tmp_path / "shown.key"
    show(authority.make("first"), certificate, key)
    # The folders of a test are root's, and a reload reads the files again.
    return {"process.user": "root", "http.tls_listen": f"{HOST}:0", "rtmp.tls_listen": f"{HOST}:0", "tls.certificate": str(certificate),
            "tls.key": str(key)}


def show(identity, certificate, key):
    certificate.write_bytes(identity[0].read_bytes())
    key.write_bytes(identity[1].read_bytes())


@pytest.fixture
def secure(start, settings):
    return start("node", settings)


def url(node, port, path=""):
    scheme = {"rtmps": "rtmps", "https": "https", "http": "http"}[port]
    return f"{scheme}://{HOST}:{node.address(port)[1]}{path}"


def curl(authority, *words):
    done = subprocess.run(["curl", "-sS", "--max-time", str(scaled(10)), "--cacert", authority.certificate, *words],
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_name(node, authority, port="https"):
    """Whose certificate a new connection sees."""
    context = ssl.create_default_context(cafile=authority.certificate)
    with socket.create_connection(node.address(port), scaled(10)) as plain:
        with context.wrap_socket(plain, server_hostname=HOST) as s:
            return dict(part[0] for part in s.getpeercert()["subject"])["commonName"]


# --- protocols ---

WAYS = [("https", "--http1.1", "1.1"), ("https", "--http2", "2"), ("https", "--no-alpn", "1.1"),
        ("http", "--http1.1", "1.1"), ("http", "--http2", "1.1"), ("http", "--http2-prior-knowledge", "2")]


@pytest.mark.parametrize("port, option, version", WAYS)
def test_every_way_has_the_same_answers(secure, authority, port, option, version):
    say = "\n%{http_version} %{http_code} %{content_type}"
    body, last = curl(authority, option, "-w", say, url(secure, port, "/api/v1/node")).decode().rsplit("\n", 1)
    assert last == f"{version} 200 application/json"
    listen = json.loads(body)["listen"]
    assert listen["https"] == secure.ports["https"] and listen["rtmps"] == secure.ports["rtmps"]
    for words, status in (["/nothing"], 404), (["/a%00b"], 400), (["/healthz", "-I"], 200), \
            (["/healthz", "-X", "DELETE"], 405), (["/api/v1/node", "-X", "OPTIONS"], 204), (["/x", "-X", "BREW"], 501):
        out = curl(authority, option, "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                   url(secure, port, words[0]), *words[1:])
        assert out.decode() == f"{version} {status}", words


def test_versions_and_protocols_offered(secure, authority):
    """TLS 1.2 at least; ALPN on HTTPS, none on RTMPS."""
    def offer(port, alpn, low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=authority.certificate)
        context.minimum_version, context.maximum_version = low, high
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.set_alpn_protocols(alpn)
        with socket.create_connection(secure.address(port), scaled(10)) as plain:
            with context.wrap_socket(plain, server_hostname=HOST) as s:
                return s.version(), s.selected_alpn_protocol()
    assert offer("https", ["http/1.1", "h2"]) == ("TLSv1.3", "h2")
    assert offer("https", ["http/1.1"]) == ("TLSv1.3", "http/1.1")
    assert offer("https", ["spdy/3"]) == ("TLSv1.3", None)
    assert offer("https", ["h2"], high=ssl.TLSVersion.TLSv1_2) == ("TLSv1.2", "h2")
    assert offer("rtmps", ["h2", "http/1.1"]) == ("TLSv1.3", None)
    secure.expect(r"listen\.refused name=https")
    with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, OSError)):
        offer("https", ["h2"], ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)


def test_internal_ports_stay_as_they_are(secure):
    """HTTP/1.1 alone: a preface is no request there."""
    secure.expect(r"http")
    with socket.create_connection(secure.admin, scaled(10)) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 505")


def test_plain_peers_of_secure_ports(secure):
    secure.expect(r"listen\.refused")
    for port in "https", "rtmps":
        with socket.create_connection(secure.address(port), scaled(10)) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" if port == "https" else b"\x03" + bytes(1536))
            while s.recv(100):
                pass
    secure.log.wait(r"listen\.refused .*does not speak TLS")


def test_proxy_header_before_tls(start, settings, authority):
    node = start("node", {**settings, "http.proxy_protocol": True})
    context = ssl.create_default_context(cafile=authority.certificate)
    with socket.create_connection(node.address("https"), scaled(10)) as plain:
        plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n")
        with context.wrap_socket(plain, server_hostname=HOST) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")


# --- media ---

def test_rtmps(secure, run, media, tmp_path):
    """ffmpeg publishes and plays by RTMPS, rtmpdump plays."""
    run(m.publish_words(media, url(secure, "rtmps", "/live/cam"), loop=True))
    wait_for(lambda: secure.metric("publishers") == 1, 10, "the publisher")
    probed = run(m.probe_words(url(secure, "rtmps", "/live/cam"))).succeeds().decode()
    assert "h264" in probed and "aac" in probed
    out = tmp_path / "dump.flv"
    run(["rtmpdump", "-q", "-v", "-r", url(secure, "rtmps", "/live/cam"), "-o", out])
    wait_for(lambda: out.exists() and out.stat().st_size > 100_000, 15, "media by rtmpdump")


@pytest.mark.parametrize("port, option", [("https", "--http2"), ("https", "--http1.1"), ("http", "--http2-prior-knowledge")])
def test_flv(secure, authority, feed, run, tmp_path, port, option):
    feeder = feed(secure, "live/cam")
    out = tmp_path / "out.flv"
    player = run(["curl", "-sSN", option, "--cacert", authority.certificate, "-o", out,
                  url(secure, port, "/live/cam.flv?tracks=all")])
    wait_for(lambda: out.exists() and out.stat().st_size > 100_000, 15, "media")
    secure.wait_metric("viewers_flv", 1)
    feeder.finish()
    player.succeeds()
    import flv
    m.assert_unbroken([t for t in flv.file_tags(out)], feeder.sent)


def test_many_players_of_a_connection(secure, feed, run):
    """40 streams of two connections, ended by the end of the stream."""
    feeder = feed(secure, "live/cam")
    load = run(["h2load", "-n", "40", "-c", "2", "-m", "20", url(secure, "http", "/live/cam.flv")])
    secure.wait_metric("viewers_flv", 40)
    assert secure.metric("http2_connections_total") == 2
    feeder.finish()
    assert "40 succeeded" in load.succeeds().decode()


def test_ffprobe_by_https(secure, feed, run):
    feed(secure, "live/cam")
    probed = run(m.probe_words(url(secure, "https", "/live/cam.flv"))).succeeds().decode()
    assert "h264" in probed and "aac" in probed


def test_drain_tells_streams(secure, feed, run, authority, tmp_path):
    feed(secure, "live/cam")
    out = tmp_path / "out.flv"
    player = run(["curl", "-sSN", "--http2", "--cacert", authority.certificate, "-o", out,
                  url(secure, "https", "/live/cam.flv")])
    wait_for(lambda: out.exists() and out.stat().st_size > 50_000, 15, "media")
    assert secure.stop() == 0
    player.succeeds()  # an end, not a loss


# --- certificates ---

def test_sighup_takes_the_new_certificate(secure, settings, authority, feed, run, tmp_path):
    certificate, key = tmp_path / "shown.pem", tmp_path / "shown.key"
    feed(secure, "live/cam")
    out = tmp_path / "out.flv"
    player = run(["curl", "-sSN", "--http2", "--cacert", authority.certificate, "-o", out,
                  url(secure, "https", "/live/cam.flv")])
    wait_for(lambda: out.exists() and out.stat().st_size > 50_000, 15, "media")
    assert shown_name(secure, authority) == "first"

    show(authority.make("second"), certificate, key)
    secure.signal(signal.SIGHUP)
    secure.log.wait(r"tls\.reloaded")
    assert shown_name(secure, authority) == shown_name(secure, authority, "rtmps") == "second"

    secure.expect(r"tls\.reload_failed")
    key.write_bytes(authority.make("third")[1].read_bytes())
    secure.signal(signal.SIGHUP)
    assert "mismatch" in secure.log.wait(r"tls\.reload_failed")
    assert shown_name(secure, authority) == "second"

    had = out.stat().st_size
    wait_for(lambda: out.stat().st_size > had + 50_000, 15, "the first connection to go on")
    player.finish()


@pytest.mark.parametrize("changed, says", [
    ({"tls.key": "", "tls.certificate": ""}, "tls.certificate and tls.key"),
    ({"tls.key": ""}, "belong together"),
    ({"tls.certificate": "/nowhere.pem"}, "/nowhere.pem: No such file"),
    ({"tls.key": "/dev/null"}, "/dev/null: "),
    ("other", "mismatch"),
])
def test_wrong_settings(settings, authority, changed, says):
    if changed == "other":
        changed = {"tls.key": str(authority.make("other")[1])}
    node = node_module.Node("node", {**settings, **changed})
    assert node.wait_exit() == 78
    assert says in "\n".join(node.log.lines)


def test_an_expired_certificate_is_told(start, settings, authority, tmp_path):
    show(authority.make("old", expired=True), tmp_path / "shown.pem", tmp_path / "shown.key")
    node = start("node", settings)
    node.expect(r"tls\.expired")
    assert node.log.find(r"warn node tls\.expired")
