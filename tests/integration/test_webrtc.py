"""WebRTC from the outside: Chromium plays and publishes, by UDP and by TCP; and what those get who are nobody's remote."""
import http.client
import os
import socket

import pytest

import media as m
import stun
from browser import Browser
from waiting import scaled

HOST = "127.0.0.1"
NAME = "live/cam1"
# What a machine with much to do has no time for is no fault of these.
SETTINGS = {"webrtc.tcp_listen": f"{HOST}:0", "stream.lost_ms": 2000, "stream.linger_ms": 500}
FRAMES = 60
SILENCE_S = 0.3


@pytest.fixture
def node(start):
    return start("node", SETTINGS)


def url(node, kind, name=NAME):
    host, port = node.http
    return f"http://{host}:{port}/{name}/{kind}"


@pytest.fixture
def live(node, run):
    """A stream as encoders for low latency make it."""
    run(m.encode_words(node.rtmp_url(NAME), key_frames_s=1))
    node.wait_metric("publishers", 1)


def wait_frames(browser, frames=FRAMES, kind="video"):
    def look():
        told = browser.last("rtc")
        stream = told and next((s for s in told["streams"] if s["kind"] == kind), None)
        return stream and stream["frames"] >= frames and stream

    return browser.wait(look, 60, f"{frames} frames")


def post(node, text, kind="whep", name=NAME):
    host, port = node.http
    connection = http.client.HTTPConnection(host, port, timeout=scaled(10))
    connection.request("POST", f"/{name}/{kind}", body=text, headers={"Content-Type": "application/sdp"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 201, body
    return stun.Answer(body), answer.headers["Location"]


def delete(node, location):
    host, port = node.http
    connection = http.client.HTTPConnection(host, port, timeout=scaled(10))
    connection.request("DELETE", location)
    status = connection.getresponse().status
    connection.close()
    return status


# --- Chromium ---


@pytest.mark.clients
@pytest.mark.parametrize("tcp", [False, True])
def test_chromium_plays(node, live, closing, tcp):
    browser = closing(Browser("whep", url(node, "whep"), {"tcp": tcp}))
    stream = wait_frames(browser)
    told = browser.last("rtc")
    assert stream["codec"] == "video/H264" and (stream["width"], stream["height"]) == (320, 180)
    assert (told["protocol"], told["dtls"], told["srtp"]) == ("tcp" if tcp else "udp", "connected", "SRTP_AEAD_AES_128_GCM")
    assert node.metric("rtc_joins_total") == 1 and node.metric("rtc_send_errors_total") == 0
    assert not browser.errors(), browser.tail()
    browser.finish()
    node.wait_metric("rtc_peers", 0)


@pytest.mark.clients
def test_chromium_publishes_and_plays(node, closing):
    publisher = closing(Browser("whip", url(node, "whip"), {"codec": "H264"}))
    wait_frames(publisher, 10)
    player = closing(Browser("whep", url(node, "whep")))
    stream = wait_frames(player)
    assert stream["codec"] == "video/H264"
    wait_frames(publisher)
    assert not publisher.errors() + player.errors(), publisher.tail() + player.tail()
    assert node.metric("rtc_auth_failed_total") == 0
    publisher.finish()
    node.wait_metric("publishers", 0)


# --- who is nobody's remote ---


class Nobody:
    """A socket of which nothing should be heard."""

    def __init__(self, to):
        self.to = to
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))

    def send(self, datagram):
        self.socket.sendto(datagram, self.to)

    def ask(self, datagram):
        self.send(datagram)
        self.socket.settimeout(scaled(5))
        return self.socket.recv(2048)

    def assert_silent(self):
        self.socket.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            self.socket.recv(2048)

    def close(self):
        self.socket.close()


def test_no_answer_without_a_valid_check(node, live, closing):
    answer, location = post(node, stun.offer())
    nobody = closing(Nobody(answer.address()))
    right = f"{answer.ufrag}:them"
    for wrong in (stun.check(right, None), stun.check(right, answer.pwd, signature=False), stun.check(right, answer.pwd, checksum=False),
                  stun.check(f"{answer.ufrag}:others", answer.pwd), stun.check("00nobody:them", answer.pwd), stun.check(right, "")):
        nobody.send(wrong)
    for first in (4, 22, 21, 63, 64, 128, 144, 191, 200, 255):
        nobody.send(bytes([first]) + os.urandom(200))
    nobody.send(b"")
    nobody.assert_silent()
    assert node.metric("rtc_checks_dropped_total") == 6
    # The session has not noticed.
    remote = closing(Nobody(answer.address()))
    check = stun.check(right, answer.pwd, nominate=True)
    reply = remote.ask(check)
    assert stun.is_success(reply, check) and len(reply) <= len(check)
    nobody.send(check)
    nobody.assert_silent()
    assert stun.is_success(remote.ask(check), check)
    assert node.metric("rtc_moves_total") == 0
    assert delete(node, location) == 200
    remote.assert_silent()


def test_candidates_of_an_offer_get_nothing(node, live, closing):
    """The node sends no checks: whoever an offer names is left alone."""
    named = closing(Nobody((HOST, 9)))
    port = named.socket.getsockname()[1]
    lines = [f"a=candidate:{i} 1 udp {2130706431 - i} {HOST} {port} typ host" for i in range(1000)]
    answer, location = post(node, stun.offer(candidates=lines))
    named.assert_silent()
    assert node.metric("rtc_datagrams_out_total") == 0
    assert delete(node, location) == 200


def test_connections_that_are_none_of_ours(node, live, closing):
    answer, location = post(node, stun.offer())
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0", b"\xff\xff", b"\0\4\x16\xfe\xfd\0", b"\0\4" + os.urandom(4)):
        with socket.create_connection(answer.address("tcp"), timeout=scaled(5)) as connection:
            connection.sendall(words)
            try:
                assert connection.recv(100) == b""
            except ConnectionResetError:
                pass
    with socket.create_connection(answer.address("tcp"), timeout=scaled(5)) as connection:
        check = stun.check(f"{answer.ufrag}:them", answer.pwd, nominate=True)
        for at in range(0, len(check) + 2, 7):
            connection.sendall((len(check).to_bytes(2, "big") + check)[at:at + 7])
        reply = connection.recv(2048)
        assert stun.is_success(reply[2:], check)
    assert delete(node, location) == 200


