"""Waiting for conditions, always with a deadline. SLUICE_SLOW=1 (sanitizers) makes deadlines four times as long."""
import os
import threading
import time

SLOW = os.environ.get("SLUICE_SLOW") == "1"
LOOK_S = 0.02


def scaled(seconds):
    return seconds * 4 if SLOW else seconds


def _fail(what, seconds, last, state):
    more = f" ({state()})" if state is not None else ""
    raise AssertionError(f"waited {seconds:.0f} s for {what}; last seen: {last!r}{more}")


def wait_for(condition, deadline=10, what="a condition", state=None):
    """The condition's first true value."""
    seconds = scaled(deadline)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            _fail(what, seconds, value, state)
        time.sleep(LOOK_S)


class Box:
    """A lock that says when something under it changed."""

    def __init__(self):
        self.changed = threading.Condition()

    def __enter__(self):
        self.changed.acquire()
        return self

    def __exit__(self, *error):
        self.changed.notify_all()
        self.changed.release()

    def wait(self, condition, deadline, what, state=None):
        seconds = scaled(deadline)
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    _fail(what, seconds, value, state)
                self.changed.wait(left)
