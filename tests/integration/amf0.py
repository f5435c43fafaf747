"""AMF0: Python values to bytes and back. Objects and ECMA arrays are dicts, undefined is UNDEFINED."""
import struct

UNDEFINED = type("Undefined", (), {"__repr__": lambda self: "undefined"})()


def _text(s):
    raw = s.encode() if isinstance(s, str) else s
    return struct.pack(">H", len(raw)) + raw


def encode(value):
    if value is None:
        return b"\x05"
    if value is UNDEFINED:
        return b"\x06"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, (int, float)):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, (str, bytes)):
        return b"\x02" + _text(value)
    if isinstance(value, dict):
        pairs = b"".join(_text(k) + encode(v) for k, v in value.items())
        return b"\x03" + pairs + b"\0\0\x09"
    if isinstance(value, (list, tuple)):
        return b"\x0a" + struct.pack(">I", len(value)) + b"".join(map(encode, value))
    raise TypeError(type(value))


def encode_all(*values):
    return b"".join(map(encode, values))


def _read_pairs(d, o):
    out = {}
    while o + 3 <= len(d) and d[o : o + 3] != b"\0\0\x09":
        n = struct.unpack_from(">H", d, o)[0]
        key = d[o + 2 : o + 2 + n].decode("utf-8", "replace")
        out[key], o = decode(d, o + 2 + n)
    return out, o + 3


def decode(d, o=0):
    """One value at offset o: (value, offset behind it)."""
    marker = d[o]
    o += 1
    if marker == 0x00:
        return struct.unpack_from(">d", d, o)[0], o + 8
    if marker == 0x01:
        return d[o] != 0, o + 1
    if marker in (0x02, 0x0C):
        size = 2 if marker == 0x02 else 4
        n = int.from_bytes(d[o : o + size], "big")
        o += size
        return d[o : o + n].decode("utf-8", "replace"), o + n
    if marker == 0x03:
        return _read_pairs(d, o)
    if marker == 0x05:
        return None, o
    if marker == 0x06:
        return UNDEFINED, o
    if marker == 0x08:
        return _read_pairs(d, o + 4)
    if marker == 0x0A:
        n = struct.unpack_from(">I", d, o)[0]
        o += 4
        out = []
        for _ in range(n):
            value, o = decode(d, o)
            out.append(value)
        return out, o
    if marker == 0x0B:
        return struct.unpack_from(">d", d, o)[0], o + 10
    raise ValueError(f"AMF0 marker {marker:#x}")


def decode_all(d):
    out, o = [], 0
    while o < len(d):
        value, o = decode(d, o)
        out.append(value)
    return out
