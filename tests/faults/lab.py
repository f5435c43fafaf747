"""
Hosts on a bridge: network namespaces with one veth each, and what can go wrong between them.

enter() moves this process into network, mount and process namespaces of its own, so that nothing of a
lab can be seen from outside or outlive it: the kernel ends every process and frees every namespace in it
when this process is gone, however it ended.
"""
import contextlib
import ctypes
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys

INSIDE = "SLUICE_FAULTS_INSIDE"
OUTSIDE = "SLUICE_FAULTS_OUTSIDE"  # our process' number outside
NET = "10.77"
PRIVATE = "/run"  # in our mount namespace a file system of our own
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
NEEDED = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "ss": "iproute2",
          "nft": "nftables", "redis-server": "redis-server"}
libc = ctypes.CDLL(None, use_errno=True)


def fail(text):
    print(f"faults: {text}", file=sys.stderr)
    print("0 passed, 1 failed")
    sys.exit(1)


def enter():
    """Runs this program again inside; returns when it is."""
    if os.environ.get(INSIDE) == str(os.getpid()):
        # Files of a run live here, and go with it.
        sh("mount", "-t", "tmpfs", "tmpfs", PRIVATE)
        return
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            fail(f"{program} is missing: scripts/setup test installs it (package {package})")
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        words.insert(1, "--map-root-user")
    allowed = subprocess.run([*words, "true"], stderr=subprocess.PIPE, text=True)
    if allowed.returncode != 0:
        fail("no right to make namespaces (CAP_SYS_ADMIN; as another user than root: unprivileged user "
             f"namespaces, sysctl kernel.unprivileged_userns_clone): {allowed.stderr.strip()}")
    Quota.sweep()
    # In its namespace the program is process 1.
    inside = subprocess.Popen([*words, sys.executable, "-B", *sys.argv], preexec_fn=die_with_parent,
                              env={**os.environ, INSIDE: "1", OUTSIDE: str(os.getpid())})
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: inside.kill())
    sys.exit(inside.wait() & 0xff)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def sh(*words, check=True, input=None):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          input=input)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


class Quota:
    """At most a share of one processor for some processes, by cgroup v1 or v2 where this user may make one."""

    V1, V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
    PERIOD_US = 100000

    def __init__(self, pids, percent):
        self.pids, self.quota_us = pids, self.PERIOD_US * percent // 100
        self.path = self.kind = None

    @classmethod
    def root(cls):
        if os.path.exists(f"{cls.V1}/cpu.cfs_quota_us") and os.access(cls.V1, os.W_OK):
            return cls.V1, "v1"
        if os.path.exists(f"{cls.V2}/cgroup.subtree_control") and os.access(cls.V2, os.W_OK):
            return cls.V2, "v2"
        return None, "none"

    @classmethod
    def sweep(cls):
        """Takes away what a run that was killed left behind; namespaces cannot do that."""
        for path in glob.glob(f"{cls.root()[0]}/sluice-faults-*"):
            if not os.path.exists(f"/proc/{path.rsplit('-', 1)[1]}"):
                os.rmdir(path)

    def __enter__(self):
        root, self.kind = self.root()
        if root is None:
            return self
        self.path = f"{root}/sluice-faults-{os.environ[OUTSIDE]}"
        try:
            os.makedirs(self.path, exist_ok=True)
            if self.kind == "v1":
                self._write("cpu.cfs_period_us", self.PERIOD_US)
                self._write("cpu.cfs_quota_us", self.quota_us)
            else:
                self._write("cpu.max", f"{self.quota_us} {self.PERIOD_US}")
            for pid in self.pids:
                self._write("cgroup.procs", pid)
        except OSError as e:
            self.kind = f"none({e.strerror})"
        return self

    def _write(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="ascii") as f:
            f.write(str(value))

    def __exit__(self, *error):
        if self.path is None or not os.path.isdir(self.path):
            return
        for pid in self.pids:
            with contextlib.suppress(OSError), open(f"{os.path.dirname(self.path)}/cgroup.procs", "w", encoding="ascii") as f:
                f.write(str(pid))
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


