"""A WebRTC publisher of sound on one UDP socket that keeps each datagram it sends, for those who send them again from elsewhere.
Its parts are aiortc's: pyOpenSSL and libsrtp."""
import datetime
import hashlib
import re
import socket
import struct

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL, crypto
from pylibsrtp import Policy, Session

import stun
from waiting import scaled

KEY, SALT, MTU = 16, 14, 1200
OPUS = 111  # its payload type in the offers of ffmpeg and Chromium
OPUS_SILENCE = bytes.fromhex("f8fffe")
SAMPLES = 960


def identity():
    """A key, its certificate, and that one's fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    day = datetime.datetime(2020, 1, 1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(day).not_valid_after(day.replace(year=2100)).sign(key, SHA256()))
    certificate = crypto.X509.from_cryptography(made)
    digest = hashlib.sha256(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)).hexdigest().upper()
    return key, certificate, ":".join(re.findall("..", digest))


def offer_of(text, fingerprint, setup):
    """A recorded offer, of one with this fingerprint."""
    text = re.sub(r"a=fingerprint:.*", f"a=fingerprint:sha-256 {fingerprint}\r", text)
    return re.sub(r"a=setup:.*", f"a=setup:{setup}\r", text)


class Dtls:
    """A side of a handshake: in() takes a datagram, out() is what to send."""

    def __init__(self, key, certificate, server, ciphers=None):
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(certificate)
        context.use_privatekey(crypto.PKey.from_cryptography_key(key))
        context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
        if ciphers:
            context.set_cipher_list(ciphers.encode())
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(MTU)
        self.connection.set_accept_state() if server else self.connection.set_connect_state()
        self.server, self.done = server, False

    def take(self, datagram=b""):
        if datagram:
            self.connection.bio_write(datagram)
        try:
            self.connection.do_handshake()
            self.done = True
        except SSL.WantReadError:
            pass

    def out(self):
        try:
            return self.connection.bio_read(MTU)
        except SSL.WantReadError:
            return b""

    def sender(self):
        """SRTP from this side."""
        block = self.connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (KEY + SALT))
        keys, salts = (block[:KEY], block[KEY:2 * KEY]), (block[2 * KEY:2 * KEY + SALT], block[2 * KEY + SALT:])
        return Session(Policy(key=keys[self.server] + salts[self.server], ssrc_type=Policy.SSRC_ANY_OUTBOUND,
                              srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80))


class RtcPeer:
    """answer: stun.Answer to an offer with ufrag; server: it was passive."""

    def __init__(self, answer, ufrag, key, certificate, server=False):
        self.to = answer.address()
        self.username, self.pwd = f"{answer.ufrag}:{ufrag}", answer.pwd
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.to[0], 0))
        self.socket.settimeout(scaled(5))
        self.dtls = Dtls(key, certificate, server)
        self.sequence, self.sent = 0, []

    def send(self, datagram):
        self.sent.append(datagram)
        self.socket.sendto(datagram, self.to)

    def check(self):
        request = stun.check(self.username, self.pwd, nominate=True)
        self.send(request)
        while not stun.is_success(reply := self.socket.recv(2048), request):
            if 20 <= reply[0] <= 63:
                self.dtls.take(reply)

    def flush(self):
        while datagram := self.dtls.out():
            self.send(datagram)

    def shake(self):
        """The handshake, to its end."""
        if not self.dtls.server:
            self.dtls.take()
        self.flush()
        while not self.dtls.done:
            datagram = self.socket.recv(2048)
            if 20 <= datagram[0] <= 63:
                self.dtls.take(datagram)
                self.flush()
        self.srtp = self.dtls.sender()

    def sound(self, count):
        for _ in range(count):
            header = struct.pack(">BBHII", 0x80, OPUS, self.sequence, self.sequence * SAMPLES, 4711)
            self.send(self.srtp.protect(header + OPUS_SILENCE))
            self.sequence += 1

    def close(self):
        self.socket.close()
