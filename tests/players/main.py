"""
scripts/players [--player KIND] [--seconds N] [--fault NAME] …: a player on two origins, three edges, Redis, and a
balancer that sends each single request to a random edge. Prints what it saw and ends with "N passed, N failed".
"""
import argparse
import contextlib
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import media
import node as node_module
from balancer import Balancer
from browser import Browser
from waiting import wait_for

NAME = "live/cam1"
CREDENTIALS = "?token=the-players-test"
LATENCY_S_MAX = 1.5
SETTINGS = {"hls.part_ms": 200, "hls.segment_ms": 2000, "stream.lost_ms": 10000, "stream.linger_ms": 2000, "stream.idle_pull_ms": 10000}
# Commands of others; {url} is where the stream is. Each reads until SECONDS of media have come and ends with 0.
PROGRAMS = {
    "ffmpeg": "ffmpeg -nostdin -v warning -i {url} -t {seconds} -f null -",
    "mpv": "mpv --no-config --no-terminal --vo=null --ao=null --length={seconds} {url}",
    "hlsdemux2": "gst-launch-1.0 -q playbin3 uri={url} flags=video video-sink=fakesink\\ num-buffers={frames}\\ sync=true",
}


class Bed:
    """The cluster, its publisher and the balancer."""

    def __init__(self, stack, settings):
        self.stack, self.settings = stack, {**SETTINGS, **settings}
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-players-"))
        self.redis = self.closing(node_module.Redis(pathlib.Path(folder)))
        self.cluster = node_module.Cluster(self.redis, self.start)
        self.nodes = self.cluster.nodes
        for role, id in (("origin", "o1"), ("origin", "o2"), ("edge", "e1"), ("edge", "e2"), ("edge", "e3")):
            self.cluster.start(role, id, self.settings)
        self.balancer = self.closing(Balancer({i: self.nodes[i].http for i in ("e1", "e2", "e3")}))
        self.publisher = None

    def closing(self, thing):
        self.stack.callback(thing.finish)
        return thing

    def start(self, role, settings, **options):
        node = node_module.Node(role, settings, **options)
        self.stack.callback(lambda: node.is_running() and node.kill())
        return node.ready()

    def publish(self, id):
        self.publisher = self.closing(media.Program(media.encode_words(self.nodes[id].rtmp_url(NAME + CREDENTIALS))))
        self.cluster.wait_owner(NAME, id)

    def wait_segments(self, count):
        """Until playlists list so many; 0: the edges have not been asked for the stream yet."""
        path = f"/{NAME}/main.m3u8"
        wait_for(lambda: not count or self.nodes["e1"].request(path, port="http")[2].count(b"#EXTINF") >= count,
                 30 + 10 * count, f"{count} segments")

    @property
    def url(self):
        return self.balancer.url(f"/{NAME}/index.m3u8")


# --- faults ---


def kill_origin(bed):
    """kill -9 of the owner; the publisher comes back at the other origin at once."""
    bed.nodes["o1"].kill()
    bed.publisher.finish()
    bed.publish("o2")


def back_here(bed):
    """The publisher's transport breaks; it comes back at the same origin."""
    bed.publisher.finish()
    bed.publish("o1")


def drain_origin(bed):
    """The owner is drained; the publisher comes back at the other one when it is told."""
    bed.nodes["o1"].signal(15)
    bed.publisher.wait(40)
    bed.publish("o2")


def kill_edge(bed):
    bed.nodes["e2"].kill()


def end(bed):
    bed.publisher.terminate()


FAULTS = {f.__name__.replace("_", "-"): f for f in (kill_origin, back_here, drain_origin, kill_edge, end)}

# --- what came of it ---


class Verdict:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, text):
        print(("ok   " if good else "FAIL ") + text)
        self.passed += bool(good)
        self.failed += not good


def quantiles(values):
    values = sorted(values)
    if not values:
        return "none"
    at = lambda q: values[min(len(values) - 1, int(q * len(values)))]
    return f"p50 {at(0.5):.2f} p99 {at(0.99):.2f} max {values[-1]:.2f}"


