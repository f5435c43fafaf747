"""What the process is allowed to do: another user than root, no capabilities, a sandbox, a hardened unit."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest

from node import BINARY, ROOT, environment
from waiting import SLOW

pytestmark = pytest.mark.core
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def status(pid, task=None):
    """The lines of /proc/PID/status."""
    where = f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status"
    return dict(line.split(":\t", 1) for line in pathlib.Path(where).read_text().splitlines())


def tasks(pid):
    return [status(pid, t) for t in os.listdir(f"/proc/{pid}/task")]


@as_root
def test_root_is_left_behind(node, feed, play):
    """Every thread, for good: no uid, no group, no capability of root's."""
    feed(node, "live/cam1")
    play(node, "live/cam1").wait_media(10)
    nobody = node.log.wait(r"process\.user ")
    have = tasks(node.pid)
    assert len(have) >= 3
    for t in have:
        uids, gids, groups = (t[k].split() for k in ("Uid", "Gid", "Groups"))
        assert f"uid={uids[0]}" in nobody
        assert "0" not in uids + gids + groups and len(set(uids)) == len(set(gids)) == 1
        assert all(int(t[k], 16) == 0 for k in ("CapPrm", "CapEff", "CapInh", "CapAmb"))
        assert t["NoNewPrivs"] == "1"
    # What /proc says of the process itself is still its own to read.
    assert node.metric("process_open_fds") > 10


@pytest.mark.skipif(SLOW, reason="sanitizers trace their own process")
def test_every_thread_is_in_the_sandbox(node):
    assert all(t["Seccomp"] == "2" for t in tasks(node.pid))


def test_without_a_sandbox(start):
    node = start("node", {"process.seccomp": False})
    assert all(t["Seccomp"] == "0" and t["NoNewPrivs"] == "1" for t in tasks(node.pid))


@as_root
def test_root_stays_root_when_it_is_told_to(start):
    node = start("node", {"process.user": "root"})
    assert node.log.find(r"warn .* process\.root")
    assert status(node.pid)["Uid"].split() == ["0"] * 4


@as_root
def test_a_port_that_only_root_may_open(start):
    node = start("node", {"process.user": "nobody", "http.listen": "127.0.0.9:80"})
    assert node.address("http")[1] == 80
    status_code, _, _ = node.request("/healthz", port="http")
    assert status_code == 200


def test_a_user_that_is_not_there():
    done = subprocess.run([BINARY, "serve", "--user", "no-such-user"], capture_output=True, text=True, timeout=20,
                          env=environment())
    assert done.returncode == 78 and "process.user_unknown user=no-such-user" in done.stderr


@as_root
def test_files_that_the_user_cannot_read_are_told(start, tmp_path):
    """A reload would fail; what was read at the start goes on."""
    conf = tmp_path / "s.yaml"
    conf.write_text("log:\n  level: info\n")
    tmp_path.chmod(0o700)
    node = start("node", {"process.user": "nobody"}, arguments=["-c", str(conf)])
    assert str(conf) in node.log.wait(r"process\.unreadable")


@as_root
def test_a_reload_reads_files_as_the_user(start):
    with tempfile.TemporaryDirectory(prefix="sluice-test.", dir="/tmp") as folder:
        conf = pathlib.Path(folder, "s.yaml")
        conf.write_text("log:\n  level: info\n")
        pathlib.Path(folder).chmod(0o755)
        node = start("node", {"process.user": "nobody"}, arguments=["-c", str(conf)])
        assert not node.log.find(r"process\.unreadable")
        node.signal(signal.SIGHUP)
        node.log.wait(r"config\.reloaded")


def test_the_unit_is_hardened(tmp_path):
    text = (ROOT / "conf" / "sluice.service.in").read_text()
    for name, value in (("BINDIR", "/usr/bin"), ("CONFDIR", "/etc/sluice")):
        text = text.replace(f"@SLUICE_{name}@", value)
    unit = tmp_path / "sluice.service"
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true", str(unit)],
                          capture_output=True, text=True, timeout=60)
    level = re.search(r"Overall exposure level for sluice\.service: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= 2.0, done.stdout
    assert "SystemCallFilter=seccomp\n" in text, "no set of systemd's has it: our own filter could not be loaded"


@pytest.mark.skipif(SLOW, reason="sanitizers trace their own process")
def test_a_debugger_may_look(node):
    """The sandbox is around what the process does, not around what is done to it; and that it stood still for a
    while is not taken for a loop that is stuck."""
    done = subprocess.run(["gdb", "-q", "-batch", "-p", str(node.pid), "-ex", "bt 1", "-ex", "shell sleep 3", "-ex", "detach"],
                          capture_output=True, text=True, timeout=60)
    assert "#0" in done.stdout, done.stdout + done.stderr
    assert node.request("/healthz")[0] == 200
    assert not node.log.find(r"loop\.dead")
