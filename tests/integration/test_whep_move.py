"""WebRTC players over moves of a stream and of their sessions: one session, one source, numbers and times that go on."""
import signal
import time

import pytest

import flv
import media
from browser import Browser, Page, Watch
from test_whep import encode, told, url, wait_frames, wait_sound
from waiting import scaled, wait_for
from webrtc_http import CANDIDATE, NEW_ICE, Session, ask

NAME = "live/cam1"
# The same publisher everywhere.
MINE = NAME + "?token=mine"
SETTINGS = {"stream.lost_ms": 2000, "stream.linger_ms": 1000}
# From a publisher's first key frame until players have it: 50 ms on a machine that has nothing else to do.
AGAIN_S = 0.5
# Of pictures without B slices, and of the sound.
PULLS = 3


class Timed(media.Feeder):
    """.begun_s: when it sent its key frame."""
    begun_s = 0

    def _run(self):
        self.begun_s = time.monotonic()
        super()._run()


@pytest.fixture
def mine(closing, tags):
    """mine(node) publishes a file that goes on evenly when it begins again; its pictures begin with a key frame at once."""
    end = max(ts for type, ts, _ in tags if type == flv.VIDEO)
    even = [t for t in tags if t[1] <= end]
    return lambda node: closing(Timed(node.rtmp, MINE, even))


@pytest.fixture
def watch(closing):
    """watch(node): a player that has both pictures and sound."""
    def begin(node):
        player = closing(Watch(node, NAME))
        player.wait_frame(codec="H264", key=True)
        player.wait_frame(codec="opus")
        return player
    return begin


def assert_goes_on(player, taken_s):
    """With a key frame and sound of the publisher that began at that time."""
    first = player.wait_frame(after_s=taken_s, codec="H264", key=True)
    assert first["at_s"] - taken_s < scaled(AGAIN_S)
    sound = player.wait_frame(after_s=taken_s, codec="opus")
    player.wait_frame(after_s=max(first["at_s"], sound["at_s"]) + 1, codec="opus")
    for codec in ("H264", "opus"):
        player.assert_unbroken(codec)
    assert sound["at_s"] - taken_s < scaled(2 * AGAIN_S)
    assert [e["event"] for e in player.events if e["event"] != "frame"] == ["answer", "connected"]


def begun_s(feeder):
    return wait_for(lambda: feeder.begun_s, 5, "a key frame")


def move(how, a, b, one, mine, owned=lambda: None):
    """The stream of `a` comes back at `b`; when its key frame was sent there."""
    if how == "killed":
        a.kill()
    elif how == "drained":
        a.signal(signal.SIGTERM)
        one.connection.wait_closed()
    elif how == "lost":
        one.vanish()
        owned()
    return begun_s(mine(b))


def trouble(*nodes):
    for node in nodes:
        node.expect(r" upstream\.", r"session\.close ", r"claim\.fenced")


@pytest.mark.core
@pytest.mark.parametrize("how", ["killed", "lost", "taken", "drained"])
def test_the_publisher_comes_back(cluster, mine, watch, how):
    a, b = cluster.start("origin", "o1", SETTINGS), cluster.start("origin", "o2", SETTINGS)
    edges = [cluster.start("edge", "e1", SETTINGS), cluster.start("edge", "e2", SETTINGS)]
    trouble(a, b, *edges)
    one = mine(a)
    players = [watch(e) for e in edges]
    taken_s = move(how, a, b, one, mine, lambda: cluster.wait_owner(NAME, state="lost"))
    for player in players:
        assert_goes_on(player, taken_s)
    assert [e.metric("rtc_joins_total") for e in edges] == [1, 1]


@pytest.mark.core
def test_without_a_directory(masterless, mine, watch):
    a, b, edge = masterless.start_all(("origin", "o1"), ("origin", "o2"), ("edge", "e1"), settings=SETTINGS)
    trouble(a, b, edge)
    player = (mine(a), watch(edge))[1]
    taken_s = move("killed", a, b, None, mine)
    assert_goes_on(player, taken_s)


