"""HLS over moves of a stream: numbers only grow, and every node says the same."""
import re
import threading

import pytest

import hls
from node import Redis
from test_drain import drain
from waiting import scaled, wait_for

pytestmark = pytest.mark.core

NAME = "live/cam1"
# The same publisher everywhere.
MINE = NAME + "?token=mine"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "stream.lost_ms": 2000, "stream.linger_ms": 1000}
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


def same_everywhere(nodes):
    """The playlist of one place, and all that it names, with the same bytes from every node."""
    _, msn, part = hls.hint_of(hls.text_of(nodes[0], PATH))
    asked = f"{PATH}?_HLS_msn={msn + 1}&_HLS_part=0"
    got = {}

    def ask(node):
        got[node.id] = hls.text_of(node, asked)
    threads = [threading.Thread(target=ask, args=(n,)) for n in nodes]
    for t in threads:
        t.start()
    for t in threads:
        t.join(scaled(20))
    texts = [got[n.id] for n in nodes]
    assert all(t == texts[0] for t in texts), "\n".join(texts)
    for name in hls.names(texts[0]):
        answers = [hls.get(n, f"/{NAME}/{name}") for n in nodes]
        assert all(a[0] == 200 and a[1] == answers[0][1] for a in answers), (name, [a[0] for a in answers])
    return texts[0]


@pytest.fixture
def player(closing):
    return lambda *nodes: closing(Player(*nodes))


def test_a_drained_stream_goes_on_elsewhere(cluster, feed, player, tmp_path):
    a, b = cluster.start("node", "o1", {**FAST, "node.drain_s": 6}), cluster.start("node", "o2", FAST)
    edge = cluster.start("edge", "e1", FAST)
    for node in (a, b, edge):
        node.expect(r" upstream\.", r"session\.close ", r"claim\.fenced")
    one = feed(a, MINE)
    watcher = player(edge)
    first = watcher.wait(lambda p: last_msn(p) > number(p, "MEDIA-SEQUENCE") + 2, 10, "a few segments")
    drain(a)
    one.connection.wait_closed()
    feed(b, MINE)
    watcher.wait(lambda p: len(epochs(p)) == 2, 10, "a playlist of both runs")
    cold = cluster.start("edge", "e2", FAST)
    text = same_everywhere([a, b, edge, cold])
    assert len(epochs(text)) == 2 and text.count("#EXT-X-DISCONTINUITY\n") == 1
    watcher.finish()
    watcher.assert_forward()
    assert watcher.failed == []
    assert last_msn(watcher.got[-1]) - last_msn(first) < 20
    hls.assert_valid([*watcher.got, text], tmp_path)
