"""Chromium with a player in it (tests/players/play.js), and what it tells."""
import json
import subprocess
import threading

import node as node_module
from waiting import Box, scaled

# What a player has of media when it has none to show.
EMPTY_S = 0.1
PLAY = node_module.ROOT / "tests" / "players" / "play.js"


class Browser:
    """kind: hls.js, shaka or native. .events is all it told, in order."""

    def __init__(self, kind, url, options=None, prefix=()):
        words = [*prefix, "node", PLAY, kind, url, json.dumps(options or {})]
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