@pytest.mark.core
def test_a_newcomer_right_after_a_takeover(cluster, mine, watch):
    """It gets the new run, and sound."""
    a, b, edge = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("origin", "o2"), ("edge", "e1")))
    trouble(a, b, edge)
    mine(a)
    watch(edge)
    a.kill()
    taken_s = begun_s(mine(b))
    player = watch(edge)
    player.wait_frame(after_s=taken_s + 2, codec="H264")
    player.assert_unbroken("H264")
    player.assert_unbroken("opus")
    times = [f["at_s"] for f in player.frames("H264")]
    assert max(b - a for a, b in zip(times, times[1:])) < scaled(1)


@pytest.mark.core
def test_other_codecs(cluster, mine, tags, closing, watch):
    """Players of a run that had no pictures, or others, are told that they have to ask again, and then get them."""
    a, b, edge = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("origin", "o2"), ("edge", "e1")))
    trouble(a, b, edge)
    sound = [t for t in tags if t[0] == flv.AUDIO]
    closing(media.Feeder(a.rtmp, MINE, sound))
    player = closing(Watch(edge, NAME))
    player.wait_frame(codec="opus")
    mine(b)
    assert player.wait_event("closed")["why"] == "close_notify"
    assert not player.frames("H264")
    watch(edge)
    assert edge.log.find(r"whep\.close reason=unsupported")


@pytest.mark.core
def test_a_drained_edge(cluster, mine, watch):
    """Its players are told so, the stream's other players notice nothing, and its sessions are nowhere."""
    origin, e1, e2 = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("edge", "e1"), ("edge", "e2")))
    trouble(origin, e1, e2)
    mine(origin)
    leaving, staying = watch(e1), watch(e2)
    location = leaving.last("answer")["location"]
    e1.signal(signal.SIGTERM)
    assert leaving.wait_event("closed", 10)["why"] == "close_notify"
    assert ask(e2, "DELETE", location).status in (404, 503)
    assert e1.wait_exit(8) == 0
    watch(e2)
    staying.assert_unbroken("H264")
    staying.assert_unbroken("opus")
    assert e2.metric("pulls_total") == PULLS


@pytest.mark.core
def test_all_rejoin_elsewhere(cluster, mine, watch, closing):
    """Players of an edge that dies come to the other one at once: one pull, and nothing is lost for those there."""
    origin, e1, e2 = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("edge", "e1"), ("edge", "e2")))
    trouble(origin, e1, e2)
    mine(origin)
    watch(e1)
    staying = watch(e2)
    e1.kill()
    players = [closing(Watch(e2, NAME)) for _ in range(12)]
    for player in players:
        player.wait_frame(codec="H264", key=True)
        player.wait_frame(codec="opus")
    began_s = time.monotonic()
    for player in [staying, *players]:
        player.wait_frame(after_s=began_s, codec="H264")
        player.assert_unbroken("H264")
        player.assert_unbroken("opus")
    assert e2.metric("pulls_total") == PULLS


# --- browsers ---


@pytest.mark.clients
@pytest.mark.parametrize("way", ["rtmp", "whip"])
def test_browser_over_a_kill(cluster, run, closing, way):
    """Pictures and sound go on in the same session, whatever the publisher speaks."""
    o1, o2, edge = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("origin", "o2"), ("edge", "e1")))
    trouble(o1, o2, edge)

    def publish(node):
        if way == "rtmp":
            return run(encode(node, {"-profile:v": "baseline"}))
        return closing(Browser("whip", url(node).replace("whep", "whip"), {"codec": "H264"}))
    first = publish(o1)
    o1.wait_metric("publishers", 1, deadline=30)
    browser = closing(Browser("whep", url(edge)))
    before = wait_frames(browser, 50)["frames"]
    wait_sound(browser)
    o1.kill()
    if way == "rtmp":
        first.process.kill()
    publish(o2)
    o2.wait_metric("publishers", 1, deadline=30)
    packets = told(browser, "audio")["packets"]
    video = wait_frames(browser, before + 75)
    assert wait_sound(browser, packets + 100)["lost"] == video["lost"] == 0
    assert [e["state"] for e in browser.all("state")] == ["connecting", "connected"]
    assert edge.metric("rtc_joins_total") == 1


