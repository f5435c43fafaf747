"""Bytes over a socket, for clients that do not keep to a protocol."""
import socket
import time

from waiting import scaled


class Raw:
    def __init__(self, address, data=b""):
        self.sock = socket.create_connection(address, timeout=scaled(15))
        self.received = b""
        if data:
            self.send(data)

    def send(self, data):
        """False when the other side has gone."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def read_some(self, deadline=0.0):
        """What comes within the time; None when the other side has closed."""
        self.sock.settimeout(max(deadline, 0.001))
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return b""
        except OSError:
            return None
        self.received += data
        return data or None

    def read_end(self, deadline=10):
        """Everything until the other side closes."""
        end = time.monotonic() + scaled(deadline)
        while time.monotonic() < end:
            if self.read_some(0.2) is None:
                return self.received
        raise AssertionError(f"not closed after {scaled(deadline)} s: {self.received[:200]!r}")

    def close(self):
        self.sock.close()


def exchange(address, request, deadline=10):
    """Sends a request and reads until the end: (status, head, body)."""
    raw = Raw(address, request)
    try:
        answer = raw.read_end(deadline)
    finally:
        raw.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split()
    return int(words[1]) if len(words) > 1 else 0, head.decode("latin-1"), body
