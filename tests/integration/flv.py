"""FLV tags of files and of HTTP-FLV, and (Enhanced) tag bodies as far as a relay has to understand them."""
import socket
import threading

import amf0
from waiting import Box, scaled

AUDIO, VIDEO, DATA = 8, 9, 18
HAS_CTS = (b"avc1", b"hvc1", b"vvc1")
SEQUENCE_START, FRAMES, SEQUENCE_END, FRAMES_X, METADATA, AUDIO_MULTITRACK, VIDEO_MULTITRACK, MODEX = range(8)


class TagReader:
    """Bytes to tags, after the header of the file."""

    def __init__(self):
        self.data = bytearray()
        self.header = None

    def feed(self, data):
        self.data += data
        d, o, out = self.data, 0, []
        if self.header is None:
            if len(d) < 13:
                return out
            assert d[:3] == b"FLV", bytes(d[:3])
            self.header, o = bytes(d[:13]), 13
        while o + 11 <= len(d):
            size = int.from_bytes(d[o + 1 : o + 4], "big")
            if o + 15 + size > len(d):
                break
            timestamp = int.from_bytes(d[o + 4 : o + 7], "big") | d[o + 7] << 24
            back = int.from_bytes(d[o + 11 + size : o + 15 + size], "big")
            assert back == size + 11, f"a tag of {size} bytes is followed by {back}"
            out.append((d[o] & 31, timestamp, bytes(d[o + 11 : o + 11 + size])))
            o += 15 + size
        del d[:o]
        return out


def file_tags(path):
    return TagReader().feed(path.read_bytes())


