"""HLS requests that are malformed, and readers that take their time."""
import re
import struct

import pytest

import flv
import hls
import media as m
from raw import Raw, exchange
from waiting import SLOW, scaled, wait_for

pytestmark = pytest.mark.core

NAME = "live/cam1"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200}
TAKE_S = 12  # six target durations of 2 s
BAD = r"http\.(bad_request|refused)"


def playing(start, feed, settings=None):
    node = start("node", FAST | (settings or {}))
    feed(node, NAME)
    wait_for(lambda: hls.get(node, f"/{NAME}/main.m3u8")[0] == 200, 15, "a playlist")
    return node


# --- malformed requests ---

# What stands behind /live/cam1/ or a whole request line's path, with headers, and what is answered.
# {e} and {m}: epoch and number of the newest segment listed.
PATHS = {
    "part without segment": ("main.m3u8?_HLS_part=0", 400),
    "empty segment": ("main.m3u8?_HLS_msn=", 400),
    "segment without value": ("main.m3u8?_HLS_msn", 400),
    "negative segment": ("main.m3u8?_HLS_msn=-1", 400),
    "signed segment": ("main.m3u8?_HLS_msn=+1", 400),
    "hexadecimal segment": ("main.m3u8?_HLS_msn=0x10", 400),
    "broken segment": ("main.m3u8?_HLS_msn=1.5", 400),
    "segment with an exponent": ("main.m3u8?_HLS_msn=1e3", 400),
    "segment with a space": ("main.m3u8?_HLS_msn=1%20", 400),
    "segment of 20 digits": ("main.m3u8?_HLS_msn=99999999999999999999", 400),
    "segment of 70 digits": ("main.m3u8?_HLS_msn=" + "9" * 70, 400),
    "two segments": ("main.m3u8?_HLS_msn=1&_HLS_msn=2", 400),
    "two parts": ("main.m3u8?_HLS_msn=1&_HLS_part=0&_HLS_part=0", 400),
    "negative part": ("main.m3u8?_HLS_msn=1&_HLS_part=-1", 400),
    "part of 20 digits": ("main.m3u8?_HLS_msn=1&_HLS_part=99999999999999999999", 400),
    "NUL in a segment": ("main.m3u8?_HLS_msn=1%00", 400),
    "far segment": ("main.m3u8?_HLS_msn={far}", 400),
    "farthest segment": ("main.m3u8?_HLS_msn=9007199254740991", 400),
    "far part": ("main.m3u8?_HLS_msn={m}&_HLS_part=900", 200),  # the segment has ended
    "unknown directive": ("main.m3u8?_HLS_nonsense=1&&=&x", 200),
    "skip that is none": ("main.m3u8?_HLS_skip=MAYBE", 200),
    "no segment": ("main-{e}-{m}", 404),
    "segment 0": ("main-{e}-0.m4s", 404),
    "another epoch": ("main-1-{m}.m4s", 404),
    "epoch beyond 64 bits": ("main-18446744073709551616-{m}.m4s", 404),
    "number beyond 53 bits": ("main-{e}-9007199254740993.m4s", 404),
    "leading zero": ("main-{e}-0{m}.m4s", 404),
    "leading zero of an epoch": ("main-0{e}-{m}.m4s", 404),
    "leading zero of a part": ("main-{e}-{m}.00.m4s", 404),
    "negative number": ("main-{e}--1.m4s", 404),
    "part that is none": ("main-{e}-{m}.x.m4s", 404),
    "part beyond all": ("main-{e}-{m}.1024.m4s", 404),
    "empty part": ("main-{e}-{m}..m4s", 404),
    "part of a part": ("main-{e}-{m}.0.0.m4s", 404),
    "two endings": ("main-{e}-{m}.m4s.m4s", 404),
    "upper case ending": ("main-{e}-{m}.M4S", 404),
    "upper case rendition": ("Main-{e}-{m}.m4s", 404),
    "no rendition": ("-{e}-{m}.m4s", 404),
    "unknown rendition": ("v7-{e}-{m}.m4s", 404),
    "rendition beyond all": ("a16-{e}-{m}.m4s", 404),
    "rendition with a zero": ("v01-{e}-{m}.m4s", 404),
    "playlist of an unknown rendition": ("v7.m3u8", 404),
    "playlist of none": ("nonsense.m3u8", 404),
    "nothing but an ending": (".m3u8", 404),
    "init of zeros": ("main-0000000000000000.mp4", 404),
    "init in upper case": ("main-ABCDEF0123456789.mp4", 404),
    "short init": ("main-abc.mp4", 404),
    "init that is no number": ("main-0123456789abcdeg.mp4", 404),
    "%00 in a name": ("main.m3u8%00.m4s", 400),
    "CR LF in a name": ("main%0d%0aX: y.m3u8", 400),
    "dots": ("../cam1/main.m3u8", 400),
    "escaped dots": ("%2e%2e/cam1/main.m3u8", 400),
    "a name of 4,000": ("x" * 4000 + ".m3u8", 404),
    "target of 9,000": ("main.m3u8?" + "x" * 9000, 414),
}
HEADERS = {
    "range backwards": ("Range: bytes=5-1", 200),
    "several ranges": ("Range: bytes=0-0,5-6", 200),
    "range of letters": ("Range: bytes=a-b", 200),
    "range of other units": ("Range: items=0-1", 200),
    "range without numbers": ("Range: bytes=-", 200),
    "range without a dash": ("Range: bytes=5", 200),
    "range beyond 64 bits": ("Range: bytes=0-18446744073709551616", 200),
    "last 0 bytes": ("Range: bytes=-0", 416),
    "range behind the end": ("Range: bytes=99999999-", 416),
    "more than all at the end": ("Range: bytes=-18446744073709551615", 206),
    "one byte": ("Range: bytes=0-0", 206),
    "match of all": ("If-None-Match: *", 304),
    "half a match": ('If-None-Match: "', 200),
    "long match": ("If-None-Match: " + '"x",' * 1000, 200),
    "encodings without names": ("Accept-Encoding: ;;;,,;q=", 200),
    "many encodings": ("Accept-Encoding: " + "x," * 3000, 200),
}
METHODS = {"POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405, "OPTIONS": 204, "HEAD": 200}


def ask(node, method, path, header=""):
    lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *([header] if header else [])]
    return exchange(node.http, ("\r\n".join(lines) + "\r\n\r\n").encode())


