"""
An RTMP client of our own: it keeps every message as it came, so that tests can compare bytes.

    Player(node.rtmp).play("live/a")      .media: [(type, timestamp, body)] as they come
    Publisher(node.rtmp).publish("live/a").send(9, 0, body)
    Capture(path)                         a recorded client: what it sent, and replay() of its bytes
"""
import os
import socket
import struct
import threading

import amf0
from waiting import Box, scaled

SET_CHUNK, ABORT, ACK, USER_CONTROL, WINDOW_ACK, PEER_BANDWIDTH = 1, 2, 3, 4, 5, 6
AUDIO, VIDEO, DATA, COMMAND, AGGREGATE = 8, 9, 18, 20, 22
EXTENDED = 0xFFFFFF
HANDSHAKE = 1536

CAPS_RECONNECT, CAPS_MULTITRACK, CAPS_MODEX, CAPS_NANO = 1, 2, 4, 8
EVERYTHING = {
    "capsEx": CAPS_MULTITRACK | CAPS_MODEX | CAPS_NANO,
    "videoFourCcInfoMap": {"*": 1},
    "audioFourCcInfoMap": {"*": 1},
}


class Message:
    def __init__(self, type, csid, sid, timestamp, body, end=0):
        self.type, self.csid, self.sid, self.timestamp, self.body = type, csid, sid, timestamp, body
        self.end = end  # bytes of the chunk stream up to and with this message

    def command(self):
        return amf0.decode_all(self.body)

    def __repr__(self):
        return f"<type {self.type} ts {self.timestamp} {len(self.body)} bytes>"


class ChunkReader:
    """Bytes to messages. It follows SetChunkSize itself."""

    def __init__(self):
        self.data = bytearray()
        self.consumed = 0
        self.chunk_size = 128
        self.streams = {}

    def feed(self, data):
        self.data += data
        out = []
        while True:
            message = self._chunk()
            if message is False:
                return out
            if message is not None:
                if message.type == SET_CHUNK:
                    self.chunk_size = struct.unpack(">I", message.body)[0] & 0x7FFFFFFF
                out.append(message)

    def _take(self, n):
        del self.data[:n]
        self.consumed += n

    def _chunk(self):
        d = self.data
        if len(d) < 1:
            return False
        fmt, csid, o = d[0] >> 6, d[0] & 63, 1
        if csid < 2:
            size = csid + 1
            if len(d) < 1 + size:
                return False
            csid = 64 + d[1] + (256 * d[2] if size == 2 else 0)
            o += size
        header = (11, 7, 3, 0)[fmt]
        if len(d) < o + header:
            return False
        known = self.streams.get(csid)
        if known is None:
            if fmt != 0:
                raise ValueError(f"chunk stream {csid} begins with a type {fmt} header")
            known = {"body": b"", "ts": 0, "delta": 0, "ext": None, "fresh": True}
        s = dict(known)
        field = int.from_bytes(d[o : o + 3], "big") if fmt < 3 else None
        if fmt < 2:
            s["length"] = int.from_bytes(d[o + 3 : o + 6], "big")
            s["type"] = d[o + 6]
        if fmt == 0:
            s["sid"] = int.from_bytes(d[o + 7 : o + 11], "little")
        o += header
        if fmt < 3:
            s["ext"] = None
            if field == EXTENDED:
                if len(d) < o + 4:
                    return False
                field = s["ext"] = int.from_bytes(d[o : o + 4], "big")
                o += 4
        elif s["ext"] is not None:
            if len(d) < o + 4:
                return False
            if int.from_bytes(d[o : o + 4], "big") == s["ext"]:
                o += 4
        if not s["body"]:
            if fmt == 0:
                s["ts"], s["delta"] = field, field
            else:
                if fmt < 3:
                    s["delta"] = field
                s["ts"] = (s["ts"] + s["delta"]) & 0xFFFFFFFF
        n = min(self.chunk_size, s["length"] - len(s["body"]))
        if len(d) < o + n:
            return False
        s["body"] = s["body"] + bytes(d[o : o + n])
        self._take(o + n)
        self.streams[csid] = s
        if len(s["body"]) < s["length"]:
            return None
        body, s["body"] = s["body"], b""
        return Message(s["type"], csid, s["sid"], s["ts"], body, self.consumed)


