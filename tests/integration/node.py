"""Processes under test: sluice nodes, redis-server. Their ports come from the kernel, their logs are kept."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

from waiting import Box, scaled, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SLUICE_BINARY", ROOT / "build" / "sluice")).resolve()
HOST = "127.0.0.1"

# What these tests start is small and leaves soon.
SETTINGS = {
    "node.workers": 2,
    "node.drain_s": 5,
    "node.advertise": HOST,
    "rtmp.listen": f"{HOST}:0",
    "http.listen": f"{HOST}:0",
    "cluster.listen": f"{HOST}:0",
    "admin.listen": f"{HOST}:0",
    "webrtc.listen": f"{HOST}:0",
    "stream.idle_pull_ms": 200,
    "stream.lost_ms": 300,
    "stream.linger_ms": 100,
    "limits.loop_lag_ms": 0,
    "process.watchdog_ms": 1000 * scaled(2),  # a loop that is stuck is found in every test
}
# A handler's time is the machine's matter.
NORMAL = [r" loop\.slow ", r" loop\.stuck ", r" loop\.gap ", r" clock\.offset ",
          # Of limits, their own tests ask for the line.
          r" limit\.reached ",
          # Tests are run by root, and the folders of a test are root's.
          r" process\.root ", r" process\.unreadable "]
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z (debug|info|warn|error) \S+ \S+")


class Log:
    """A process' standard error, line by line."""

    def __init__(self, stream):
        self.lines = []
        self.box = Box()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for raw in stream:
            with self.box:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
        stream.close()

    def find(self, pattern, start=0):
        return next((l for l in self.lines[start:] if re.search(pattern, l)), None)

    def count(self, pattern):
        return sum(1 for l in self.lines if re.search(pattern, l))

    def wait(self, pattern, deadline=10, start=0):
        return self.box.wait(lambda: self.find(pattern, start), deadline, f"the log line {pattern}",
                             state=lambda: "\n".join(self.lines[-20:]))


def fields(line):
    """key=value pairs of a log line."""
    return {k: v.strip('"') for k, v in re.findall(r'(\w+)=("[^"]*"|\S*)', line)}


def environment(extra=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    return {**kept, **(extra or {})}


class Node:
    base = SETTINGS

    def __init__(self, role="node", settings=None, id=None, environ=None, arguments=(), prefix=()):
        self.expected = list(NORMAL)
        self.quiet_end = True
        self.id = id or role
        merged = {**self.base, "node.id": self.id, **(settings or {})}
        words = [*prefix, str(BINARY), "serve", "--role", role, *arguments]
        for key, value in merged.items():
            text = json.dumps(value) if not isinstance(value, str) else value
            words += ["--set", f"{key}={text}"]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, env=environment(environ))
        self.pid = self.process.pid
        self.ports = {}
        self.log = Log(self.process.stderr)
        self.json_log = merged.get("log.format") == "json"
        self.sentinel_connections = 1 if merged.get("cluster.redis.sentinels") else 0

    def ready(self):
        line = self.log.wait(r"listen\.ready", 10)
        found = json.loads(line) if self.json_log else fields(line)
        self.ports = {k: v for k, v in found.items() if k in ("rtmp", "http", "cluster", "admin", "rtmps", "https", "webrtc")}
        return self

    def address(self, name):
        if not self.ports:
            raise ConnectionRefusedError(f"{self.id} does not listen yet")
        host, port = self.ports[name].rsplit(":", 1)
        return host.strip("[]"), int(port)

    @property
    def rtmp(self):
        return self.address("rtmp")

    @property
    def http(self):
        return self.address("http")

    @property
    def admin(self):
        return self.address("admin")

    def rtmp_url(self, name):
        return f"rtmp://{HOST}:{self.rtmp[1]}/{name}"

    def flv_url(self, name):
        return f"http://{HOST}:{self.http[1]}/{name}.flv"

    # --- asking ---

    def request(self, path, method="GET", port="admin", headers=None):
        """(status, headers, body)"""
        host, number = self.address(port)
        request = urllib.request.Request(f"http://{host}:{number}{path}", method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=scaled(10)) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read()

    def get_json(self, path, port="admin"):
        status, _, body = self.request(path, port=port)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def metrics(self):
        """name -> value, and name{labels} -> value"""
        status, _, body = self.request("/metrics")
        assert status == 200
        out = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name.removeprefix("sluice_")] = float(value)
        return out

    def metric(self, name):
        return self.metrics().get(name)

    def wait_metric(self, name, value, deadline=10):
        wanted = value if callable(value) else lambda have: have == value
        def look():
            have = self.metrics()
            self.last_metric = have.get(name)
            return self.last_metric is not None and wanted(self.last_metric)
        wait_for(look, deadline, f"{self.id}: {name} {value if not callable(value) else 'as wanted'}",
                 state=lambda: f"{name}={self.last_metric}")

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def cpu_s(self):
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    # --- the end ---

    def expect(self, *patterns):
        """Lines at warn or error that belong to the test."""
        self.expected += patterns

    def unexpected(self):
        out = []
        for line in self.log.lines:
            if any(re.search(p, line) for p in self.expected):
                continue
            if self.json_log and line.startswith("{"):
                if json.loads(line)["level"] in ("warn", "error"):
                    out.append(line)
                continue
            match = LINE.match(line)
            if match is None or match.group(1) in ("warn", "error"):
                out.append(line)
        return out

    def is_running(self):
        return self.process.poll() is None

    def nothing_left(self, deadline=10):
        """Nobody is connected but the one that asks. Frames stay for a while: they are counted at the end."""
        names = ("viewers", "viewers_rtmp", "viewers_flv", "publishers", "pulls", "relays", "rtc_peers")
        seen = {}
        def look():
            have = self.metrics()
            seen.clear()
            seen.update({n: have.get(n) for n in names if have.get(n) != 0})
            if have["connections_open"] > 1 + have["redis_up"] * 2 + self.sentinel_connections:
                seen["connections_open"] = have["connections_open"]
            return not seen
        wait_for(look, deadline, f"{self.id} to have nothing left", state=lambda: str(seen))

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline=10):
        try:
            code = self.process.wait(scaled(deadline))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.id} does not end; log:\n" + "\n".join(self.log.lines[-20:])) from None
        self.log.thread.join(scaled(5))
        return code

    def kill(self):
        """As kill -9: nothing is asked of it any more."""
        self.quiet_end = False
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def finish(self):
        """The end of the test: problems as text."""
        problems = []
        try:
            if self.is_running():
                try:
                    self.nothing_left()
                except (AssertionError, OSError) as e:
                    problems.append(str(e))
                code = self.stop()
                if code != 0:
                    problems.append(f"{self.id}: exit code {code}")
            if self.quiet_end and not self.log.find(r"\bframes\W{1,3}0\b"):
                problems.append(f"{self.id}: frames were left at the end")
            elif self.quiet_end and self.process.returncode != 0:
                problems.append(f"{self.id}: ended with {self.process.returncode}")
        except AssertionError as e:
            problems.append(str(e))
        finally:
            if self.is_running():
                self.process.kill()
                self.process.wait()
        self.log.thread.join(scaled(5))
        problems += [f"{self.id}: {line}" for line in self.unexpected()]
        return problems


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