def test_malformed(start, feed):
    """Each gets its answer at once, nothing is held, and the stream plays on."""
    node = playing(start, feed)
    node.expect(BAD)
    hls.follow(node, NAME, 6)
    playlist = hls.text_of(node, f"/{NAME}/main.m3u8")
    epoch, msn = re.findall(r"^main-(\d+)-(\d+)\.m4s", playlist, re.M)[-1]
    wrong = []
    for what, (path, status) in PATHS.items():
        path = path.replace("{e}", epoch).replace("{m}", msn).replace("{far}", str(int(msn) + 10))
        got = ask(node, "GET", f"/{NAME}/{path}")
        if got[0] != status:
            wrong.append((what, got[0]))
    for what, (header, status) in HEADERS.items():
        got, head, body = ask(node, "GET", f"/{NAME}/main-{epoch}-{msn}.m4s", header)
        length = re.search(r"Content-Length: (\d+)", head)
        if got != status or (status in (200, 206) and len(body) != int(length[1])):
            wrong.append((what, got))
    for method, status in METHODS.items():
        if ask(node, method, f"/{NAME}/main.m3u8")[0] != status:
            wrong.append((method, status))
    assert not wrong
    assert len(PATHS) + len(HEADERS) >= 60
    assert node.metric("hls_held") == 0
    hls.follow(node, NAME, 3)


# --- readers that take their time ---


def heavy(tags):
    """Some 30 Mbit/s: a segment is more than the sockets of a connection hold."""
    filler = bytes(150_000)
    return [(t, ts, body + filler if t == flv.VIDEO and m.is_media((t, ts, body)) else body) for t, ts, body in tags]


def newest_segment(node):
    return re.findall(r"^main-\d+-\d+\.m4s", hls.text_of(node, f"/{NAME}/main.m3u8"), re.M)[-1]


