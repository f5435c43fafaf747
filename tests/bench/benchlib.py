"""What the measurements share: servers on the loopback, one test stream, results as JSON lines."""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
HOST = "127.0.0.1"
READY_S = 10  # a server that does not answer by then has failed
STOP_S = 15  # from SIGTERM until it is killed
SECRET = "bench" * 8

# 1280x720, 25 fps, a key frame every 2 s, no B-frames, constant 1.5 Mbit/s with AAC: as encoders
# for live streams are set.  20 s, which sluice-bench plays round after round.
ENCODE = (
    "-f lavfi -i testsrc2=size=1280x720:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000 "
    "-t 20 -vf noise=alls=12:allf=t -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 "
    "-keyint_min 50 -sc_threshold 0 -bf 0 -b:v 1372k -maxrate 1372k -bufsize 686k -nal-hrd cbr "
    "-c:a aac -b:a 128k -f flv"
)

# 10 kbit/s: a picture a second.
IDLE = (
    "-f lavfi -i color=size=64x64:rate=1 -f lavfi -i sine=frequency=440:sample_rate=8000 -t 20 "
    "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 2 -bf 0 -c:a aac -b:a 8k -f flv"
)
TALKERS = ("play", "publish")  # commands of sluice-bench for people, too


def arguments(about):
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="a release build")
    parser.add_argument("--json", help="append the JSON lines to this file, not standard output")
    return parser


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def monotonic_us():
    """The clock of sluice-bench."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def percentile(values, percent):
    """The least value that `percent` of them do not exceed."""
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank - 1, 0)] if values else float("nan")


def median(values):
    return statistics.median(values) if values else float("nan")


def print_table(head, rows):
    cells = [head] + [[c if isinstance(c, str) else f"{c:.3f}" for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        line = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(line).rstrip())
    print(flush=True)


class Node:
    """A running sluice: its process and ports."""

    def __init__(self, process, ports):
        self.process = process
        self.pid = process.pid
        self.ports = ports

    def rtmp(self, stream):
        return f"rtmp://{HOST}:{self.ports['rtmp']}/live/{stream}"

    def flv(self, stream):
        return f"http://{HOST}:{self.ports['http']}/live/{stream}.flv"

    def playlist(self, stream):
        return f"http://{HOST}:{self.ports['http']}/live/{stream}/main.m3u8"

    def metric(self, name):
        url = f"http://{HOST}:{self.ports['admin']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"sluice_{name} "):
                    return float(line.split()[1])
        sys.exit(f"bench: no metric sluice_{name}")


class Bench:
    """Everything a run starts; leaving the `with` ends it, last started first."""

    def __init__(self, args, sources=None):
        self.sources = sources or self  # whose files are streamed
        self.sluice = os.path.join(args.build, "sluice")
        self.tool = os.path.join(args.build, "tests/bench/sluice-bench")
        self.state = tempfile.TemporaryDirectory(prefix="sluice-bench.")
        self.processes = []
        self.summary = []
        self.json = open(args.json, "a", encoding="utf-8") if args.json else sys.stdout
        for program in (self.sluice, self.tool):
            if not os.access(program, os.X_OK):
                sys.exit(f"bench: {program} is missing; build it or say --build DIR")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stop_all()
        self.state.cleanup()

    def path(self, name):
        return os.path.join(self.state.name, name)

    def start(self, name, command, **more):
        with open(self.path(name + ".log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **more)
        self.processes.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def stop_all(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in list(self.processes):
            self.stop(process)

    def wait_until(self, name, process, question):
        until = time.monotonic() + READY_S
        while not question():
            if process.poll() is not None or time.monotonic() > until:
                with open(self.path(name + ".log"), encoding="utf-8") as log:
                    sys.exit(f"bench: {name} does not answer:\n{log.read()[-2000:]}")
            time.sleep(0.02)

    def record(self, row):
        print(json.dumps(row), file=self.json, flush=True)

    def source(self):
        path = self.sources.path("source.flv")
        if not os.path.exists(path):
            quiet = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y"]
            subprocess.run(quiet + ENCODE.split() + [path], check=True)
        return path

    def idle_source(self):
        path = self.sources.path("idle.flv")
        if not os.path.exists(path):
            quiet = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y"]
            subprocess.run(quiet + IDLE.split() + [path], check=True)
        return path

    def usage(self, pid):
        """Processor time and memory of a process up to now."""
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
                "rss_kib": int(fields[21]) * os.sysconf("SC_PAGESIZE") // 1024}

    def sum_up(self, what, sluice, nginx=None, bare=None):
        """A line of the table at the end: one figure of sluice, and of what was measured beside it."""
        self.summary.append((what, sluice, nginx, bare))

    def print_summary(self):
        def cell(value):
            return "" if value is None or value != value else f"{value:.3g}"
        print("| | sluice | nginx | bare calls | sluice / nginx | sluice / bare |")
        print("|---|---|---|---|---|---|")
        for what, sluice, nginx, bare in self.summary:
            ratios = [sluice / of if of else None for of in (nginx, bare)]
            print("|", " | ".join([what, *map(cell, (sluice, nginx, bare, *ratios))]), "|")
        print()
        for line in self.versions():
            print(f"- {line}")
        sys.stdout.flush()

    def versions(self):
        """What was measured, and on what."""
        def say(*command):
            try:
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
            except (OSError, subprocess.CalledProcessError):
                return None
            return done.stdout.decode().split("\n")[0].strip()
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            models = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
        found = [say(self.sluice, "--version"), say("nginx", "-v"),
                 say("dpkg-query", "-Wf", "libnginx-mod-rtmp ${Version}", "libnginx-mod-rtmp"),
                 f"{len(models)} x {models[0]}, Linux {os.uname().release}",
                 "load average " + " ".join(f"{load:.1f}" for load in os.getloadavg())]
        return [line for line in found if line]

    def node(self, name, role="node", cpus=None, **settings):
        """Starts a node with one worker; settings: rtmp_merge_ms=50 is rtmp.merge_ms: 50."""
        ports = {p: free_port() for p in ("rtmp", "http", "cluster", "admin")}
        sets = {f"{p}.listen": f"{HOST}:{port}" for p, port in ports.items()}
        sets |= {"webrtc.listen": f"{HOST}:0"}
        sets |= {"node.id": name, "node.workers": 1, "node.advertise": HOST, "node.drain_s": 1}
        sets |= {key.replace("_", ".", 1): value for key, value in settings.items()}
        command = [self.sluice, "serve", "--role", role]
        for key, value in sets.items():
            command += ["--set", f"{key}={value}"]
        pin = {"preexec_fn": lambda: os.sched_setaffinity(0, cpus)} if cpus else {}
        process = self.start(name, command, **pin)
        self.wait_until(name, process, lambda: is_ready(ports["admin"]))
        return Node(process, ports)

    def redis(self):
        port = free_port()
        command = ["redis-server", "--bind", HOST, "--port", str(port), "--save", "", "--appendonly",
                   "no", "--dir", self.state.name]
        self.wait_until("redis", self.start("redis", command), lambda: accepts(port))
        return port

    def publish(self, url, seconds, *more, source=None):
        return self.start("publish", [self.tool, "publish", url, source or self.source(), "-q",
                                      "-t", str(seconds), *more])

    def command(self, name, *more):
        return [self.tool, name, *map(str, more), *(["-q", "-j"] if name in TALKERS else [])]

    def run_tool(self, *arguments):
        """Runs a command of sluice-bench to its end: the JSON objects it printed."""
        done = subprocess.run(self.command(*arguments), check=True, stdout=subprocess.PIPE)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start_tool(self, *arguments):
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE)
        self.processes.append(process)
        return process

    def finish_tool(self, process):
        lines = process.communicate()[0].splitlines()
        self.processes.remove(process)
        return [json.loads(line) for line in lines]


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) == 0


def is_ready(admin_port):
    connection = http.client.HTTPConnection(HOST, admin_port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