class Redis:
    """A redis-server of our own on one port, without persistence, that may die and come back empty."""

    def __init__(self, folder, words=(), environ=None):
        self.folder, self.words, self.environ = folder, words, environ
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        words = ["redis-server", "--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no",
                 "--dir", str(self.folder), "--daemonize", "no", *self.words]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=environment(self.environ))
        wait_for(self.answers, 10, "redis-server")

    def answers(self):
        import redis
        try:
            return self.client().ping()
        except redis.RedisError:
            return False

    def client(self):
        import redis
        return redis.Redis(HOST, self.port, decode_responses=True, socket_timeout=scaled(5))

    @property
    def url(self):
        return f"redis://{HOST}:{self.port}/0"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        if self.process.poll() is None:
            self.kill()


SECRET = "a secret of the test cluster, 0123456789"


class Cluster:
    """redis-server and nodes that find each other through it."""

    def __init__(self, redis, start):
        self.redis, self.start_node = redis, start
        self.nodes = {}

    def start(self, role, id, settings=None, **options):
        found = {"cluster.backend": "redis", "cluster.redis.url": self.redis.url, "cluster.secret": SECRET}
        node = self.start_node(role, {**found, **(settings or {})}, id=id, **options)
        self.nodes[id] = node
        return node

    def owner(self, name):
        return self.redis.client().hgetall(f"sluice:{{default}}:stream:{name}")

    def wait_owner(self, name, node=None, deadline=10, **wanted):
        def look():
            have = self.owner(name)
            if node is not None and have.get("node") != node:
                return None
            return have if all(have.get(k) == v for k, v in wanted.items()) else None
        return wait_for(look, deadline, f"the owner of {name}", state=lambda: str(self.owner(name)))

    def wait_no_owner(self, name, deadline=10):
        wait_for(lambda: not self.owner(name), deadline, f"{name} to be nobody's")


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


class Masterless:
    """Nodes that find each other by datagrams on loopback: "multicast" in a group of their own, or "static" by the first
    node's address."""

    def __init__(self, kind, start):
        self.kind, self.start_node = kind, start
        self.group = f"239.255.{os.getpid() % 250 + 1}.{free_udp_port() % 250 + 1}:{free_udp_port()}"
        self.first = None
        self.nodes = {}

    def settings(self):
        """Of the next node."""
        common = {"cluster.backend": self.kind, "cluster.secret": SECRET}
        if self.kind == "multicast":
            return {**common, "cluster.multicast.group": self.group, "cluster.multicast.interface": "lo"}
        port = free_udp_port()
        peers = [] if self.first is None else [f"{HOST}:{self.first}"]
        self.first = self.first or port
        return {**common, "cluster.static.listen": f"{HOST}:{port}", "cluster.static.peers": peers}

    def start(self, role, id, settings=None, **options):
        node = self.start_node(role, {**self.settings(), **(settings or {})}, id=id, **options)
        self.nodes[id] = node
        return node

    def start_all(self, *nodes, settings=None):
        """("origin", "o1") …; returns when all know all."""
        out = [self.start(role, id, settings) for role, id in nodes]
        self.wait_known()
        return out

    def wait_known(self, deadline=5):
        alive = {id: n for id, n in self.nodes.items() if n.is_running()}
        for node in alive.values():
            wait_for(lambda n=node: nodes_of(n) == set(alive), deadline, f"{node.id} to know {set(alive)}",
                     state=lambda n=node: str(nodes_of(n)))


def nodes_of(node):
    return {n["id"] for n in node.get_json("/api/v1/nodes")["nodes"]}


def owner_of(node, name):
    """The stream's owner as the node has it, or None."""
    status, _, body = node.request(f"/api/v1/streams/{name}")
    return json.loads(body).get("owner") if status == 200 else None
