"""Media of our own, programs that publish and play it, and publishers in Python that keep to real time."""
import bisect
import pathlib
import re
import subprocess
import threading
import time

import flv
import rtmp
from waiting import scaled

CAPTURES = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "captures"
SECONDS = 6
FRAME_RATE = 30


def make(folder):
    """H.264 with B-frames and AAC, a key frame each second."""
    path = folder / "media.flv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y",
         "-f", "lavfi", "-i", f"testsrc2=s=320x180:r={FRAME_RATE}",
         "-f", "lavfi", "-i", "sine=f=440:r=44100",
         "-t", str(SECONDS), "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", str(FRAME_RATE),
         "-keyint_min", str(FRAME_RATE), "-sc_threshold", "0", "-b:v", "400k", "-pix_fmt", "yuv420p",
         "-c:a", "aac", "-ac", "2", "-b:a", "64k", str(path)],
        check=True, stdin=subprocess.DEVNULL, timeout=scaled(60))
    return path


class Program:
    """A program with its output; ends with the test at the latest."""

    def __init__(self, words, **options):
        self.words = [str(w) for w in words]
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **options)
        self.output = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for data in iter(lambda: self.process.stdout.read1(65536), b""):
            self.output += data
        self.process.stdout.close()

    def wait(self, deadline=20):
        try:
            code = self.process.wait(scaled(deadline))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.words[0]} does not end: {self.text()[-2000:]}") from None
        self.thread.join(scaled(5))
        return code

    def succeeds(self, deadline=20):
        code = self.wait(deadline)
        assert code == 0, f"{' '.join(self.words)}\nexit {code}: {self.text()[-2000:]}"
        return self.output

    def text(self):
        return self.output.decode("utf-8", "replace")

    def terminate(self, deadline=10):
        """Asks it to end and waits."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait(deadline)

    def finish(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join(scaled(5))


def publish_words(source, url, loop=False):
    again = ["-stream_loop", "-1"] if loop else []
    return ["ffmpeg", "-v", "warning", "-re", *again, "-i", source, "-c", "copy", "-f", "flv", url]


def encode_words(url, key_frames_s=2, rate=25):
    """A small picture and a tone in real time, as encoders for low latency make it: no B-frames, key frames at even distances."""
    return ["ffmpeg", "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", f"testsrc2=s=320x180:r={rate}",
            "-re", "-f", "lavfi", "-i", "sine=f=440:r=44100", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
            "-g", str(key_frames_s * rate), "-sc_threshold", "0", "-b:v", "300k", "-pix_fmt", "yuv420p", "-threads", "1",
            "-c:a", "aac", "-b:a", "64k", "-f", "flv", url]


def probe_words(url):
    return ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", url]


def hash_words(source):
    """What ffmpeg reads, as a hash of each packet."""
    return ["ffmpeg", "-v", "error", "-i", source, "-map", "0", "-c", "copy", "-f", "framemd5", "-"]


def parse_hashes(output):
    """{stream: [hash]}"""
    out = {}
    for line in output.decode().splitlines():
        if re.match(r"\d+,", line):
            parts = [p.strip() for p in line.split(",")]
            out.setdefault(int(parts[0]), []).append(parts[5])
    return out


class Feeder:
    """Publishes tags again and again in real time from a thread, until it is told to stop; .sent is what went out."""

    def __init__(self, address, name, tags, speed=1.0, loops=None, abilities=None, length=None):
        self.publisher = rtmp.Publisher(address, name, abilities)
        self.stream = name.split("/", 1)[1]
        self.tags, self.speed, self.loops = tags, speed, loops
        self.length = length or max(ts for _, ts, _ in tags) + 1000 // FRAME_RATE
        self.stopped = threading.Event()
        self.error = None
        self.publisher.accepted()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def sent(self):
        return self.publisher.sent

    @property
    def connection(self):
        return self.publisher.connection

    def _run(self):
        began, turn = time.monotonic(), 0
        try:
            while not self.stopped.is_set() and (self.loops is None or turn < self.loops):
                for type, timestamp, body in self.tags:
                    if turn > 0 and (type == flv.DATA or self._is_config(type, body)):
                        continue
                    at = timestamp + turn * self.length
                    if self.stopped.wait(max(0, began + at / 1000 / self.speed - time.monotonic())):
                        return
                    self.publisher.send(type, at, body)
                turn += 1
        except rtmp.Closed as e:
            self.error = e

    @staticmethod
    def _is_config(type, body):
        return any(p.kind in ("config", "end") for p in flv.packets(type, body))

    def halt(self):
        """Sends no more, and stays connected."""
        self.stopped.set()
        self.thread.join(scaled(10))

    def finish(self):
        self.halt()
        self.publisher.finish(self.stream)

    def vanish(self):
        self.halt()
        self.publisher.vanish()


class Bucket:
    """Lets a reader read so many bits a second."""

    def __init__(self, bits_per_s):
        self.bytes_per_s = bits_per_s / 8
        self.began = time.monotonic()
        self.read = 0
        self.open = threading.Event()

    def __call__(self, size):
        self.read += size
        ahead = self.read / self.bytes_per_s - (time.monotonic() - self.began)
        if ahead > 0:
            self.open.wait(ahead)

    def free(self):
        """From now on as fast as it can."""
        self.bytes_per_s = float("inf")
        self.open.set()


def is_media(tag):
    return tag[0] != flv.DATA and not Feeder._is_config(tag[0], tag[2])


def assert_unbroken(got, sent):
    """What a player got, without what it was told first, is a stretch of what was sent, without a hole."""
    got = [t for t in got if is_media(t)]
    sent = [t for t in sent if is_media(t)]
    assert got, "nothing was played"
    place = {t: i for i, t in enumerate(sent)}
    assert got[0] in place, "the first frame was never sent"
    at = place[got[0]]
    for i, tag in enumerate(got):
        assert at + i < len(sent) and tag == sent[at + i], (
            f"frame {i} is {tag[0], tag[1], len(tag[2])}, expected {sent[at + i][:2] if at + i < len(sent) else 'nothing'}")


def assert_forward(got):
    """Times of each kind never go back, but for reordering inside of what the publisher sent."""
    newest = {}
    for type, timestamp, _ in got:
        if type == flv.DATA:
            continue
        assert timestamp >= newest.get(type, 0), f"type {type} went back from {newest[type]} to {timestamp}"
        newest[type] = timestamp


def keys(tags):
    """Times of key frames."""
    return [ts for type, ts, body in tags if type == flv.VIDEO and any(p.is_key for p in flv.packets(type, body))]


def next_key(times, at):
    return times[bisect.bisect_left(times, at)]