def http1_reader(node, name):
    return Raw(node.http, f"GET /{NAME}/{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def http2_reader(node, name):
    """Asks for it on two streams and never opens the windows."""
    fields = {":method": "GET", ":path": f"/{NAME}/{name}", ":scheme": "http", ":authority": "a"}
    block = b"".join(b"\0" + struct.pack("B", len(k)) + k.encode() + struct.pack("B", len(v)) + v.encode()
                     for k, v in fields.items())
    frames = [struct.pack(">I", len(block))[1:] + b"\x01\x05" + struct.pack(">I", stream) + block for stream in (1, 3)]
    return Raw(node.http, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + b"".join(frames))


def resets(received):
    """Streams that were reset."""
    found, at = set(), 0
    while at + 9 <= len(received):
        length = int.from_bytes(received[at:at + 3], "big")
        if received[at + 3] == 3:
            found.add(int.from_bytes(received[at + 5:at + 9], "big"))
        at += 9 + length
    return found


def test_slow_readers(start, closing, tags):
    """They are let go when six target durations are over; what they hold is bounded, and others see nothing of it."""
    # The log drops the segment before they are let go.
    node = start("node", FAST | {"node.workers": 1, "hls.window_segments": 3, "stream.window_ms": 8000})
    closing(m.Feeder(node.rtmp, NAME, heavy(tags)))
    wait_for(lambda: hls.get(node, f"/{NAME}/main.m3u8")[0] == 200, 15, "a playlist")
    hls.follow(node, NAME, 6)
    name = newest_segment(node)
    size = len(hls.get(node, f"/{NAME}/{name}")[1])
    assert size > 3_000_000
    idle = node.metric("connections_open")
    slow = [http1_reader(node, name) for _ in range(20)]
    slow2 = [http2_reader(node, name) for _ in range(5)]
    node.wait_metric("connections_open", lambda n: n >= idle + 20)
    followed = hls.follow(node, NAME, 30)
    assert len({hls.hint_of(p) for p in followed}) == 31
    assert node.metric("hls_units") <= 17  # what the slow ones share stays, too
    reset = {}

    def all_reset():
        for i, raw in enumerate(slow2):
            raw.read_some(0.05)
            reset[i] = resets(raw.received)
        return all(streams == {1, 3} for streams in reset.values())

    wait_for(all_reset, TAKE_S + 15, "the streams to be reset", state=lambda: str(reset))
    for raw in slow2:
        raw.close()
    node.wait_metric("connections_open", lambda n: n <= idle + 1, TAKE_S + 15)
    for raw in slow:
        assert len(raw.read_end()) < size
        raw.close()
    # Nobody asks for it any more, and it is gone.
    node.wait_metric("hls_units", 0, 30)
    hls.follow(node, NAME, 2)


def test_many_who_ask_for_everything(start, feed):
    """What is kept for the next who asks does not grow with what was asked for."""
    node = playing(start, feed, {"node.workers": 1})
    for _ in range(4):
        playlist = hls.follow(node, NAME, 4)[-1]
        for name in hls.names(playlist):
            assert hls.get(node, f"/{NAME}/{name}")[0] == 200
        assert node.metric("hls_units") <= 16
    node.wait_metric("hls_units", 0, 15)


def test_memory_stays(start, feed):
    """Once the window is full, nothing that players ask for makes it grow: texts in all forms, parts, segments, inits."""
    node = playing(start, feed, {"node.workers": 1, "hls.window_segments": 3, "stream.window_ms": 8000})

    def ask_for_all(rounds):
        for _ in range(rounds):
            playlist = hls.follow(node, NAME, 2)[-1]
            _, msn, _ = hls.hint_of(playlist)
            uris = hls.names(playlist) + re.findall(r'URI="([^"]+\.mp4)"', playlist)
            uris += ["index.m3u8", f"main.m3u8?_HLS_msn={msn - 1}", "main.m3u8?_HLS_skip=YES"]
            for uri in uris:
                for headers in ({}, {"Accept-Encoding": "gzip"}):
                    assert hls.get(node, f"/{NAME}/{uri}", headers)[0] in (200, 404), uri

    ask_for_all(20)
    before = node.memory_kib()
    ask_for_all(25)
    # Sanitizers keep what was freed for a while.
    assert SLOW or node.memory_kib() - before < 1500


def test_idle_connections_cost_little(start, feed):
    """Each has had a playlist, a part and a segment."""
    node = playing(start, feed)
    playlist = hls.follow(node, NAME, 6)[-1]
    name = [n for n in hls.names(playlist) if re.fullmatch(r"main-\d+-\d+\.\d+\.m4s", n)][-1]

    def open_some(count):
        raws = [Raw(node.http) for _ in range(count)]
        for raw in raws:
            for path in ("main.m3u8", name):
                raw.received = b""
                raw.send(f"GET /{NAME}/{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                wait_for(lambda raw=raw: raw.read_some(0.1) is not None and complete(raw.received), 5, "an answer")
        return raws

    raws = open_some(50)
    before = node.memory_kib()
    raws += open_some(500)
    assert SLOW or (node.memory_kib() - before) / 500 < 4
    for raw in raws:
        raw.close()


def complete(received):
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return bool(end) and length is not None and len(body) == int(length[1])
