"""What goes in comes out: packet for packet, byte for byte, with the times that were published."""
import pytest

import flv
import media as m
import rtmp
from waiting import wait_for

pytestmark = pytest.mark.core

CAPTURES = sorted(m.CAPTURES.glob("*.c2s.bin"))
VECTORS = sorted(m.CAPTURES.glob("vec-*.flv"))
# Readers are there before the publisher, and nobody is judged slow when seconds of media come at once.
PATIENT = {"stream.wait_ms": 30000, "viewer.behind_ms": 60000}


class FromCapture:
    """A recorded client, byte by byte as it was."""

    def __init__(self, path, node):
        self.capture = rtmp.Capture(path)
        self.name = self.capture.name
        self.media = [tag for tag, _ in self.capture.media()]
        self.ends = [end for _, end in self.capture.media()]
        self.listed = flv.frames(self.media)
        self.node = node

    def send_first(self, count):
        """Everything up to and with message number count."""
        self.replay = self.capture.replay(self.node.rtmp)
        self.replay.send_to(self.ends[count - 1])
        self.replay.accepted()

    def send_rest(self):
        self.replay.send_rest()
        self.replay.close()


class FromFile:
    """The tags of a file."""

    name = "live/vector"

    def __init__(self, path, node):
        self.media = flv.file_tags(path)
        self.listed = flv.frames(self.media)
        self.node = node

    def send_first(self, count):
        self.publisher = rtmp.Publisher(self.node.rtmp, self.name).accepted()
        self.publisher.send_all(self.media[:count])
        self.at = count

    def send_rest(self):
        self.publisher.send_all(self.media[self.at :])
        self.publisher.finish(self.name.split("/")[1])


def first_key_message(media):
    """How many messages lead up to the first key frame of video 0, it included."""
    for i, (type, _, body) in enumerate(media):
        if any(p.is_key and p.track == 0 for p in flv.packets(type, body)):
            return i + 1
    raise AssertionError("no key frame")


UNPLAIN = (b"Opus", b"fLaC", b"ac-3", b"ec-3")


def pictures(listed):
    """Without sound: for who announced nothing, some of it is made into AAC."""
    return [f for f in listed if f[0] != flv.AUDIO]


def has_unplain_sound(listed):
    return any(f[0] == flv.AUDIO and f[3].fourcc in UNPLAIN for f in listed)


def check(got, listed, what):
    told, wanted = flv.from_first_key(listed)
    before = got[: len(told)]
    assert sorted((t, body) for t, _, body in before) == told, f"{what}: told before the first key frame"
    assert all(ts == (0 if t == flv.DATA else wanted[0][1]) for t, ts, _ in before), f"{what}: times of what is told before"
    rest = got[len(told) :]
    for i, (a, b) in enumerate(zip(rest, wanted)):
        assert a == b, f"{what}: frame {i} of {len(wanted)} is {a[0], a[1], len(a[2])}, not {b[0], b[1], len(b[2])}"
    assert len(rest) == len(wanted), f"{what}: {len(rest)} frames of {len(wanted)}"


def in_and_out(source, nodes, play, play_flv):
    """Publishes with two readers of every kind at each node waiting for it."""
    players = []
    for node in nodes:
        players += [
            (f"{node.id} flv", play_flv(node, source.name), source.listed),
            (f"{node.id} rtmp", play(node, source.name), source.listed),
            (f"{node.id} flv, basic", play_flv(node, source.name, query=""), flv.basic(source.listed)),
            (f"{node.id} rtmp, basic", play(node, source.name, abilities=None), flv.basic(source.listed)),
        ]
        node.wait_metric("viewers_rtmp", 2)
        node.wait_metric("viewers_flv", 2)
    # The rest comes when all have begun, so that none joins at a later key frame.
    source.send_first(first_key_message(source.media))
    for what, player, _ in players:
        player.wait(lambda p=player: p.media, 10, f"the first frame at {what}")
    source.send_rest()
    for what, player, listed in players:
        made = "basic" in what and has_unplain_sound(listed)
        media = (lambda p=player: pictures(p.media)) if made else (lambda p=player: p.media)
        listed = pictures(listed) if made else listed
        told, wanted = flv.from_first_key(listed)
        player.wait(lambda: len(media()) >= len(told) + len(wanted), 10, f"all frames at {what}")
        if isinstance(player, flv.Player):
            player.wait_closed()
            assert player.error is None and player.complete, player.error
        else:
            player.wait_status("NetStream.Play.UnpublishNotify")
        check(media(), listed, what)


@pytest.mark.parametrize("path", CAPTURES + VECTORS, ids=lambda p: p.name.split(".")[0])
def test_through_one_node(start, play, play_flv, path):
    node = start("node", PATIENT)
    node.expect(r"session\.close reason=(peer_closed|io_error)")
    source = FromCapture(path, node) if path in CAPTURES else FromFile(path, node)
    in_and_out(source, [node], play, play_flv)


@pytest.mark.parametrize("path", CAPTURES + VECTORS, ids=lambda p: p.name.split(".")[0])
def test_through_an_edge(cluster, play, play_flv, path):
    """The same at an edge that pulls it, and at the origin's own players."""
    origin = cluster.start("node", "o1", PATIENT)
    edge = cluster.start("edge", "e1", PATIENT)
    origin.expect(r"session\.close reason=(peer_closed|io_error)")
    source = FromCapture(path, origin) if path in CAPTURES else FromFile(path, origin)
    in_and_out(source, [origin, edge], play, play_flv)
    # One link for all players, and one for the sound that is made for some.
    assert edge.metric("pulls_total") == 1 + has_unplain_sound(source.listed)


def test_captures_are_all_there():
    assert len(CAPTURES) == 12 and len(VECTORS) == 4


@pytest.mark.parametrize("kind", ["rtmp", "flv"])
def test_ffmpeg_through_an_edge(cluster, media, run, publish, kind):
    """Debian's ffmpeg reads at an edge what it reads from the file."""
    origin = cluster.start("origin", "o1", PATIENT)
    edge = cluster.start("edge", "e1", PATIENT)
    url = edge.rtmp_url("live/cam1") if kind == "rtmp" else edge.flv_url("live/cam1")
    player = run(m.hash_words(url))
    edge.wait_metric(f"viewers_{kind}", 1)
    publish(origin, "live/cam1", loop=False)
    got = m.parse_hashes(player.succeeds(30))
    wanted = m.parse_hashes(run(m.hash_words(media)).succeeds())
    assert sorted(got.values()) == sorted(wanted.values())


def test_many_viewers_get_the_same(node, feed, play_flv):
    """Twenty readers of one stream, joined at different times: each an unbroken stretch of it."""
    publisher = feed(node, "live/cam1", speed=2.0)
    players = []
    for i in range(20):
        wait_for(lambda: len(publisher.sent) >= 15 * i, 20, "more to be sent")
        players.append(play_flv(node, "live/cam1"))
    for player in players:
        player.wait_media(150, 20)
        m.assert_unbroken(player.media, publisher.sent)