@pytest.mark.clients
def test_page_whose_codec_changes(cluster, run, closing):
    """The page asks again by itself, and shows no error."""
    o1, o2, edge = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("origin", "o2"), ("edge", "e1")))
    trouble(o1, o2, edge)
    words = encode(o1, {"-profile:v": "baseline"})
    run([*words[:-1], words[-1] + "?token=mine"])
    o1.wait_metric("publishers", 1)
    page = closing(Page(f"http://127.0.0.1:{edge.http[1]}/{NAME}/"))
    page.wait_shown(state="playing", by="webrtc", played_s=lambda s: (s or 0) >= 2)
    start = len(page.events)
    closing(Browser("whip", url(o2).replace("whep", "whip") + "?token=mine", {"codec": "VP8"}))
    edge.log.wait(r"whep\.close reason=unsupported", 20)
    ended_s = time.monotonic()
    page.wait_shown(state="playing", by="webrtc", protocol=lambda p: p and "VP8" in p)
    assert time.monotonic() - ended_s < scaled(4)  # sooner than a page that only looks again each 5 s
    assert not any(e.get("state") == "failed" for e in page.events[start:])


# --- resources ---


@pytest.mark.core
def test_ice_again_through_another_node(cluster, mine, watch):
    origin, e1, e2 = (cluster.start(r, i, SETTINGS) for r, i in (("origin", "o1"), ("edge", "e1"), ("edge", "e2")))
    trouble(origin, e1, e2)
    mine(origin)
    player = watch(e1)
    player.command("restart", e2.http[1])
    assert player.wait_event("restarted")["status"] == 200
    # It has another address, too, so that all that comes now came by the new checks.
    began_s = time.monotonic()
    player.wait_frame(after_s=began_s + 0.5, codec="H264")
    player.command("delete", e2.http[1])
    assert player.wait_event("deleted")["status"] == 200
    assert player.wait_event("closed")["why"] == "close_notify"
    player.command("restart", e1.http[1])
    assert player.wait(lambda: len(player.all("restarted")) == 2 and player.last("restarted"), 10, "an answer")["status"] == 404
    assert player.frames("H264")[-1]["ssrc"] == player.frames("H264")[0]["ssrc"]


@pytest.mark.core
@pytest.mark.parametrize("kind, keys", [("whip", ["key-of-one", "key-of-two"]), ("whip", []), ("whep", [])])
def test_only_who_began_a_session_changes_it(cluster, feed, kind, keys):
    """With the same key, at whatever node."""
    here, there = (cluster.start("node", i, {"auth.publish_keys": keys}) for i in ("n1", "n2"))
    if kind == "whep":
        feed(here, NAME)
    mine, other = ({"Authorization": f"Bearer key-of-{who}"} for who in ("one", "two"))
    session = Session(here, f"/{NAME}/{kind}", f"chrome-{kind}", **mine)
    fragment = {"Content_Type": "application/trickle-ice-sdpfrag", "If_Match": "*"}
    for node in (here, there):
        for wrong in (other, {}):
            assert ask(node, "DELETE", session.url, **wrong).status == 401
            assert ask(node, "PATCH", session.url, NEW_ICE + CANDIDATE, **fragment, **wrong).status == 401
            refused = ask(node, "GET", session.url, **wrong)
            assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert ask(node, "PATCH", session.url, CANDIDATE, **fragment, **mine).status == 204
    assert ask(there, "DELETE", session.url, **mine).status == 200
    assert ask(here, "DELETE", session.url, **mine).status == 404
