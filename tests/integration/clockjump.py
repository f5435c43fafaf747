"""A wall clock that the test sets, for one program (tests/tools/clock_jump.c)."""
import mmap
import struct

import node as n

LIBRARY = n.BINARY.parent / "tests" / "libclock_jump.so"


class Clock:
    def __init__(self, folder):
        assert LIBRARY.exists(), f"{LIBRARY} is built with the tests"
        path = folder / "clock_offset_s"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 8)
        self.environ = {"LD_PRELOAD": str(LIBRARY), "CLOCK_JUMP_FILE": str(path)}

    def set(self, offset_s):
        self.memory[:] = struct.pack("q", offset_s)
