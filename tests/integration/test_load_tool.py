"""sluice-bench plays by every protocol, and looks at certificates unless it is told not to."""
import json
import os
import pathlib
import subprocess

import pytest

import certificates
import node as node_module
from waiting import scaled, wait_for

HOST = node_module.HOST
TOOL = pathlib.Path(os.environ.get("SLUICE_BENCH", node_module.BINARY.parent / "tests" / "bench" / "sluice-bench"))
VIEWERS = 5
URLS = ["rtmp/live/cam1", "http/live/cam1.flv", "http/live/cam1/main.m3u8", "http/live/cam1/whep",
        "rtmps/live/cam1", "https/live/cam1.flv", "https/live/cam1/main.m3u8", "https/live/cam1/whep"]

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def node(start, authority, publish):
    certificate, key = authority.make("shown")
    node = start("node", {"process.user": "root", "http.tls_listen": f"{HOST}:0", "rtmp.tls_listen": f"{HOST}:0",
                          "tls.certificate": str(certificate), "tls.key": str(key)})
    publish(node, "live/cam1")
    wait_for(lambda: node.request("/live/cam1/main.m3u8", port="http")[0] == 200, 20, "a playlist")
    return node


def play(node, url, *options, trusts=None):
    scheme, _, path = url.partition("/")
    port = node.address(scheme)[1]
    done = subprocess.run([TOOL, "play", f"{scheme}://{HOST}:{port}/{path}", "-n", str(VIEWERS), "-w", "0", "-t", "1",
                           "-q", "-j", *options], capture_output=True, timeout=scaled(30),
                          env=os.environ | ({"SSL_CERT_FILE": str(trusts)} if trusts else {}))
    return done.returncode, json.loads(done.stdout)


def test_every_protocol_is_played(node, authority):
    for url in URLS:
        code, row = play(node, url, trusts=authority.certificate)
        assert code == 0 and row["framed"] == VIEWERS and row["gone"] == 0, (url, row)
        assert row["gaps"] == row["backs"] == 0, (url, row)
    for gauge in ("rtmp", "flv", "whep"):
        node.wait_metric(f"viewers_{gauge}", 0)


def test_nobody_is_believed_without_a_certificate(node):
    node.expect(r"listen\.refused .*unknown ca")
    code, row = play(node, "https/live/cam1.flv")
    assert code != 0 and row["framed"] == 0 and "certificate" in row["why"]
    code, row = play(node, "https/live/cam1.flv", "--insecure")
    assert code == 0 and row["framed"] == VIEWERS
