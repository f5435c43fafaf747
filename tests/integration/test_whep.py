"""WebRTC players: what they are sent, what becomes of them when the stream moves, ends or cannot be played."""
import http.client
import json
import urllib.request

import pytest

import media as m
import rtmp
import stun
from browser import Browser, Watch
from waiting import scaled, wait_for

NAME = "live/cam1"
SETTINGS = {"stream.lost_ms": 20000, "stream.linger_ms": 200}
FRAMES = 75
# As encoders for files make it: pictures that come before those they need.
B_FRAMES = {"-preset": "veryfast", "-tune": None, "-bf": "2"}


@pytest.fixture
def node(start):
    return start("node", SETTINGS)


def encode(node, change=None, name=NAME):
    """What media.encode_words() does, with other words for the encoder."""
    words = m.encode_words(node.rtmp_url(name), key_frames_s=1)
    for word, value in (change or {}).items():
        if word in words:
            del words[words.index(word):words.index(word) + 2]
        if value is not None:
            words[words.index("-c:a"):words.index("-c:a")] = [word, value]
    return words


def url(node):
    host, port = node.http
    return f"http://{host}:{port}/{NAME}/whep"


def post(node):
    host, port = node.http
    connection = http.client.HTTPConnection(host, port, timeout=scaled(10))
    connection.request("POST", f"/{NAME}/whep", body=stun.offer(), headers={"Content-Type": "application/sdp"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def session(node):
    """The URL of a session that never connects."""
    status, headers, body = post(node)
    assert status == 201, body
    return headers["Location"]


def end(node, location):
    host, port = node.http
    connection = http.client.HTTPConnection(host, port, timeout=scaled(10))
    connection.request("DELETE", location)
    status = connection.getresponse().status
    connection.close()
    return status


def api_viewers(node):
    host, port = node.http
    with urllib.request.urlopen(f"http://{host}:{port}/api/v1/streams/{NAME}", timeout=scaled(10)) as answer:
        return json.load(answer)["viewers"]["whep"]


def told(browser, kind):
    rtc = browser.last("rtc")
    return rtc and next((s for s in rtc["streams"] if s["kind"] == kind), None)


def wait_frames(browser, frames):
    return browser.wait(lambda: (s := told(browser, "video")) and s["frames"] >= frames and s, 60, f"{frames} frames")


def wait_sound(browser, packets=50):
    return browser.wait(lambda: (s := told(browser, "audio")) and s["packets"] >= packets and s, 60, f"{packets} packets of sound")


# --- without a browser ---


def test_viewers_are_counted(node, run):
    run(encode(node))
    node.wait_metric("publishers", 1)
    sessions = [session(node) for _ in range(3)]
    assert api_viewers(node) == 3 and node.metric("viewers_whep") == 3
    assert [end(node, s) for s in sessions] == [200] * 3
    node.wait_metric("viewers_whep", 0)
    assert api_viewers(node) == 0


def test_no_more_than_viewer_max(start, run):
    node = start("node", {**SETTINGS, "viewer.max": 2})
    run(encode(node))
    node.wait_metric("publishers", 1)
    sessions = [session(node) for _ in range(2)]
    status, headers, _ = post(node)
    assert status == 503 and int(headers["Retry-After"]) > 0
    assert end(node, sessions.pop()) == 200
    sessions.append(session(node))
    assert [end(node, s) for s in sessions] == [200] * 2


def test_who_waits_gets_the_stream(start, run):
    """An offer may come before its publisher."""
    node = start("node", {**SETTINGS, "stream.wait_ms": 20000})
    encoder = run(encode(node))
    assert end(node, session(node)) == 200
    assert encoder is not None


def test_b_frames_may_be_refused(start, run):
    node = start("node", {**SETTINGS, "transcode.bframes": "refuse"})
    run(encode(node, B_FRAMES))
    node.wait_metric("publishers", 1)
    wait_for(lambda: node.metric("frames_in_total") > 60, scaled(20), "some pictures")
    status, _, body = post(node)
    assert status == 422 and "unsupported" in body


def test_more_videos_than_the_node_makes(start, run, closing):
    """Viewers of another stream see it without its B-frames, and it is told why; those of one that is made anew notice nothing."""
    node = start("node", {**SETTINGS, "limits.derived_videos": 1, "stream.wait_ms": 4000})
    node.expect(r"limit\.reached setting=limits\.derived_videos|whep\.no_video")
    for name in ("live/one", "live/two"):
        run(encode(node, B_FRAMES, name))
    node.wait_metric("publishers", 2)
    first = closing(Watch(node, "live/one"))
    node.log.wait(r"derive\.run stream=live/one;ordered")
    first.wait_frame(20, codec="H264")
    assert node.metric("rtc_b_frames_dropped_total") == 0
    second = closing(Watch(node, "live/two"))
    second.wait_frame(20, codec="H264")
    node.log.wait(r"limit\.reached setting=limits\.derived_videos who=live/two;ordered")
    node.log.wait(r"whep\.no_video stream=live/two ")
    assert node.metric('limit_reached_total{setting="limits.derived_videos"}') == 1
    node.wait_metric("rtc_b_frames_dropped_total", lambda n: n > 0)
    shown = {player: len(player.frames("H264")) for player in (first, second)}
    for player, frames in shown.items():
        player.wait(lambda: len(player.frames("H264")) > frames + 25, 20, "a second of pictures")
        player.assert_unbroken("H264")
    assert node.log.count(r"derive\.run stream=live/two;ordered|whep\.no_video stream=live/one ") == 0
    # Who comes when nobody sees the first stream any more gets the other one with all its pictures.
    for player in (first, second):
        player.command("delete", node.http[1])
    node.wait_metric("viewers_whep", 0)
    node.log.wait(r"derive\.end stream=live/one;ordered", 20)
    third = closing(Watch(node, "live/two"))
    node.log.wait(r"derive\.run stream=live/two;ordered")
    third.wait_frame(20, codec="H264")
    third.command("delete", node.http[1])


def test_viewers_of_a_kicked_publisher_end(node, run):
    run(encode(node))
    node.wait_metric("publishers", 1)
    location = session(node)
    host, port = node.admin
    kick = urllib.request.Request(f"http://{host}:{port}/api/v1/streams/{NAME}", method="DELETE")
    urllib.request.urlopen(kick, timeout=scaled(10)).close()
    node.log.wait(r"whep\.close reason=(kicked|unpublished) ")
    assert end(node, location) == 404
    node.wait_metric("rtc_peers", 0)


# --- Chromium ---


@pytest.mark.clients
def test_sound_that_is_not_opus(node, run, closing):
    run(encode(node))
    browser = closing(Browser("whep", url(node)))
    video, sound = wait_frames(browser, FRAMES), wait_sound(browser, 100)
    assert sound["codec"] == "audio/opus" and sound["lost"] == 0
    assert video["plis"] == 0 and video["lost"] == 0
    assert not browser.errors(), browser.tail()


@pytest.mark.clients
def test_sound_alone(node, run, closing):
    """Which is not Opus, so that nothing is there to be sent before somebody listens."""
    run(["ffmpeg", "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", "sine=f=440:r=44100", "-c:a", "aac", "-f", "flv", node.rtmp_url(NAME)])
    browser = closing(Browser("whep", url(node)))
    assert wait_sound(browser, 50)["codec"] == "audio/opus"
    assert not browser.errors() and told(browser, "video") is None


@pytest.mark.clients
def test_obs_at_an_edge(cluster, closing):
    """What OBS has sent, with its AAC, in Chromium at an edge."""
    origin, edge = cluster.start("origin", "o1", SETTINGS), cluster.start("edge", "e1", SETTINGS)
    tags = [tag for tag, _ in rtmp.Capture(m.CAPTURES / "obs30-h264.c2s.bin").media()]
    closing(m.Feeder(origin.rtmp, NAME, tags))
    cluster.wait_owner(NAME, "o1")
    browser = closing(Browser("whep", url(edge)))
    video, sound = wait_frames(browser, FRAMES), wait_sound(browser, 100)
    assert (video["codec"], sound["codec"]) == ("video/H264", "audio/opus")
    assert video["plis"] == 0 and video["lost"] == 0 and sound["lost"] == 0
    assert origin.log.count(r"derive\.start .*;opus") == 1
    assert not browser.errors(), browser.tail()


@pytest.mark.clients
@pytest.mark.parametrize("way", ["transcode", "drop"])
def test_b_frames(start, run, closing, way):
    node = start("node", {**SETTINGS, "transcode.bframes": way})
    run(encode(node, B_FRAMES))
    browser = closing(Browser("whep", url(node)))
    video = wait_frames(browser, FRAMES)
    assert video["plis"] == 0 and video["lost"] == 0
    dropped = node.metric("rtc_b_frames_dropped_total")
    assert dropped > FRAMES if way == "drop" else dropped == 0
    assert not browser.errors(), browser.tail()


@pytest.mark.clients
def test_a_publisher_that_comes_back(node, run, closing):
    first = run(encode(node))
    browser = closing(Browser("whep", url(node)))
    wait_frames(browser, FRAMES)
    first.process.kill()
    first.process.wait()
    node.log.wait(r"publish\.end|publish\.close|session\.close")
    before = told(browser, "video")["frames"]
    run(encode(node))
    video = wait_frames(browser, before + 2 * FRAMES)
    assert [e["state"] for e in browser.all("state")] == ["connecting", "connected"]
    assert video["lost"] == 0
    assert node.metric("rtc_joins_total") == 1


@pytest.mark.clients
def test_a_stream_that_moves(cluster, run, closing):
    """To another origin, while a player is at an edge."""
    o1, o2, edge = (cluster.start(role, id, {"stream.lost_ms": 5000}) for role, id in (("origin", "o1"), ("origin", "o2"), ("edge", "e1")))
    o1.expect(r"claim\.fenced")
    first = run(encode(o1))
    o1.wait_metric("publishers", 1)
    browser = closing(Browser("whep", url(edge)))
    wait_frames(browser, FRAMES)
    first.process.kill()
    first.process.wait()
    before = told(browser, "video")["frames"]
    run(encode(o2))
    video = wait_frames(browser, before + 2 * FRAMES)
    assert [e["state"] for e in browser.all("state")] == ["connecting", "connected"]
    assert video["lost"] == 0 and wait_sound(browser, 200)["lost"] == 0
