"""Chromium with a player in it (tests/players/play.js), and what it tells."""
import json
import subprocess
import threading

import node as node_module
from waiting import Box, scaled

# What a player has of media when it has none to show.
EMPTY_S = 0.1
WATCH = node_module.BINARY.parent / "tests" / "whep_watch"
PLAY = node_module.ROOT / "tests" / "players" / "play.js"
OPEN = node_module.ROOT / "tests" / "players" / "open.js"


class Browser:
    """kind: hls.js, shaka, native, whep or whip. .events is all it told, in order."""

    def __init__(self, kind, url, options=None, prefix=()):
        self._start([*prefix, "node", PLAY, kind, url, json.dumps(options or {})])

    def _start(self, words):
        self.events = []
        self.box = Box()
        self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self.box:
                self.events.append(json.loads(line))
        self.process.stdout.close()

    def all(self, name):
        return [e for e in list(self.events) if e["event"] == name]

    def last(self, name):
        return next((e for e in reversed(list(self.events)) if e["event"] == name), None)

    def wait(self, condition, deadline, what):
        return self.box.wait(condition, deadline, what, state=lambda: self.tail())

    def wait_event(self, name, deadline=30, start=0):
        return self.wait(lambda: next((e for e in self.events[start:] if e["event"] == name), None), deadline, f"the player's event {name}")

    def wait_media(self, seconds, deadline):
        """Until so many more seconds have been played."""
        began = (self.last("sample") or {"time_s": self.wait_event("first")["media_s"]})["time_s"]
        self.wait(lambda: (s := self.last("sample")) and s["time_s"] >= began + seconds, deadline, f"{seconds} s of play")

    def tail(self):
        return "\n" + "\n".join(json.dumps(e) for e in list(self.events)[-15:])

    def errors(self):
        return self.all("error")

    def stalls(self):
        """Times it had nothing to show after it had begun, and how long the picture stood (ms)."""
        begun = next((i for i, e in enumerate(self.events) if e["event"] == "first"), len(self.events))
        return [e for e in self.events[begun:] if e["event"] == "stood" or (e["event"] == "waiting" and e["buffered_s"] < EMPTY_S)]

    def finish(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(scaled(15))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.thread.join(scaled(5))


class Page(Browser):
    """One of our own pages (tests/players/open.js); .shown() is what it shows now."""

    def __init__(self, url, options=None, prefix=()):
        self._start([*prefix, "node", OPEN, url, json.dumps(options or {})])

    def command(self, *words):
        self.process.stdin.write((" ".join(words) + "\n").encode())
        self.process.stdin.flush()

    def shown(self):
        return self.last("shown") or {}

    def wait_shown(self, deadline=30, **wanted):
        """Until it shows all of it: a value, or a question to the value."""
        def look():
            have = self.shown()
            return all(w(have.get(k)) if callable(w) else have.get(k) == w for k, w in wanted.items()) and have
        return self.wait(look, deadline, f"the page to show {wanted}")


class Peer(Browser):
    """Another WebRTC program (tests/players/peer_*): kind "aiortc", "gst" or "werift"; what: play or publish (aiortc counts frames
    that it has decoded, and may be -passive), the others packets."""

    def __init__(self, kind, what, url, prefix=()):
        script = next(PLAY.parent.glob(f"peer_{kind}.*"))
        self._start([*prefix, "node" if script.suffix == ".js" else "/usr/bin/python3", script, what, url])

    def wait_counts(self, deadline=30, **least):
        """Until it is connected and has had so many packets or frames of each kind."""
        def look():
            have = self.last("peer") or {}
            return have.get("state") == "connected" and all(have.get(k, 0) >= n for k, n in least.items()) and have
        return self.wait(look, deadline, f"the peer to have {least}")


class Watch(Browser):
    """A player that decodes nothing and tells each frame (tests/tools/whep_watch.c)."""

    def __init__(self, node, name):
        self._start([WATCH, node.http[1], name])

    def command(self, *words):
        self.process.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.process.stdin.flush()

    def frames(self, codec, start=0):
        return [e for e in self.events[start:] if e["event"] == "frame" and e["codec"] == codec]

    def wait_frame(self, deadline=10, after_s=0, **wanted):
        """The first frame like that, of those that came after a time of time.monotonic()."""
        def look():
            return next((e for e in list(self.events) if e["event"] == "frame" and e["at_s"] > after_s and
                         all(e[k] == v for k, v in wanted.items())), None)
        return self.wait(look, deadline, f"a frame {wanted}")

    def assert_unbroken(self, codec):
        """One source, no number missing or twice, times that grow."""
        frames = self.frames(codec)
        assert len({f["ssrc"] for f in frames}) == 1
        assert frames[-1]["missing"] == frames[-1]["repeated"] == 0
        for one, next in zip(frames, frames[1:]):
            assert next["first"] == one["next"], (one, next)
            assert 0 < (next["timestamp"] - one["timestamp"]) % 2**32 < 2**31, (one, next)
