"""sluice-bench as the rows use it: players that are looked at, and a publisher that comes back."""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from waiting import Box, scaled

LIVES_S = 6 * 3600  # a load ends by itself after that
SAID_BYTES = 500      # of what it wrote last


def now_us():
    """The clock of sluice-bench, the same in all namespaces."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def percentile(values, percent):
    """The least value that `percent` of them do not exceed."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(int(rank) - 1, 0)] if values else float("nan")


class Tool:
    """A command of sluice-bench and the events it prints."""

    def __init__(self, binary, host, words):
        self.host = host
        self.command = [*host.prefix, str(binary), *map(str, words)]
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=self.said)
        self.pid = self.process.pid
        self.events, self.ended = {}, False
        self.box = Box()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for raw in self.process.stdout:
            event = json.loads(raw)
            with self.box:
                self.events.setdefault(event["event"], []).append(event)
        self.process.stdout.close()
        self.process.wait()
        with self.box:
            self.ended = True

    def of(self, kind, since_us=0):
        return [e for e in self.events.get(kind, []) if e["at_us"] >= since_us]

    def last(self, kind):
        found = self.events.get(kind)
        return found[-1] if found else None

    def wait(self, condition, deadline, what):
        return self.box.wait(lambda: condition() or self._must_run(what), deadline, what, state=self.describe)

    def _must_run(self, what):
        """What a tool that has ended will never do is not waited for."""
        if self.ended:
            raise AssertionError(f"{what}: {' '.join(self.command)} ended with {self.process.returncode}: {self._last_words()}")

    def _last_words(self):
        self.said.seek(0)
        return self.said.read()[-SAID_BYTES:].decode(errors="replace").strip()

    def describe(self):
        return ", ".join(f"{k}={v}" for k, v in (self.last("state") or {}).items())

    def signal(self, number):
        os.kill(self.pid, number)

    def finish(self):
        """Its last report."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(scaled(10))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.thread.join(scaled(5))
        return self.last("watch") or self.last("publish") or {}


class Watch(Tool):
    """Players of one or more addresses in turn."""

    def __init__(self, binary, host, urls, viewers, again=False, kbit=0, modulo=0, rate=500):
        self.viewers, self.urls = viewers, urls
        words = ["watch", "-n", viewers, "-t", LIVES_S, "-r", rate]
        for url in urls:
            words += ["-u", url]
        words += ["-R"] if again else []
        words += ["-b", kbit] if kbit else []
        words += ["-m", modulo] if modulo else []
        super().__init__(binary, host, words)

    @property
    def state(self):
        return self.last("state") or {"playing": 0, "open": 0, "stalled": 0}

    def wait_playing(self, deadline=20):
        """All of them have seen a key frame, and video runs."""
        def running():
            s = self.state
            return s["playing"] == self.viewers and s["stalled"] == 0
        self.wait(running, deadline + self.viewers / 200, f"{self.viewers} players to play")
        return self

    def wait_state(self, condition, deadline, what):
        """A state told from now on."""
        begin = now_us()
        return self.wait(lambda: (s := self.last("state")) and s["at_us"] > begin and condition(s) and s, deadline, what)

    def runs(self, session):
        """The first frame of a session at each player."""
        return {e["viewer"]: e for e in list(self.events.get("run", [])) if e["session"] == session}

    def wait_run(self, session, deadline=20, viewers=None):
        """Everybody sees frames of that session."""
        count = viewers or self.viewers
        self.wait(lambda: len(self.runs(session)) >= count, deadline,
                  f"{count} players to see session {session}")
        return self.runs(session)


class Publish(Tool):
    """Publishers that come back at the next address; sessions are numbered from `session` on."""

    def __init__(self, binary, host, urls, media, session=1, again=True, publishers=1, retry_ms=200, life_s=0):
        self.urls = urls
        words = ["publish", urls[0], media[0], *(w for m in media[1:] for w in ("-f", m)), *(w for u in urls[1:] for w in ("-u", u)),
                 "-n", publishers, "-t", LIVES_S, "-M", session, "-a", retry_ms, "-e", "-q"]
        words += ["-R"] if again else []
        words += ["-l", life_s] if life_s else []
        super().__init__(binary, host, words)

    @property
    def granted(self):
        return self.last("granted")

    def wait_granted(self, since_us=0, deadline=20):
        """The last connection that was granted since then."""
        self.wait(lambda: (g := self.granted) and g["at_us"] >= since_us, deadline, "a publisher to be taken")
        return self.granted

    def move(self):
        """Leaves its connection for the next address."""
        self.signal(signal.SIGUSR1)
