"""
scripts/players loss [--cases NAME…] [--loss PERCENT] [--bursts] [--seconds N] …: Chromium plays and publishes by WebRTC over a
network that loses datagrams, both ways. Prints what browser and node counted and ends with "N passed, N failed". Needs root.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import media
import node as node_module
from browser import Browser
from lan import Lan
from waiting import wait_for

NAME = "live/cam1"
WARM_S = 4  # of play, before anything counts: joins take what the jitter buffer has to learn
SETTINGS = {"stream.lost_ms": 2000}
GAP_MAX_MS = 400  # between two pictures of a publisher, at a player
PUBLISHER_BPS = 1500000  # that Chromium has to reach where nothing limits it
PUBLISHER_S = 10
NARROW_RTT_S_MAX = 3


class Verdict:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, text):
        print(("ok   " if good else "FAIL ") + text)
        self.passed += bool(good)
        self.failed += not good


class Bed:
    """A node, and a network behind which browsers are."""

    def __init__(self, stack, folder, arguments):
        self.stack, self.folder, self.arguments = stack, folder, arguments
        self.lan = Lan()
        stack.callback(self.lan.close)
        settings = {**SETTINGS, "http.listen": f"{self.lan.here}:0", "webrtc.listen": f"{self.lan.here}:0", "webrtc.tcp_listen": f"{self.lan.here}:0",
                    **dict(s.split("=", 1) for s in arguments.set)}
        self.node = node_module.Node("node", settings)
        stack.callback(lambda: self.node.is_running() and self.node.kill())
        self.node.ready()
        self.before = {}

    def closing(self, thing):
        self.stack.callback(thing.finish)
        return thing

    def url(self, kind):
        host, port = self.node.http
        return f"http://{host}:{port}/{NAME}/{kind}"

    def browser(self, kind, far=True, **options):
        prefix = [*(self.lan.prefix if far else []), *self.arguments.prefix.split()]
        return self.closing(Browser(kind, self.url(kind), options, prefix))

    def encode(self):
        """H.264 and AAC by RTMP, without B-frames, from a file: no encoder runs beside the browser."""
        file = self.folder / "source.flv"
        if not file.exists():
            a = self.arguments
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=640x360:r={a.rate}", "-f", "lavfi", "-i", "sine=f=440:r=48000",
                            "-t", "20", "-vf", "noise=alls=12:allf=t", "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(2 * a.rate),
                            "-sc_threshold", "0", "-b:v", a.bitrate, "-maxrate", a.bitrate, "-bufsize", a.bitrate, "-pix_fmt", "yuv420p",
                            "-c:a", "aac", "-b:a", "64k", str(file)], check=True)
        self.closing(media.Program(media.publish_words(file, self.node.rtmp_url(NAME), loop=True)))
        self.node.wait_metric("publishers", 1)

    def camera(self):
        file = self.folder / "camera.y4m"
        if not file.exists():
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=640x360:r={self.arguments.rate}", "-t", "4",
                            "-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p", str(file)], check=True)
        return str(file)

    def publish(self, codec, far=True, **options):
        browser = self.browser("whip", far, codec=codec, camera=self.camera(), width=640, height=360, rate=self.arguments.rate, **options)
        self.node.wait_metric("publishers", 1, 30)
        return browser

    def record(self, seconds):
        """What an RTMP player gets, as a file."""
        file = self.folder / "recorded.flv"
        program = media.Program(["ffmpeg", "-nostdin", "-v", "warning", "-y", "-i", self.node.rtmp_url(NAME), "-t", seconds, "-c", "copy", file])
        return self.closing(program), file

    def lose(self):
        if self.arguments.loss:
            self.lan.lose(self.arguments.loss, self.arguments.bursts)

    def mark(self):
        self.before = self.node.metrics()

    def counted(self, *names):
        now = self.node.metrics()
        return {n: int(now[f"rtc_{n}_total"] - self.before[f"rtc_{n}_total"]) for n in names}


def told(browser, kind):
    last = browser.last("rtc") or {"streams": []}
    return next((dict(s, rtt_s=last.get("rtt_s"), protocol=last.get("protocol"), at_ms=last["at_ms"], available_bps=last.get("available_bps"))
                 for s in last["streams"] if s["kind"] == kind), {})


def wait_told(browser, kind, deadline=30, **least):
    return browser.wait(lambda: (t := told(browser, kind)) and all((t.get(k) or 0) >= n for k, n in least.items()) and t, deadline, f"{kind} {least}")


def line(values):
    return "  ".join(f"{k}={round(v, 3) if isinstance(v, float) else v}" for k, v in values.items())


def difference(a, b):
    return {k: b[k] - a[k] if isinstance(v, (int, float)) and isinstance(b.get(k), (int, float)) else b.get(k) for k, v in a.items()}


class Watch:
    """A player, from its WARM_S on."""

    def __init__(self, bed, browser):
        self.bed, self.browser = bed, browser
        browser.wait_event("first", 60)
        browser.wait_media(WARM_S, 60)
        bed.mark()
        self.start = {k: told(browser, k) for k in ("video", "audio")}

    def verdict(self, verdict, freezes=0, name=""):
        v, a = (difference(self.start[k], told(self.browser, k)) for k in ("video", "audio"))
        seconds = v["at_ms"] / 1000
        print(f"  {name} video: {line({k: v[k] for k in ('frames', 'dropped', 'packets', 'lost', 'retransmitted', 'nacks', 'plis', 'freezes', 'frozen_s')})}"
              f"  Mbit/s={v['bytes'] * 8 / seconds / 1e6:.2f}  buffered_ms={1000 * v['buffered_s'] / max(1, v['emitted']):.0f}  rtt_ms={1000 * (told(self.browser, 'video')['rtt_s'] or 0):.0f}")
        print(f"  {name} as it measures: {line(told(self.browser, 'remote video'))}")
        print(f"  {name} audio: {line({k: a[k] for k in ('packets', 'lost', 'samples', 'concealed')})}")
        print(f"  node: {line(self.bed.counted('nacked', 'resent', 'resend_refused', 'key_requests', 'video_skips', 'audio_only', 'send_dropped'))}")
        for e in self.browser.stalls():
            print("   ", json.dumps(e))
        verdict.check(v["frames"] > 0.9 * self.bed.arguments.rate * seconds, f"{name} {v['frames']} frames in {seconds:.1f} s")
        verdict.check(v["plis"] == 0, f"{name} unrepaired gaps: {v['plis']} key frames asked for")
        verdict.check(v["freezes"] <= freezes, f"{name} freezes: {v['freezes']}, {v['frozen_s']:.2f} s, of {v['lost']} lost packets")


def settle(bed, seconds):
    time.sleep(seconds)
    print(f"  load {os.getloadavg()[0]:.1f}  lost on the way (to the browser, from it): {bed.lan.lost() if bed.arguments.loss else 'none'}")


def whep_h264(bed, verdict):
    bed.encode()
    bed.lose()
    watch = Watch(bed, bed.browser("whep"))
    settle(bed, bed.arguments.seconds)
    watch.verdict(verdict)


def whep_vp8(bed, verdict):
    bed.publish("VP8", far=False)
    bed.lose()
    watch = Watch(bed, bed.browser("whep"))
    settle(bed, bed.arguments.seconds)
    watch.verdict(verdict)


def published(bed, browser, start, verdict):
    v, seconds = difference(start, told(browser, "video")), (told(browser, "video")["at_ms"] - start["at_ms"]) / 1000
    n = bed.counted("media_in", "missing", "repaired", "nacks_out", "given_up", "plis_out")
    print(f"  publisher: {line({k: v[k] for k in ('frames', 'packets', 'retransmitted', 'nacks', 'plis', 'codec')})}  Mbit/s={v['bytes'] * 8 / seconds / 1e6:.2f}"
          f"  {line({k: told(browser, 'video')[k] for k in ('available_bps', 'target_bps', 'width', 'fps', 'limited', 'protocol', 'rtt_s')})}")
    print(f"  node: {line(n)}")
    verdict.check(n["given_up"] == 0, f"unrepaired gaps of the publisher: {n['given_up']} of {n['missing']} packets")


def whip_h264(bed, verdict):
    bed.lose()
    browser = bed.publish("H264")
    start = wait_told(browser, "video", frames=WARM_S * 20)
    bed.mark()
    program, file = bed.record(bed.arguments.seconds)
    settle(bed, bed.arguments.seconds)
    program.wait(30)
    published(bed, browser, start, verdict)
    check_recorded(file, verdict)


def check_recorded(file, verdict):
    """Every picture can be decoded, and none is missing for long."""
    decoded = subprocess.run(["ffmpeg", "-nostdin", "-v", "warning", "-i", file, "-map", "0:v", "-f", "null", "-"], capture_output=True, text=True)
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=dts_time", "-of", "csv=p=0", file], capture_output=True, text=True)
    times = [float(t.strip(",")) for t in probe.stdout.split() if re.match(r"[\d.]+", t)]
    gaps = sorted((round(1000 * (b - a)) for a, b in zip(times, times[1:])), reverse=True)
    errors = [l for l in decoded.stderr.splitlines() if "[null @" not in l]
    print(f"  recorded: {len(times)} pictures, largest gaps (ms) {gaps[:6]}")
    verdict.check(len(times) > 1 and not errors, f"pictures that do not decode: {errors[:3]}")
    verdict.check(gaps and gaps[0] <= GAP_MAX_MS, f"no gap above {GAP_MAX_MS} ms in what a player got")


def whip_vp8(bed, verdict):
    bed.lose()
    browser = bed.publish("VP8")
    start = wait_told(browser, "video", frames=WARM_S * 20)
    watch = Watch(bed, bed.browser("whep", far=False))
    start = told(browser, "video")
    settle(bed, bed.arguments.seconds)
    published(bed, browser, start, verdict)
    watch.verdict(verdict, name="behind it:")


def tcp(bed, verdict):
    """No datagram gets through: both ways go by ICE-TCP."""
    bed.lan.cut()
    publisher = bed.publish("H264")
    start = wait_told(publisher, "video", frames=WARM_S * 20)
    watch = Watch(bed, bed.browser("whep"))
    time.sleep(bed.arguments.seconds)
    print(f"  load {os.getloadavg()[0]:.1f}")
    published(bed, publisher, start, verdict)
    watch.verdict(verdict)
    for who in (publisher, watch.browser):
        verdict.check(told(who, "video")["protocol"] == "tcp", "by TCP")


def narrow(bed, verdict):
    """Less than the stream fits through for a while: sound goes on, and pictures come back."""
    bed.encode()
    browser = bed.browser("whep")
    watch = Watch(bed, browser)
    bed.lan.narrow(bed.arguments.narrow)
    wait_for(lambda: bed.counted("audio_only")["audio_only"] > 0, 30, "video to be left out")
    time.sleep(3)
    a, began = told(browser, "audio"), time.monotonic()
    time.sleep(6)
    b = told(browser, "audio")
    silent = (b["concealed"] - a["concealed"]) / max(1, b["samples"] - a["samples"])
    verdict.check(b["packets"] - a["packets"] > 40 * (time.monotonic() - began - 1), f"sound goes on: {b['packets'] - a['packets']} packets in 6 s")
    verdict.check(silent < 0.02, f"of it concealed: {100 * silent:.1f} %")
    bed.lan.narrow(0)
    began, frames = time.monotonic(), told(browser, "video")["frames"]
    wait_told(browser, "video", 60, frames=frames + 50)
    print(f"  pictures are back after {time.monotonic() - began:.1f} s; node: {line(bed.counted('audio_only', 'video_skips', 'key_requests', 'nacked', 'resent', 'resend_refused'))}")
    verdict.check(True, "pictures come back")
    del watch


def tcp_narrow(bed, verdict):
    """The same by ICE-TCP, where nothing is lost: what waits is bounded, so that sound stays near."""
    bed.lan.cut()
    bed.encode()
    browser = bed.browser("whep")
    Watch(bed, browser)
    bed.lan.narrow(bed.arguments.narrow)
    wait_for(lambda: bed.counted("video_skips")["video_skips"] > 0, 30, "video to be left out")
    seen = []
    for _ in range(10):
        time.sleep(1)
        seen.append(told(browser, "audio")["rtt_s"])
    bed.lan.narrow(0)
    began, frames = time.monotonic(), told(browser, "video")["frames"]
    wait_told(browser, "video", 60, frames=frames + 50)
    print(f"  round trips (s): {seen}; pictures are back after {time.monotonic() - began:.1f} s; node: {line(bed.counted('video_skips', 'audio_only', 'send_dropped'))}")
    verdict.check(max(seen) < NARROW_RTT_S_MAX, f"round trip at most {max(seen):.1f} s")


def bandwidth(bed, verdict):
    """Nothing is lost: what Chromium dares to send."""
    browser = bed.publish("H264")
    began = time.monotonic()
    seen = []
    while time.monotonic() - began < PUBLISHER_S:
        time.sleep(1)
        v = told(browser, "video")
        seen.append((round(time.monotonic() - began, 1), round((v.get("available_bps") or 0) / 1e6, 2), round((v.get("target_bps") or 0) / 1e6, 2)))
    print(f"  load {os.getloadavg()[0]:.1f}  (s, available Mbit/s, target Mbit/s): {seen}")
    verdict.check(seen[-1][1] * 1e6 > PUBLISHER_BPS, f"Chromium may send {seen[-1][1]} Mbit/s after {PUBLISHER_S} s")


CASES = {f.__name__.replace("_", "-"): f for f in (whep_h264, whep_vp8, whip_h264, whip_vp8, tcp, narrow, tcp_narrow, bandwidth)}


def parse():
    p = argparse.ArgumentParser(prog="scripts/players loss")
    p.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE", help=" ".join(CASES))
    p.add_argument("--seconds", type=int, default=30)
    p.add_argument("--loss", type=int, default=5, help="of 100 datagrams, each way; 0: none, to compare with")
    p.add_argument("--bursts", action="store_true", help="what is lost on the way to the browser is whole GSO messages")
    p.add_argument("--narrow", type=int, default=500000, help="bits per second that get through")
    p.add_argument("--bitrate", default="1500k", help="of the stream by RTMP")
    p.add_argument("--rate", type=int, default=30, help="pictures per second")
    p.add_argument("--prefix", default="", help="before the browser's command: nice -n -5 …")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the node")
    p.add_argument("--log", action="store_true", help="the node's log at the end of each case")
    return p.parse_args()


def run(case, arguments, verdict):
    with tempfile.TemporaryDirectory(prefix="sluice-loss-") as folder, contextlib.ExitStack() as stack:
        bed = Bed(stack, pathlib.Path(folder), arguments)
        try:
            CASES[case](bed, verdict)
        except AssertionError as e:
            verdict.check(False, str(e)[:1000])
        if arguments.log:
            print("\n".join(bed.node.log.lines))


def main():
    arguments = parse()
    if not node_module.BINARY.exists():
        sys.exit("players: run scripts/build first")
    verdict = Verdict()
    for case in arguments.cases:
        print(f"--- {case}, {arguments.loss} %{' in bursts' if arguments.bursts else ''}, {arguments.seconds} s", flush=True)
        run(case, arguments, verdict)
    print(f"{verdict.passed} passed, {verdict.failed} failed")
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