def report(bed, browser, verdict, arguments):
    samples = browser.all("sample")[3:]
    walls = [s["wall_ms"] / 1000 for s in samples if s["wall_ms"] is not None]
    told = [s["latency_s"] for s in samples if s["latency_s"]]
    first = browser.last("first")
    end = samples[-1] if samples else {}
    print(f"first frame {first and first['ms']} ms after the page was asked for, frames {end.get('frames')}, decoded {end.get('decoded')}, "
          f"dropped {end.get('dropped')}, fragments {end.get('fragments')}, parts {end.get('parts')}, playlists {end.get('playlists')}")
    print(f"latency to the wall clock (s): {quantiles(walls)}; as the player sees it: {quantiles(told)}; rates {sorted({s['rate'] for s in samples})}")
    print(f"requests {bed.balancer.shares()}, refused {bed.balancer.refused}")
    for e in browser.errors() + browser.stalls():
        print("  ", json.dumps(e))
    for r in bed.balancer.misses()[:40]:
        print("  ", r.line())
    fatal = [e for e in browser.errors() if e["fatal"]]
    verdict.check(samples and first, f"{arguments.player} plays")
    if arguments.fault:
        verdict.check(not fatal, f"no fatal error ({len(browser.errors())} others)")
        stood = [e["ms"] for e in browser.all("stood")]
        print(f"the picture stood {sum(stood)} ms in all, at most {max(stood, default=0)} at a time")
        return
    verdict.check(not browser.errors(), f"errors: {len(browser.errors())}")
    verdict.check(not browser.stalls(), f"stalls: {len(browser.stalls())}")
    verdict.check(not bed.balancer.misses(), f"answers of 400 and more, or none: {len(bed.balancer.misses())}")
    if arguments.player == "hls.js":
        verdict.check(walls and max(walls) <= LATENCY_S_MAX, f"latency to the wall clock at most {LATENCY_S_MAX} s")


def watch(bed, arguments, verdict):
    browser = bed.closing(Browser(arguments.player, bed.url, json.loads(arguments.options), prefix=arguments.prefix.split()))
    try:
        browser.wait_event("first", 60)
        if arguments.fault:
            browser.wait_media(arguments.before, 60 + 2 * arguments.before)
            began = time.monotonic()
            FAULTS[arguments.fault](bed)
            print(f"{arguments.fault}: over after {time.monotonic() - began:.2f} s")
        if arguments.fault == "end":
            browser.wait_event("ended", 60)
            verdict.check(True, "the player came to the end")
        else:
            browser.wait_media(arguments.seconds, arguments.seconds + 30)
    except AssertionError as e:
        verdict.check(False, str(e).splitlines()[0])
    if arguments.log:
        folder = pathlib.Path(arguments.log)
        folder.mkdir(parents=True, exist_ok=True)
        bed.balancer.write(folder / "requests")
        (folder / "player").write_text("".join(json.dumps(e) + "\n" for e in browser.events))
        for node in bed.nodes.values():
            (folder / node.id).write_text("\n".join(node.log.lines))
    report(bed, browser, verdict, arguments)


def run_program(bed, arguments, verdict):
    words = shlex.split(PROGRAMS[arguments.player].format(url=bed.url, seconds=arguments.seconds, frames=25 * arguments.seconds))
    done = subprocess.run(words, capture_output=True, timeout=60 + 3 * arguments.seconds)
    print((done.stdout + done.stderr).decode("utf-8", "replace")[-4000:])
    print(f"requests {bed.balancer.shares()}")
    for r in bed.balancer.misses()[:40]:
        print("  ", r.line())
    verdict.check(done.returncode == 0, f"{arguments.player}: exit {done.returncode}")
    verdict.check(not bed.balancer.misses(), f"answers of 400 and more, or none: {len(bed.balancer.misses())}")


def parse():
    p = argparse.ArgumentParser(prog="scripts/players")
    p.add_argument("--player", default="hls.js", choices=["hls.js", "shaka", "native", *PROGRAMS])
    p.add_argument("--seconds", type=int, default=20, help="of play (600 is the long run)")
    p.add_argument("--fault", choices=sorted(FAULTS))
    p.add_argument("--before", type=int, default=8, help="seconds of play before the fault")
    p.add_argument("--warm", type=int, default=3, help="how many segments there are when the player comes")
    p.add_argument("--options", default="{}", help="the player's settings, JSON")
    p.add_argument("--prefix", default="", help="before the browser's command: chrt -r 10, nice -n -5 …")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the nodes")
    p.add_argument("--log", help="folder for requests, the player's events and the nodes' logs")
    return p.parse_args()


def missing(arguments):
    """What has to be there before anything is started: the first command that brings it, or None."""
    if not node_module.BINARY.exists():
        return "scripts/build"
    packages = HERE.parent / "npm" / "node_modules" / "playwright-core"
    return None if arguments.player in PROGRAMS or packages.exists() else "scripts/setup test"


def main():
    arguments = parse()
    if command := missing(arguments):
        sys.exit(f"players: run {command} first")
    verdict = Verdict()
    with contextlib.ExitStack() as stack:
        bed = Bed(stack, dict(s.split("=", 1) for s in arguments.set))
        bed.publish("o1")
        bed.wait_segments(arguments.warm)
        (run_program if arguments.player in PROGRAMS else watch)(bed, arguments, verdict)
    print(f"{verdict.passed} passed, {verdict.failed} failed")
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