def chunks(message, chunk_size):
    """A message as bytes: one type 0 header, then type 3 ones."""
    extended = message.timestamp >= EXTENDED
    ext = struct.pack(">I", message.timestamp) if extended else b""
    head = bytes([message.csid]) + min(message.timestamp, EXTENDED).to_bytes(3, "big")
    head += len(message.body).to_bytes(3, "big") + bytes([message.type])
    head += struct.pack("<I", message.sid) + ext
    out = [head, message.body[:chunk_size]]
    for o in range(chunk_size, len(message.body), chunk_size):
        out += [bytes([0xC0 | message.csid]), ext, message.body[o : o + chunk_size]]
    return b"".join(out)


class Closed(AssertionError):
    pass


class Connection:
    """A client connection; a thread reads, everything that came is in .messages."""

    OUT_CHUNK = 4096

    def __init__(self, address, prefix=b"", receive_buffer=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(scaled(10))
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(prefix)
        self.box = Box()
        self.messages = []
        self.media = []
        self.statuses = []
        self.closed = False
        self.out_chunk = 128
        self.transaction = 0
        self.reader = ChunkReader()
        self.bucket = None
        self.thread = None

    # --- the start ---

    def handshake(self):
        self.sock.sendall(b"\x03" + bytes(8) + os.urandom(HANDSHAKE - 8))
        reply = self.read_exactly(1 + 2 * HANDSHAKE)
        assert reply[0] == 3
        self.sock.sendall(reply[1 : 1 + HANDSHAKE])
        return self.listen()

    def read_exactly(self, n):
        out = b""
        while len(out) < n:
            piece = self.sock.recv(n - len(out))
            if not piece:
                raise Closed(f"closed after {len(out)} of {n} bytes")
            out += piece
        return out

    def listen(self, first=b""):
        self.sock.settimeout(None)
        self.thread = threading.Thread(target=self._read, args=(first,), daemon=True)
        self.thread.start()
        return self

    def throttle(self, bucket):
        """Called with the size of each read before the next one: a slow reader."""
        self.bucket = bucket
        return self

    def _read(self, data):
        try:
            while True:
                for message in self.reader.feed(data):
                    self._take(message)
                data = self.sock.recv(65536 if self.bucket is None else 4096)
                if not data:
                    break
                if self.bucket is not None:
                    self.bucket(len(data))
        except OSError:
            pass
        with self.box:
            self.closed = True

    def _take(self, message):
        with self.box:
            self.messages.append(message)
            if message.type in (AUDIO, VIDEO):
                self.media.append((message.type, message.timestamp, message.body))
            elif message.type == DATA:
                if not message.body.startswith(amf0.encode("|RtmpSampleAccess")):
                    self.media.append((message.type, message.timestamp, message.body))
            elif message.type == COMMAND:
                self._take_command(message.command())
        if message.type == USER_CONTROL and message.body[:2] == b"\0\x06":
            self.write(Message(USER_CONTROL, 2, 0, 0, b"\0\x07" + message.body[2:]))

    def _take_command(self, command):
        if command[0] == "onStatus" and isinstance(command[-1], dict):
            self.statuses.append(command[-1].get("code"))

    # --- writing ---

    def write_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Closed(str(e)) from e

    def write(self, message):
        self.write_raw(chunks(message, self.out_chunk))

    def command(self, name, *args, sid=0, csid=3, transaction=None):
        self.transaction += 1
        tx = self.transaction if transaction is None else transaction
        self.write(Message(COMMAND, csid, sid, 0, amf0.encode_all(name, tx, *args)))
        return tx

    def call(self, name, *args, deadline=10):
        """The command's answer: ("_result" or "_error", arguments)."""
        tx = self.command(name, *args)
        answer = self.wait(lambda: self._answer(tx), deadline, f"the answer to {name}")
        return answer[0], answer[2:]

    def _answer(self, tx):
        for m in self.messages:
            if m.type == COMMAND:
                c = m.command()
                if c[0] in ("_result", "_error") and c[1] == tx:
                    return c
        return None

    def connect(self, app="live", abilities=None, **properties):
        self.write(Message(SET_CHUNK, 2, 0, 0, struct.pack(">I", self.OUT_CHUNK)))
        self.out_chunk = self.OUT_CHUNK
        info = {"app": app, "type": "nonprivate", "tcUrl": f"rtmp://localhost/{app}"}
        return self.call("connect", {**info, **(abilities or {}), **properties})

    def create_stream(self):
        kind, args = self.call("createStream", None)
        assert kind == "_result", args
        self.sid = int(args[1])
        return self.sid

    # --- waiting ---

    def wait(self, condition, deadline=10, what="a message"):
        return self.box.wait(condition, deadline, what, state=self.describe)

    def wait_status(self, *codes, deadline=10):
        self.wait(lambda: any(c in self.statuses for c in codes), deadline, " or ".join(codes))

    def wait_closed(self, deadline=10):
        self.wait(lambda: self.closed, deadline, "the end of the connection")

    def wait_media(self, count=1, deadline=10):
        self.wait(lambda: len(self.media) >= count, deadline, f"{count} media messages")

    def describe(self):
        return f"statuses {self.statuses}, {len(self.media)} media, closed {self.closed}"

    def description(self, code):
        """The description that came with a status."""
        for m in self.messages:
            if m.type == COMMAND:
                c = m.command()
                if c[0] == "onStatus" and c[-1].get("code") == code:
                    return c[-1].get("description")
        return None

    def hang_up(self):
        """Closes when the node has read everything: a socket closed at once answers the node's next acknowledgement with a
        reset, and what it had still to send is lost."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
            self.wait_closed()
        except OSError:
            pass
        self.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.thread is not None:
            self.thread.join(scaled(10))
        self.sock.close()


def open_connection(address, name, abilities=None, **options):
    """Handshake, connect and createStream; (connection, the part of the name after the app)."""
    app, stream = name.split("/", 1)
    c = Connection(address, **options).handshake()
    kind, args = c.connect(app, abilities)
    assert kind == "_result", args
    c.create_stream()
    return c, stream


def player(address, name, abilities=None, **options):
    """Asks for a stream; answers and media come as they come."""
    c, stream = open_connection(address, name, abilities, **options)
    c.command("play", None, stream, -2000, sid=c.sid, csid=8, transaction=0)
    return c


class Publisher:
    """Publishes what it is given; .sent holds the media messages."""

    def __init__(self, address, name, abilities=None, **options):
        self.connection, stream = open_connection(address, name, abilities, **options)
        self.sent = []
        self.connection.command("publish", None, stream, "live", sid=1, csid=8, transaction=0)

    def accepted(self, deadline=10):
        self.connection.wait_status("NetStream.Publish.Start", deadline=deadline)
        return self

    def send(self, type, timestamp, body):
        csid = {AUDIO: 4, VIDEO: 6}.get(type, 5)
        self.sent.append((type, timestamp & 0xFFFFFFFF, body))  # before a player can have it
        self.connection.write(Message(type, csid, 1, timestamp & 0xFFFFFFFF, body))

    def send_all(self, tags):
        for tag in tags:
            self.send(*tag)

    def finish(self, stream="x"):
        """A clean goodbye."""
        try:
            self.connection.command("FCUnpublish", None, stream)
            self.connection.command("deleteStream", None, 1)
        except Closed:
            pass
        self.connection.hang_up()

    def vanish(self):
        """The transport is gone."""
        self.connection.close()


class Capture:
    """What a real client sent to a server: handshake, commands, media."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.start = 1 + 2 * HANDSHAKE
        self.messages = ChunkReader().feed(self.data[self.start :])
        commands = [m.command() for m in self.messages if m.type == COMMAND]
        connect = next(c for c in commands if c[0] == "connect")
        publish = next(c for c in commands if c[0] == "publish")
        self.app, self.stream = connect[2]["app"], publish[3].split("?")[0]
        self.name = f"{self.app}/{self.stream}"
        self.clean = any(c[0] in ("FCUnpublish", "deleteStream") for c in commands)

    def media(self):
        """[(type, timestamp, body)] as a relay should see it, with the end of each in .data."""
        out = []
        for m in self.messages:
            if m.type in (AUDIO, VIDEO):
                out.append(((m.type, m.timestamp, m.body), self.start + m.end))
            elif m.type == DATA:
                prefix = amf0.encode("@setDataFrame")
                body = m.body[len(prefix) :] if m.body.startswith(prefix) else m.body
                out.append(((m.type, m.timestamp, body), self.start + m.end))
        return out

    def replay(self, address):
        """A connection that has sent the handshake; send(a, b) sends that part of the rest."""
        return CaptureReplay(self, address)


class CaptureReplay:
    def __init__(self, capture, address):
        self.capture = capture
        self.connection = Connection(address)
        self.connection.sock.sendall(capture.data[: 1 + HANDSHAKE])
        self.connection.read_exactly(1 + 2 * HANDSHAKE)
        self.connection.sock.sendall(capture.data[1 + HANDSHAKE : capture.start])
        self.connection.listen()
        self.at = capture.start

    def send_to(self, end):
        self.connection.write_raw(self.capture.data[self.at : end])
        self.at = end

    def send_rest(self):
        self.send_to(len(self.capture.data))

    def accepted(self):
        self.connection.wait_status("NetStream.Publish.Start")

    def close(self):
        self.connection.close()
