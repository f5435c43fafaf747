"""A cluster in a lab: Redis and nodes on hosts of their own, publishers and players on others."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))

import node as integration
from lab import PRIVATE, Lab
from load import Publish, Watch
from waiting import scaled, wait_for

BUILD = integration.BINARY.parent
BENCH = pathlib.Path(os.environ.get("SLUICE_BENCH", BUILD / "tests" / "bench" / "sluice-bench"))
GOP_MS = 1000
# 25 fps, a key frame every second, no B-frames, about 150 kbit/s with AAC.
ENCODE = ("-f lavfi -i testsrc2=size={size}:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 -t 10 "
          "-c:v libx264 -preset veryfast -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -b:v 120k -maxrate 120k "
          "-bufsize 60k -pix_fmt yuv420p -c:a aac -b:a 32k -f flv")
# 5 fps without sound, for a thousand of them.
LIGHT = ("-f lavfi -i testsrc2=size=128x72:rate=5 -t 10 -c:v libx264 -preset veryfast -bf 0 -g 5 -keyint_min 5 "
         "-sc_threshold 0 -b:v 16k -pix_fmt yuv420p -f flv")
# Timers are the defaults, or no bound of a row would mean anything.
SETTINGS = {
    "node.workers": 1,
    "process.watchdog_ms": 1000 * scaled(2),
    "node.drain_s": 5,
    "rtmp.listen": "0.0.0.0:1935",
    "http.listen": "0.0.0.0:8080",
    "cluster.listen": "0.0.0.0:7000",
    "admin.listen": "127.0.0.1:8090",
    "limits.trusted": '["10.77.0.0/16"]',
    "cluster.secret": "a secret of the fault lab, 0123456789",
}
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer)")


def make_media(folder):
    """Two files whose sequence headers differ: the connections of a publisher play them in turn. And a light one."""
    out = []
    for name, options in (("a", ENCODE.format(size="256x144")), ("b", ENCODE.format(size="192x108")), ("c", LIGHT)):
        path = pathlib.Path(folder) / f"{name}.flv"
        words = ["ffmpeg", "-v", "error", "-y", *options.split(), str(path)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, timeout=scaled(60))
        out.append(path)
    return out


class Node(integration.Node):
    """A node on a host of its own; it is asked over its own loopback, whatever is cut."""

    base = SETTINGS

    def __init__(self, host, role, settings, environ=None, prefix=()):
        self.host, self.role, self.settings = host, role, settings
        self.environ = environ
        merged = {"node.advertise": host.address, **settings}
        super().__init__(role, merged, id=host.name, environ=environ, prefix=[*host.prefix, *prefix])

    @property
    def name(self):
        return self.id

    def request(self, path, method="GET", port="admin", headers=None, timeout=5):
        sock = self.host.socket()
        sock.settimeout(scaled(timeout))
        number = self.address(port)[1]
        try:
            sock.connect(("127.0.0.1", number))
            connection = http.client.HTTPConnection("127.0.0.1", number)
            connection.sock = sock
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            sock.close()

    def rtmp_url(self, name):
        return f"rtmp://{self.host.address}:1935/{name}"

    def flv_url(self, name):
        return f"http://{self.host.address}:8080/{name}.flv"

    def is_ready(self):
        try:
            return self.request("/readyz")[0] == 200
        except OSError:
            return False

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def problems(self):
        """What may not happen in any row."""
        out = [f"{self.id}: {line}" for line in self.log.lines if SANITIZER.search(line)]
        if not self.is_running() and self.quiet_end and self.process.returncode != 0:
            out.append(f"{self.id}: ended with {self.process.returncode}")
        return out

    def end(self):
        """SIGTERM; problems as text."""
        if self.is_running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.wait_exit(int(self.settings.get("node.drain_s", 5)) + 10)
            except AssertionError as e:
                self.kill()
                return [str(e)]
        self.log.thread.join(scaled(5))
        left = [] if not self.quiet_end or self.log.find(r"\bframes\W{1,3}0\b") else [f"{self.id}: frames were left at the end"]
        return self.problems() + left


class Redis:
    """redis-server on a host of its own, asked through a Unix socket."""

    def __init__(self, host, folder):
        self.host, self.folder = host, folder
        self.path = f"{folder}/redis-{host.name}.sock"
        self.start()

    def start(self):
        words = ["redis-server", "--bind", "0.0.0.0", "--port", "6379", "--protected-mode", "no", "--save", "",
                 "--appendonly", "no", "--dir", self.folder, "--unixsocket", self.path]
        self.process = subprocess.Popen([*self.host.prefix, *words], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(self.answers, 10, "redis-server")

    def client(self):
        import redis
        return redis.Redis(unix_socket_path=self.path, decode_responses=True, socket_timeout=scaled(5))

    def answers(self):
        import redis
        try:
            return self.client().ping()
        except (redis.RedisError, OSError):
            return False

    @property
    def url(self):
        return f"redis://{self.host.address}:6379/0"

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def owner(self, stream):
        return self.client().hgetall(f"sluice:{{default}}:stream:{stream}")


class Bed:
    """What a row runs on; leaving the `with` ends it and tells what went wrong."""

    newest = None  # whose logs are shown when a row fails

    def __init__(self, origins=("o1", "o2"), edges=("e1", "e2"), settings=None, media=None):
        Bed.newest = self
        self.folder = tempfile.TemporaryDirectory(dir=PRIVATE)
        self.lab = Lab()
        self.nodes, self.dead, self.loads = {}, [], []
        self.settings = settings or {}
        self.problems = []
        self.origins, self.edges = origins, edges
        self.media = media or make_media(self.folder.name)

    def __enter__(self):
        try:
            self.redis = Redis(self.lab.host("redis"), self.folder.name)
            for id in self.origins:
                self.start("origin", id)
            for id in self.edges:
                self.start("edge", id)
            wait_for(lambda: self.redis.client().zcard("sluice:{default}:nodes") == len(self.nodes), 10,
                     "all nodes to be known")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        problems = self.close()
        if kind is None and problems:
            raise AssertionError("\n".join(problems))
        self.problems = problems

    def close(self):
        for load in reversed(self.loads):
            load.finish()
        for node in self.nodes.values():
            if node.is_running():
                node.signal(signal.SIGCONT)
                node.signal(signal.SIGTERM)
        for node in self.nodes.values():
            self.problems += node.end()
        for node in self.dead:
            self.problems += node.problems()
        if hasattr(self, "redis") and self.redis.process.poll() is None:
            self.redis.kill()
        self.lab.close()
        self.folder.cleanup()
        return self.problems

    def logs(self, lines=40):
        return "\n".join(f"--- {n.id}\n" + "\n".join(n.log.lines[-lines:])
                         for n in (*self.dead, *self.nodes.values()))

    # --- nodes ---

    def start(self, role, id, settings=None, wait=True, **options):
        merged = {"cluster.backend": "redis", "cluster.redis.url": self.redis.url, **self.settings, **(settings or {})}
        node = Node(self.lab.host(id), role, merged, **options)
        self.nodes[id] = node
        node.ready()
        if wait:
            wait_for(node.is_ready, 10, f"{id} to be ready")
        return node

    def wait_known(self, id, deadline=10):
        """Redis knows this process of it."""
        instance = self.nodes[id].get_json("/api/v1/node")["instance"]
        wait_for(lambda: self.redis.client().hget(f"sluice:{{default}}:node:{id}", "instance") == instance, deadline,
                 f"{id} to be known")

    def __getitem__(self, id):
        return self.nodes[id]

    def kill(self, id):
        """kill -9; it can be started again."""
        node = self.nodes.pop(id)
        node.kill()
        self.dead.append(node)
        return node

    def restart(self, id):
        """Another process in its place, after kill()."""
        old = next(n for n in reversed(self.dead) if n.id == id)
        return self.start(old.role, id, {k: v for k, v in old.settings.items()}, environ=old.environ)

    # --- loads ---

    def publish(self, stream="live/cam1", origins=None, host="pub", light=False, **options):
        """One publisher with credentials of its own, which goes to the origins in turn."""
        urls = [self.nodes[o].rtmp_url(stream) for o in origins or self.origins]
        load = Publish(BENCH, self.lab.host(host), urls, self.media[2:] if light else self.media[:2], **options)
        self.loads.append(load)
        return load

    def watch(self, viewers, stream="live/cam1", edges=None, host="load", urls=None, **options):
        """Players, RTMP and FLV in equal parts, on all edges."""
        nodes = [self.nodes[e] for e in edges or self.edges]
        if urls is None:
            urls = [n.rtmp_url(stream) for n in nodes] + [n.flv_url(stream) for n in nodes]
        load = Watch(BENCH, self.lab.host(host), urls, viewers, **options)
        self.loads.append(load)
        return load

    def served_by(self, stream="live/cam1"):
        """The owner that Redis names."""
        return self.redis.owner(stream).get("node")
