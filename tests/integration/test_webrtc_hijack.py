"""Whoever is not the peer of a session, and knows all that went over the wire, has no effect on it (and gets no answer)."""
import re
import socket
import time

import pytest

import rtcpeer
import stun
from waiting import scaled
from webrtc_http import SDP, ask, offer

pytestmark = pytest.mark.core
SILENCE_S = 0.2
UFRAG = "2d48119a"  # of ffmpeg's offer


def begin(node, closing, setup="active", announce=True):
    """A session that has posted ffmpeg's offer, but sent nothing."""
    key, certificate, fingerprint = rtcpeer.identity()
    text = rtcpeer.offer_of(offer("ffmpeg-whip"), fingerprint if announce else rtcpeer.identity()[2], setup)
    answer = ask(node, "POST", "/live/cam1/whip", text, Content_Type=SDP)
    assert answer.status == 201, answer.body
    roles = set(re.findall(r"a=setup:(\w+)", answer.body))
    assert roles == {"active" if setup == "passive" else "passive"}
    peer = closing(rtcpeer.RtcPeer(stun.Answer(answer.body), UFRAG, key, certificate, setup == "passive"))
    return peer, answer.headers["Location"]


class Other:
    """Somebody else's socket."""

    def __init__(self, peer):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((peer.to[0], 0))
        self.to = peer.to

    def send(self, *datagrams):
        for datagram in datagrams:
            self.socket.sendto(datagram, self.to)

    def assert_silent(self):
        self.socket.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            self.socket.recv(2048)

    def close(self):
        self.socket.close()


def hello(ciphers=None):
    key, certificate, _ = rtcpeer.identity()
    dtls = rtcpeer.Dtls(key, certificate, False, ciphers)
    dtls.take()
    return dtls.out()


@pytest.mark.parametrize("setup", ["active", "passive"])
def test_sound_of_either_role(node, closing, setup):
    """ffmpeg waits for our ClientHello (setup:passive); others send theirs."""
    peer, location = begin(node, closing, setup)
    peer.check()
    peer.shake()
    peer.sound(50)
    node.wait_metric("rtc_media_in_total", 50)
    node.wait_metric("frames_in_total", lambda n: n >= 40)
    assert node.metric("rtc_auth_failed_total") == 0
    assert ask(node, "DELETE", location).status == 200


def test_handshakes_of_others(node, closing):
    peer, location = begin(node, closing)
    other = closing(Other(peer))
    other.send(hello())  # before any check
    peer.check()
    alert = bytes.fromhex("15fefd0000000000000000 0002 0228".replace(" ", ""))
    other.send(hello("AES256-SHA"), hello(), alert, stun.check(peer.username, "x" * 24, nominate=True))
    other.assert_silent()
    began = time.monotonic()
    peer.shake()
    assert time.monotonic() - began < scaled(1)
    other.send(hello(), alert)
    other.assert_silent()
    peer.sound(10)
    node.wait_metric("rtc_media_in_total", 10)
    assert node.metric("rtc_strays_total") == 6 and node.metric("rtc_checks_dropped_total") == 1
    assert node.metric("rtc_moves_total") == 0
    assert ask(node, "DELETE", location).status == 200


def test_everything_again(node, closing):
    """All that the peer has sent comes a second time: from another address, and from its own."""
    peer, location = begin(node, closing)
    peer.check()
    peer.shake()
    peer.sound(20)
    node.wait_metric("rtc_media_in_total", 20)
    sent = list(peer.sent)
    media = [d for d in sent if d[0] >= 128]
    other = closing(Other(peer))
    other.send(*sent)
    other.assert_silent()
    damaged = bytes([*media[0][:14], media[0][14] ^ 1, *media[0][15:]])
    for datagram in [*media, damaged]:
        peer.send(datagram)
    node.wait_metric("rtc_auth_failed_total", len(media) + 1)
    for datagram in (d for d in sent if 20 <= d[0] <= 63):
        peer.send(datagram)
    peer.sound(10)
    node.wait_metric("rtc_media_in_total", 30)
    assert node.metric("rtc_strays_total") == sum(d[0] >= 20 for d in sent)
    assert node.metric("rtc_moves_total") == 0 and node.metric("rtc_missing_total") == 0
    assert ask(node, "DELETE", location).status == 200


@pytest.mark.parametrize("setup", ["active", "passive"])
def test_another_certificate(node, closing, setup):
    """Than the offer announced: no key of such a handshake is ever used."""
    peer, location = begin(node, closing, setup, announce=False)
    peer.check()
    try:
        peer.shake()
        peer.sound(5)
    except rtcpeer.SSL.Error:
        pass
    node.wait_metric("rtc_fingerprint_failed_total", 1)
    node.wait_metric("rtc_peers", 0)
    assert node.metric("rtc_media_in_total") == 0 and node.metric("rtc_joins_total") == 0
    assert ask(node, "DELETE", location).status == 404
