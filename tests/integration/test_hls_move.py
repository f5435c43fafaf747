"""HLS over moves of a stream: numbers only grow, and every node says the same."""
import re
import signal
import threading
import time

import pytest

import flv
import hls
import media
import node
from test_drain import drain
from waiting import SLOW, scaled, wait_for

pytestmark = pytest.mark.core

NAME = "live/cam1"
# The same publisher everywhere.
MINE = NAME + "?token=mine"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "stream.lost_ms": 2000, "stream.linger_ms": 1000}
# Of media to the clock.
SPEED = 3
PATH = f"/{NAME}/main.m3u8"


def number(playlist, tag):
    return int(re.search(rf"#EXT-X-{tag}:(\d+)", playlist)[1])


def epochs(playlist):
    """Of its segments, in order."""
    out = []
    for uri in re.findall(r"^main-(\d+)-\d+\.m4s$", playlist, re.M):
        if uri not in out:
            out.append(uri)
    return out


def last_msn(playlist):
    return max(int(m) for m in re.findall(r"main-\d+-(\d+)(?:\.\d+)?\.m4s", playlist))


class Player:
    """Asks for each coming part, of one node after the other, and keeps all playlists."""

    def __init__(self, *nodes):
        self.nodes = list(nodes)
        self.got, self.failed = [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        turn, query = 0, ""
        while not self.stopped.is_set():
            node = self.nodes[turn % len(self.nodes)]
            turn += 1
            try:
                status, body = hls.get(node, PATH + query)
            except OSError as e:
                self.failed.append(str(e))
                continue
            text = body.decode()
            if status != 200:
                self.failed.append(f"{node.id} {query} {status} {text}")
                query = ""
                continue
            self.got.append(text)
            hint = hls.HINT.search(text)
            query = f"?_HLS_msn={hint[2]}&_HLS_part={hint[3]}" if hint else ""
            if "#EXT-X-ENDLIST" in text:
                return

    def finish(self):
        self.stopped.set()
        self.thread.join(scaled(15))

    def wait(self, condition, deadline, what):
        """Until a playlist is as wanted; that one."""
        start = len(self.got)
        return wait_for(lambda: next((p for p in self.got[max(0, start - 1):] if condition(p)), None), deadline, what,
                        state=lambda: "\n".join(self.failed[-3:] + self.got[-1:]))

    def assert_forward(self):
        for one, next in zip(self.got, self.got[1:]):
            for tag in ("MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE"):
                assert number(one, tag) <= number(next, tag), one + "\n" + next


def ask_all(nodes, path):
    got = {}

    def ask(node):
        got[node.id] = hls.text_of(node, path)
    threads = [threading.Thread(target=ask, args=(n,)) for n in nodes]
    for t in threads:
        t.start()
    for t in threads:
        t.join(scaled(20))
    return [got[n.id] for n in nodes]


def same_everywhere(nodes):
    """The playlist of one place, and all that it names, with the same bytes from every node."""
    def ask():
        _, msn, part = hls.hint_of(hls.text_of(nodes[0], PATH))
        texts = ask_all(nodes, f"{PATH}?_HLS_msn={msn}&_HLS_part={part}")
        # An edge that has just come waits two seconds for what was before, which is short with a sanitizer.
        return texts if len(set(texts) if SLOW else {hls.hint_of(t) for t in texts}) == 1 else None
    texts = wait_for(ask, 10, "playlists of one place")
    assert all(t == texts[0] for t in texts), "\n".join(texts)
    for name in hls.names(texts[0]):
        answers = [hls.get(n, f"/{NAME}/{name}") for n in nodes]
        assert all(a[0] == 200 and a[1] == answers[0][1] for a in answers), (name, [a[0] for a in answers])
    return texts[0]


@pytest.fixture
def mine(closing, tags):
    """mine(node) publishes pictures that go on evenly when the file begins again."""
    end = max(ts for type, ts, _ in tags if type == flv.VIDEO)
    even = [t for t in tags if t[1] <= end]
    return lambda node, speed=SPEED: closing(media.Feeder(node.rtmp, MINE, even, speed=speed))


@pytest.fixture
def player(closing):
    return lambda *nodes: closing(Player(*nodes))


def test_a_drained_stream_goes_on_elsewhere(cluster, mine, player, tmp_path):
    # Long enough for the first run to be listed still when the cold edge is asked, however slow the machine.
    long = {**FAST, "hls.window_segments": 40}
    a, b = cluster.start("node", "o1", {**long, "node.drain_s": 3}), cluster.start("node", "o2", long)
    edge = cluster.start("edge", "e1", long)
    for node in (a, b, edge):
        node.expect(r" upstream\.", r"session\.close ", r"claim\.fenced")
    one = mine(a)
    watcher = player(edge)
    first = watcher.wait(lambda p: last_msn(p) > number(p, "MEDIA-SEQUENCE") + 2, 10, "a few segments")
    drain(a)
    one.connection.wait_closed()
    mine(b, speed=1)
    watcher.wait(lambda p: len(epochs(p)) == 2, 10, "a playlist of both runs")
    cold = cluster.start("edge", "e2", long)
    text = same_everywhere([a, b, edge, cold])
    assert len(epochs(text)) == 2 and text.count("#EXT-X-DISCONTINUITY\n") == 1
    watcher.finish()
    watcher.assert_forward()
    assert watcher.failed == []
    assert last_msn(watcher.got[-1]) - last_msn(first) < 20
    hls.assert_valid([*watcher.got, text], tmp_path)


def test_a_node_that_leaves_hands_its_stream_over(cluster, mine, player):
    """It stays until the next owner has what it goes on from, and no longer."""
    a = cluster.start("origin", "o1", {**FAST, "node.drain_s": 6, "stream.lost_ms": 6000})
    b, edge = cluster.start("origin", "o2", FAST), cluster.start("edge", "e1", FAST)
    for node in (a, b, edge):
        node.expect(r" upstream\.", r"session\.close ", r"claim\.fenced")
    one = mine(a)
    watcher = player(edge)
    watcher.wait(lambda p: len(epochs(p)) == 1, 10, "a playlist")
    a.signal(signal.SIGTERM)
    one.connection.wait_closed()
    mine(b)
    watcher.wait(lambda p: len(epochs(p)) == 2, 10, "a playlist of both runs")
    assert a.wait_exit(4) == 0
    watcher.finish()
    watcher.assert_forward()
    assert watcher.failed == []


@pytest.mark.parametrize("how", ["killed", "lost", "taken"])
def test_the_publisher_comes_back(cluster, mine, player, how):
    """Numbers go on; after its origin died they may jump instead, when no node had all that it told."""
    a, b = cluster.start("origin", "o1", FAST), cluster.start("origin", "o2", FAST)
    edges = [cluster.start("edge", "e1", FAST), cluster.start("edge", "e2", FAST)]
    for node in (a, b, *edges):
        node.expect(r" upstream\.", r"session\.close ", r"claim\.fenced", r" hls\.")
    # Segments that last less than a second may outrun a jump.
    one = mine(a, speed=1 if how == "killed" else SPEED)
    watcher = player(*edges)
    first = watcher.wait(lambda p: last_msn(p) > number(p, "MEDIA-SEQUENCE") + 2, 10, "a few segments")
    if how == "killed":
        a.kill()
    elif how == "lost":
        one.vanish()
        cluster.wait_owner(NAME, state="lost")
    mine(b)
    old = epochs(first)[0]
    new = watcher.wait(lambda p: epochs(p) and epochs(p)[-1] != old, 10, "a playlist of the new run")
    jumped = old not in epochs(new)
    assert not jumped or (how == "killed" and number(new, "MEDIA-SEQUENCE") > last_msn(first) + 10)
    for name in hls.names(first):
        answers = [hls.get(e, f"/{NAME}/{name}") for e in edges]
        assert all(x[0] == 200 and x == answers[0] for x in answers), name
    same_everywhere(edges)
    watcher.finish()
    watcher.assert_forward()
    assert watcher.failed == []


def test_the_owner_is_lost(cluster, mine, player):
    """Players are held, then the playlist ends behind the last complete segment, and is gone a window later."""
    a, edge = cluster.start("origin", "o1", FAST), cluster.start("edge", "e1", {**FAST, "viewer.hold_ms": 1000})
    edge.expect(r" upstream\.", r"session\.close ")
    mine(a)
    watcher = player(edge)
    watcher.wait(lambda p: last_msn(p) > number(p, "MEDIA-SEQUENCE") + 2, 10, "a few segments")
    a.kill()
    text = watcher.wait(lambda p: "#EXT-X-ENDLIST" in p, 10, "the end of the playlist")
    assert re.search(r"\.m4s\n#EXT-X-ENDLIST\n", text)
    assert all(hls.get(edge, f"/{NAME}/{n}")[0] == 200 for n in hls.names(text))
    watcher.finish()
    watcher.assert_forward()
    wait_for(lambda: hls.get(edge, PATH)[0] == 404, 12, "the end of the stream")


def test_an_edge_that_has_less(cluster, mine, player):
    """Its frames go soon: what it lists and does not hold is fetched, once. What is too far ahead is for the owner to
    say."""
    a = cluster.start("node", "o1", FAST)
    edge = cluster.start("edge", "e1", {**FAST, "node.workers": 1, "stream.window_bytes": 65536})
    edge.expect(r" upstream\.")
    mine(a)
    watcher = player(edge)
    watcher.wait(lambda p: last_msn(p) > number(p, "MEDIA-SEQUENCE") + 4, 15, "a window")
    text = watcher.got[-1]
    segments = [n for n in hls.names(text) if re.fullmatch(r"main-\d+-\d+\.m4s", n)]
    for name in [segments[0], *hls.names(text)]:
        one, other = hls.get(a, f"/{NAME}/{name}"), hls.get(edge, f"/{NAME}/{name}")
        assert one[0] == other[0] == 200 and one[1] == other[1], name
    fetched = [node.fields(l)["msn"] for l in edge.log.lines if " hls.fetch " in l]
    assert segments[0].split("-")[2] == fetched[0] + ".m4s" and len(fetched) == len(set(fetched))
    began = time.monotonic()
    assert hls.get(edge, f"{PATH}?_HLS_msn={last_msn(text) + 100}")[0] == 400
    assert time.monotonic() - began < scaled(1)
    watcher.finish()
    assert watcher.failed == []
