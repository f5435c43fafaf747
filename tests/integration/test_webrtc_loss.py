"""WebRTC over a network that loses datagrams; scripts/players loss has the long runs and what a quiet machine has to show."""
import os

import pytest

import media as m
from browser import Browser
from lan import Lan

pytestmark = [pytest.mark.clients, pytest.mark.alone, pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")]

NAME = "live/cam1"
PERCENT = 5
DTLS_CHANGE_CIPHER_SPEC = 20  # the first byte of its record


@pytest.fixture
def lan():
    lan = Lan()
    yield lan
    lan.close()


@pytest.fixture
def node(lan, start):
    return start("node", {"stream.lost_ms": 2000, "http.listen": f"{lan.here}:0", "webrtc.listen": f"{lan.here}:0", "webrtc.tcp_listen": f"{lan.here}:0"})


@pytest.fixture
def browser(lan, node, closing):
    def open(kind, **options):
        host, port = node.http
        return closing(Browser(kind, f"http://{host}:{port}/{NAME}/{kind}", options, lan.prefix))
    return open


def told(browser, kind):
    return next((s for s in (browser.last("rtc") or {"streams": []})["streams"] if s["kind"] == kind), {})


def wait_told(browser, kind, deadline=30, **least):
    return browser.wait(lambda: (t := told(browser, kind)) and all(t.get(k, 0) >= n for k, n in least.items()) and t, deadline, f"{kind} with {least}")


def test_what_a_player_loses_is_repaired(lan, node, browser, run):
    run(m.encode_words(node.rtmp_url(NAME)))
    node.wait_metric("publishers", 1)
    lan.lose(PERCENT)
    player = browser("whep")
    # When the end of the handshake is lost, it has no key frame to begin at, and asks for one.
    begun = wait_told(player, "video", frames=25)
    seen = wait_told(player, "video", frames=225)
    assert seen["plis"] == begun["plis"], (begun, seen)
    assert wait_told(player, "video", retransmitted=5)["lost"] >= 5
    # It learns the round trip, so that it asks again soon when an answer was lost.
    assert wait_told(player, "remote video", rtts=1)["rtt_s"] < 1
    assert node.metric("rtc_audio_only_total") == 0
    assert node.metric("rtc_nacked_total") > 0


def test_who_lost_the_end_of_the_handshake_gets_the_key_frame_again(lan, node, browser, run):
    run(m.encode_words(node.rtmp_url(NAME), key_frames_s=6))
    node.wait_metric("publishers", 1)
    lan.lose_one(DTLS_CHANGE_CIPHER_SPEC)
    player = browser("whep")
    begun = wait_told(player, "video", frames=10)
    assert lan.lost_one()
    assert begun["plis"] <= 5, (begun, node.metric("rtc_started_over_total"))
    seen = wait_told(player, "video", frames=200)
    assert seen["plis"] == begun["plis"], (begun, seen)
    assert node.metric("rtc_started_over_total") <= 1


def test_what_a_publisher_loses_is_repaired(lan, node, browser, closing):
    publisher = browser("whip", codec="H264", width=320, height=180)
    wait_told(publisher, "video", frames=30)
    lan.lose(PERCENT)
    wait_told(publisher, "video", frames=230)
    now = node.metrics()
    assert now["rtc_missing_total"] > 5 and now["rtc_repaired_total"] > 5
    assert now["rtc_given_up_total"] == 0, {k: v for k, v in now.items() if k.startswith("rtc_")}


def test_publishing_and_playing_by_tcp(lan, node, browser):
    lan.cut()
    publisher = browser("whip", codec="H264")
    wait_told(publisher, "video", frames=30)
    player = browser("whep")
    wait_told(player, "video", frames=60)
    wait_told(player, "audio", packets=60)
    assert {b.last("rtc")["protocol"] for b in (publisher, player)} == {"tcp"}
    assert node.metric("rtc_given_up_total") == 0


def test_sound_alone_where_not_more_fits_through(lan, node, browser, run):
    run(m.encode_words(node.rtmp_url(NAME)))
    node.wait_metric("publishers", 1)
    player = browser("whep")
    wait_told(player, "video", frames=50)
    lan.narrow(130000)  # of 400000
    node.wait_metric("rtc_audio_only_total", 1, 20)
    before = told(player, "audio")
    after = wait_told(player, "audio", packets=before["packets"] + 100)
    assert after["concealed"] - before["concealed"] < (after["samples"] - before["samples"]) / 4
    lan.narrow(0)
    wait_told(player, "video", frames=told(player, "video")["frames"] + 25)
