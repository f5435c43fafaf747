"""Connectivity checks (RFC 8445), right and wrong ones, and an offer to get something to check."""
import hashlib
import hmac
import os
import re
import struct
import zlib

COOKIE = 0x2112A442
FINGERPRINT = ":".join(["AB"] * 32)


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def header(kind, transaction, length):
    return struct.pack(">HHI", kind, length, COOKIE) + transaction


def check(username, password, nominate=False, transaction=None, signature=True, checksum=True):
    """A binding request; password None: signed with anything."""
    transaction = transaction or os.urandom(12)
    body = attribute(0x0006, username.encode()) + attribute(0x0024, b"\x6e\0\1\xff") + attribute(0x802A, os.urandom(8))
    if nominate:
        body += attribute(0x0025, b"")
    if signature:
        text = header(1, transaction, len(body) + 24) + body
        key = (password or "wrong").encode()
        body += attribute(0x0008, hmac.new(key, text, hashlib.sha1).digest())
    if checksum:
        text = header(1, transaction, len(body) + 8) + body
        body += attribute(0x8028, struct.pack(">I", zlib.crc32(text) ^ 0x5354554E))
    return header(1, transaction, len(body)) + body


def is_success(answer, request):
    return answer[:2] == b"\x01\x01" and answer[8:20] == request[8:20]


def offer(ufrag="them", direction="recvonly", candidates=()):
    """H.264 and nothing else; nobody has the key to its fingerprint."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0", "m=video 9 UDP/TLS/RTP/SAVPF 96",
             "c=IN IP4 0.0.0.0", f"a=ice-ufrag:{ufrag}", "a=ice-pwd:0123456789012345678901", f"a=fingerprint:sha-256 {FINGERPRINT}",
             "a=setup:actpass", "a=mid:0", f"a={direction}", "a=rtcp-mux", "a=rtpmap:96 H264/90000",
             "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f", "a=rtcp-fb:96 nack pli", *candidates]
    return "\r\n".join(lines) + "\r\n"


class Answer:
    def __init__(self, text):
        self.text = text
        self.ufrag = re.search(r"a=ice-ufrag:(\S+)", text).group(1)
        self.pwd = re.search(r"a=ice-pwd:(\S+)", text).group(1)
        self.candidates = [c.split() for c in re.findall(r"a=candidate:(.*)", text)]

    def address(self, protocol="udp"):
        """Of the best candidate."""
        return next((c[4], int(c[5])) for c in self.candidates if c[2] == protocol)