def write_file(path, tags):
    with open(path, "wb") as f:
        f.write(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")
        for type, ts, body in tags:
            head = bytes([type]) + len(body).to_bytes(3, "big")
            head += (ts & 0xFFFFFF).to_bytes(3, "big") + bytes([ts >> 24 & 0xFF]) + b"\0\0\0"
            f.write(head + body + (len(body) + 11).to_bytes(4, "big"))


class Packet:
    """One track's part of a tag body."""

    def __init__(self, type, body, first, modex, fourcc, packet_type, track, rest, form):
        self.type, self.whole, self.first, self.modex = type, body, first, modex
        self.fourcc, self.packet_type, self.track, self.rest, self.form = fourcc, packet_type, track, rest, form

    @property
    def frame_type(self):
        return self.first >> 4 & 7

    @property
    def is_legacy(self):
        return self.form == "legacy"

    @property
    def kind(self):
        """config, frames, end or meta"""
        kinds = {SEQUENCE_START: "config", SEQUENCE_END: "end", METADATA: "meta", 5: "config"}
        return kinds.get(self.packet_type, "frames")

    @property
    def is_key(self):
        return self.type == VIDEO and self.kind == "frames" and self.frame_type == 1

    def first_byte(self, packet_type):
        return bytes([self.first & 0xF0 | packet_type])

    def modex_then(self, packet_type):
        """The first byte and ModEx extensions, leading to another packet type."""
        if not self.modex:
            return self.first_byte(packet_type)
        return self.first_byte(MODEX) + self.modex[:-1] + bytes([self.modex[-1] & 0xF0 | packet_type])

    def alone(self):
        """The body of a message of its own with all that is said of this track."""
        if self.form in ("legacy", "plain", "one"):
            return self.whole
        if self.track == 0:
            return self.modex_then(self.packet_type) + self.fourcc + self.rest
        multitrack = VIDEO_MULTITRACK if self.type == VIDEO else AUDIO_MULTITRACK
        head = self.modex_then(multitrack) + bytes([self.packet_type])
        return head + self.fourcc + bytes([self.track]) + self.rest

    def plain(self):
        """The same for a player that knows neither Multitrack nor ModEx."""
        if self.is_legacy:
            return self.whole
        return self.first_byte(self.packet_type) + self.fourcc + self.rest


def packets(type, body):
    """A tag body taken apart; nothing for an empty video message."""
    if type == DATA:
        return []
    if not body:
        return [Packet(type, body, 0, b"", b"", FRAMES, 0, b"", "legacy")] if type == AUDIO else []
    first, enhanced = body[0], body[0] & 0x80 if type == VIDEO else body[0] >> 4 == 9
    if not enhanced:
        knows_types = (first & 15 in (7, 12)) if type == VIDEO else first >> 4 == 10
        packet_type = body[1] if knows_types else FRAMES
        return [Packet(type, body, first, b"", b"", packet_type, 0, body[1:], "legacy")]
    o, packet_type = 1, first & 15
    while packet_type == MODEX:
        n = body[o] + 1
        o += 1
        if n == 256:
            n = int.from_bytes(body[o : o + 2], "big") + 1
            o += 2
        o += n
        packet_type = body[o] & 15
        o += 1
    modex = body[1:o]
    if packet_type != (VIDEO_MULTITRACK if type == VIDEO else AUDIO_MULTITRACK):
        return [Packet(type, body, first, modex, body[o : o + 4], packet_type, 0, body[o + 4 :], "plain")]
    form, packet_type = ("one", "many", "codecs")[body[o] >> 4], body[o] & 15
    o += 1
    out, fourcc = [], b""
    if form != "codecs":
        fourcc = body[o : o + 4]
        o += 4
    while o < len(body):
        if form == "codecs":
            fourcc = body[o : o + 4]
            o += 4
        track = body[o]
        o += 1
        size = len(body) - o
        if form != "one":
            size = int.from_bytes(body[o : o + 3], "big")
            o += 3
        out.append(Packet(type, body, first, modex, fourcc, packet_type, track, body[o : o + size], form))
        o += size
    return out


def is_metadata(body):
    return body.startswith(amf0.encode("onMetaData"))


def frames(media):
    """Published messages as the frames that a relay hands on: [(type, timestamp, body, packet or None)]."""
    out = []
    for type, timestamp, body in media:
        if type == DATA:
            out.append((type, timestamp, body, None))
        else:
            out += [(type, timestamp, p.alone(), p) for p in packets(type, body)]
    return out


def first_key(listed):
    """Where the first key frame of video 0 is among frames()."""
    return next(i for i, f in enumerate(listed) if f[3] is not None and f[3].is_key and f[3].track == 0)


def from_first_key(listed):
    """What a player gets of frames() that was there first: (what it is told before, all from the first key frame on)."""
    at = first_key(listed)
    told = {}
    for type, _, body, p in listed[:at]:
        if p is None and is_metadata(body):
            told["metadata"] = (type, body)
        elif p is not None and p.kind in ("config", "meta"):
            told[type, p.track, p.kind] = (type, body)
    return sorted(told.values()), [f[:3] for f in listed[at:]]


def basic(listed):
    """frames() as a player gets them that announced nothing: track 0, neither Metadata nor wrappers."""
    out = []
    for type, timestamp, body, p in listed:
        if p is None:
            out.append((type, timestamp, body, p))
        elif p.track == 0 and p.kind != "meta":
            out.append((type, timestamp, p.plain(), p))
    return out


class Chunked:
    """Takes chunked transfer coding away; .done says that the body has ended as it should."""

    def __init__(self):
        self.data, self.left, self.done = b"", 0, False

    def feed(self, data):
        self.data += data
        out = b""
        while not self.done:
            if self.left > 2:
                part = self.data[: self.left - 2]
                out += part
                self.data = self.data[len(part):]
                self.left -= len(part)
                if self.left > 2:
                    break
            if self.left and len(self.data) < self.left:
                break
            assert self.data[: self.left] == b"\r\n"[: self.left], self.data[:16]
            self.data = self.data[self.left:]
            self.left = 0
            line, found, rest = self.data.partition(b"\r\n")
            if not found:
                break
            self.data = rest
            self.left = int(line, 16) + 2
            self.done = self.left == 2
        return out


class Player:
    """HTTP-FLV: .status and .headers of the answer, .media as it comes, .body of an answer that is not 200."""

    def __init__(self, address, path, headers=(), receive_buffer=None, bucket=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(scaled(10))
        self.sock.connect(address)
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        self.sock.settimeout(None)
        self.box = Box()
        self.status, self.headers, self.body = None, {}, b""
        self.media, self.error = [], None
        self.closed = False
        self.complete = False  # a chunked body has come to its end
        self.bucket = bucket
        self.tags = TagReader()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                data = self.sock.recv(4096)
                if not data:
                    raise OSError("closed in the head")
                head += data
            head, rest = head.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            with self.box:
                self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
                self.status = int(lines[0].split()[1])
            self._read_body(rest)
        except (OSError, AssertionError) as e:
            self.error = e
        with self.box:
            self.closed = True

    def _read_body(self, data):
        left = int(self.headers.get("content-length", -1))
        chunked = Chunked() if self.headers.get("transfer-encoding") == "chunked" else None
        while True:
            if chunked is not None:
                data = chunked.feed(data)
                self.complete = chunked.done
            with self.box:
                if self.status == 200 and left < 0:
                    self.media += self.tags.feed(data)
                else:
                    self.body += data
                    if len(self.body) == left:
                        return
            data = self.sock.recv(65536 if self.bucket is None else 4096)
            if not data:
                return
            if self.bucket is not None:
                self.bucket(len(data))

    def wait(self, condition, deadline=10, what="bytes"):
        return self.box.wait(condition, deadline, what, state=self.describe)

    def wait_status(self, deadline=10):
        self.wait(lambda: self.status is not None, deadline, "an answer")
        return self.status

    def wait_media(self, count=1, deadline=10):
        self.wait(lambda: len(self.media) >= count, deadline, f"{count} tags")

    def wait_closed(self, deadline=10):
        self.wait(lambda: self.closed, deadline, "the end of the answer")

    def describe(self):
        return f"status {self.status}, {len(self.media)} tags, closed {self.closed}, error {self.error!r}"

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(scaled(10))
        self.sock.close()