class Host:
    """A namespace with an address of its own."""

    def __init__(self, lab, name, number, net):
        self.lab, self.name, self.address = lab, name, f"{NET}.{net}.{number}"
        self.path = f"{PRIVATE}/netns/{name}"
        sh("ip", "netns", "add", name)
        self.sh("ip", "link", "set", "lo", "up")
        self.join(self.port, "eth0", net, self.address)

    def join(self, port, device, net, address):
        """A leg on a bridge."""
        sh("ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", self.name)
        sh("ip", "link", "set", port, "master", f"br{net}", "up")
        self.sh("ip", "addr", "add", f"{address}/24", "dev", device)
        self.sh("ip", "link", "set", device, "up")

    @property
    def port(self):
        return f"p-{self.name}"

    @property
    def prefix(self):
        """Words before a command that is to run here."""
        return ["nsenter", f"--net={self.path}"]

    def sh(self, *words, **options):
        return sh(*self.prefix, *words, **options)

    def socket(self):
        """A socket of this namespace, for a process of any."""
        with open("/proc/thread-self/ns/net") as here, open(self.path) as there:
            self._enter(there)
            try:
                return socket.socket()
            finally:
                self._enter(here)

    @staticmethod
    def _enter(file):
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def unplug(self):
        sh("ip", "link", "set", self.port, "down")

    def plug(self):
        sh("ip", "link", "set", self.port, "up")


class Lab:
    """The bridge, its hosts and the rules by which frames between them are dropped."""

    def __init__(self):
        self.hosts = {}
        self.drops = []
        os.makedirs(f"{PRIVATE}/netns", exist_ok=True)
        sh("ip", "link", "set", "lo", "up")
        self.nets = set()
        self.net(0)
        sh("nft", "-f", "-", input="table bridge faults {\n"
           " chain forward { type filter hook forward priority 0; policy accept; }\n}\n")

    def net(self, number):
        if number not in self.nets:
            sh("ip", "link", "add", f"br{number}", "type", "bridge")
            sh("ip", "link", "set", f"br{number}", "up")
            self.nets.add(number)

    def host(self, name, net=0):
        if name not in self.hosts:
            self.hosts[name] = Host(self, name, len(self.hosts) + 2, net)
        return self.hosts[name]

    def route(self, net):
        """A router between net 0 and another, which passes no multicast; hosts are there already."""
        self.net(net)
        router = self.host(f"router{net}")
        router.join(f"p-router{net}.1", "eth1", net, f"{NET}.{net}.254")
        router.sh("sysctl", "-qw", "net.ipv4.ip_forward=1")
        return router

    # --- what gets lost ---

    def _apply(self):
        rules = "".join(f"add rule bridge faults forward {rule} drop\n" for rule in self.drops)
        sh("nft", "-f", "-", input="flush chain bridge faults forward\n" + rules)

    def drop(self, rule):
        """Frames that an nft rule fits are lost from now on: 'tcp flags fin'."""
        self.drops.append(rule)
        self._apply()
        return rule

    def restore(self, rule):
        self.drops.remove(rule)
        self._apply()

    def one_way(self, a, b):
        return self.drop(f"ip saddr {self.hosts[a].address} ip daddr {self.hosts[b].address}")

    def cut(self, a, b):
        """Nothing passes between two hosts; heal() takes it back."""
        return [self.one_way(a, b), self.one_way(b, a)]

    def heal(self, rules=None):
        for rule in list(self.drops) if rules is None else rules:
            self.restore(rule)

    def close(self):
        for host in self.hosts.values():
            sh("ip", "link", "del", host.port, check=False)
            sh("ip", "netns", "del", host.name, check=False)
        self.hosts.clear()
        for number in self.nets:
            sh("ip", "link", "del", f"br{number}", check=False)
        sh("nft", "delete", "table", "bridge", "faults", check=False)
