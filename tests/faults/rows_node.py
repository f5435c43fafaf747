"""Rows about what surrounds a node: its clock, its processor, connections that die silently; and its end."""
import os
import pathlib
import signal
import struct
import subprocess
import time

from bed import GOP_MS, HERE, Bed
from lab import Quota
from load import now_us
from row import row
from rows_origin import judge_viewers
from rows_redis import unharmed
from waiting import scaled, wait_for


class Clock:
    """A wall clock that can be set, for a node that is started with environ()."""

    def __init__(self, folder, name):
        self.path = pathlib.Path(folder) / f"clock-{name}"
        self.set(0)

    def set(self, seconds):
        with open(self.path, "r+b" if self.path.exists() else "w+b") as f:
            f.write(struct.pack("=q", seconds))

    @staticmethod
    def shim(folder):
        out = pathlib.Path(folder) / "jump.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", out, HERE / "jump.c"], check=True)
        return out

    def environ(self, shim):
        options = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": str(shim), "SLUICE_JUMP": str(self.path),
                "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}


@row(16, "the wall clock of a node jumps by an hour")
def clock_jumps(run):
    with Bed(origins=(), edges=(), media=run.media) as bed:
        folder = bed.folder.name
        shim, clocks = Clock.shim(folder), {}
        for id, role in (("o1", "origin"), ("o2", "origin"), ("e1", "edge"), ("e2", "edge")):
            clocks[id] = Clock(folder, id)
            bed.start(role, id, environ=clocks[id].environ(shim))
        bed.origins, bed.edges = ("o1", "o2"), ("e1", "e2")
        bed.publish().wait_granted()
        watch = bed.watch(run.pick(50, 500)).wait_playing()
        number = 0
        for seconds in (3600, 0, -3600, 0):
            for id in ("o1", "e1"):
                clocks[id].set(seconds)
                run.sleep(run.pick(1, 3))
                spot = len(bed[id].log.lines)
                # What begins now is found, signed and played as ever.
                number += 1
                name, host = f"live/jump{number}", f"pub{number + 1}"
                load = bed.publish(f"{name}?token=one", host=host, session=1000 * number)
                load.wait_granted()
                other = bed.watch(20, name, host=f"load{number + 1}").wait_playing()
                first = [(e["at_us"] - e["connect_us"]) / 1000 for e in other.of("framed")]
                run.within(f"first_{number}_ms", max(first), 1000)
                # Its claim moves to the other origin, whose clock is another.
                begin = now_us()
                load.move()
                session = load.wait_granted(begin)["session"]
                other.wait_run(session)
                end = other.finish()
                run.exact("others_harmed", end["back"] + end["stale"] + end["closed"])
                off = round(wall_of(bed[id], spot) - time.time()) - seconds
                run.at_most("jump_error_s", abs(off), 10)
                load.finish()
        unharmed(run, watch)


def wall_of(node, since):
    """Its wall clock, by its newest log line since then."""
    stamp = node.log.lines[since:][-1].split()[0].rstrip("Z")
    return time.mktime(time.strptime(stamp.split(".")[0], "%Y-%m-%dT%H:%M:%S")) - time.timezone


@row(19, "no processor time left")
def no_processor(run):
    with Bed(media=run.media) as bed:
        bed.publish().wait_granted()
        watch = bed.watch(run.pick(50, 200)).wait_playing()
        relinks = lambda: sum(int(bed[e].metric("pull_reconnects_total")) for e in bed.edges)
        hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
        misses = 0
        try:
            with Quota([n.pid for n in bed.nodes.values()], percent=50) as quota:
                end = now_us() + run.pick(12, 60) * 1000000
                while now_us() < end:
                    misses += len(bed.nodes) - bed.redis.client().exists(
                        *[f"sluice:{{default}}:node:{id}" for id in bed.nodes])
                    run.sleep(0.2)
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        run.note(quota=quota.kind)
        run.exact("node_keys_missed", misses)
        run.exact("false_deaths", relinks())
        run.exact("owner", bed.served_by(), "o1")
        watch.wait_state(lambda s: s["stalled"] == 0, 10, "video")
        run.note(gap_ms=watch.state["gap_max_ms"])
        judge_viewers(run, watch)


@row(23, "connections that are dead and do not say so")
def half_open(run):
    # A player that takes nothing would be closed for that first: here only the kernel's word counts.
    with Bed(media=run.media, settings={"viewer.stalled_ms": 120000}) as bed:
        publisher = bed.publish("live/cam1?token=one", origins=["o1"])
        publisher.wait_granted()
        watch = bed.watch(run.pick(40, 200), edges=["e2"]).wait_playing()
        dead = bed.watch(run.pick(40, 200), edges=["e1"], host="dead").wait_playing()

        begin = now_us()
        rules = bed.lab.cut("dead", "e1")
        bed["e1"].wait_metric("viewers", 0, 40)
        run.within("viewers_ms", (now_us() - begin) / 1000, 20000 + 2000)
        bed.lab.heal(rules)
        dead.finish()

        # A link that is reset is opened again; nobody sees it.
        start = len(bed["e2"].log.lines)
        begin = now_us()
        bed["e2"].host.sh("ss", "-t", "-K", "dst", bed["o1"].host.address, "dport", "=", "7000")
        bed["e2"].log.wait(r"upstream\.down", 5, start=start)
        run.within("link_reset_ms", (now_us() - begin) / 1000, 100)
        run.sleep(2)
        unharmed(run, watch, "reset_")

        begin = now_us()
        rules = bed.lab.cut("pub", "o1")
        wait_for(lambda: bed.redis.owner("live/cam1").get("state") == "lost", 15, "the claim to say lost")
        run.within("publisher_ms", (now_us() - begin) / 1000, 5000 + 500)
        wait_for(lambda: bed["o1"].metric("publishers") == 0, 5, "no publisher")
        bed.lab.heal(rules)


@row(25, "nodes are drained")
def drained(run):
    drain_s = run.pick(9, 30)
    viewers = run.pick(200, 1000)
    with Bed(edges=("e1", "e2", "e3"), media=run.media, settings={"node.drain_s": drain_s}) as bed:
        publisher = bed.publish("live/cam1?token=one")
        publisher.wait_granted()
        steady = bed.watch(viewers, edges=["e2"], host="steady").wait_playing()

        # An origin: its publisher goes to the other one, nobody who plays sees more than that.
        begin = now_us()
        bed["o1"].signal(signal.SIGTERM)
        granted = publisher.wait_granted(begin, drain_s)
        gone = publisher.last("lost")
        firsts = steady.wait_run(granted["session"])
        run.exact("origin_exit", bed["o1"].wait_exit(drain_s + 2), 0)
        run.within("origin_exit_ms", (now_us() - begin) / 1000, drain_s * 1000)
        run.times("black_ms", [(e["at_us"] - e["last_us"] - granted["at_us"] + gone["at_us"]) / 1000
                               for e in firsts.values()], GOP_MS + 250)
        run.exact("owner", bed.served_by(), "o2")
        run.exact("origin_key", bed.redis.client().exists("sluice:{default}:node:o1"))

        # An edge: half of its players are at the other one all the time, all of them are in the end.
        urls = [u for name in ("rtmp_url", "flv_url") for e in ("e1", "e2") for u in [getattr(bed[e], name)("live/cam1")]]
        movers = bed.watch(viewers, urls=urls, edges=["e1"], again=True).wait_playing()
        begin = now_us()
        bed["e1"].signal(signal.SIGTERM)
        wait_for(lambda: not bed["e1"].is_ready(), 2, "/readyz to say no")
        run.within("unready_ms", (now_us() - begin) / 1000, 500)
        run.exact("edge_exit", bed["e1"].wait_exit(drain_s + 2), 0)
        run.within("edge_exit_ms", (now_us() - begin) / 1000, drain_s * 1000)
        movers.wait_state(lambda s: s["playing"] == viewers, 10, "all to play at e2")
        closed = [e["at_us"] for e in movers.of("closed", begin)]
        run.note(viewers=viewers, spread_ms=round((closed[-1] - closed[0]) / 1000))
        run.exact("moved", len(closed), viewers // 2)
        end = movers.finish()
        run.exact("refused", end["refused"])
        run.exact("back", end["back"])
        judge_viewers(run, steady)

        # One whose players read nothing ends all the same, and one without players at once.
        stuck = bed.watch(20, edges=["e2"], host="stuck").wait_playing()
        stuck.signal(signal.SIGSTOP)
        begin = now_us()
        bed["e2"].signal(signal.SIGTERM)
        run.exact("stuck_exit", bed["e2"].wait_exit(drain_s + 5), 0)
        run.within("stuck_exit_ms", (now_us() - begin) / 1000, drain_s * 1000)
        begin = now_us()
        bed["e3"].signal(signal.SIGTERM)
        run.exact("idle_exit", bed["e3"].wait_exit(scaled(5)), 0)
        run.within("idle_exit_ms", (now_us() - begin) / 1000, 1000)

        # A second signal is an order.
        begin = now_us()
        bed["o2"].signal(signal.SIGTERM)
        bed["o2"].log.wait(r"node\.drain ", 5)
        bed["o2"].signal(signal.SIGTERM)
        bed["o2"].wait_exit(5)
        run.within("second_signal_ms", (now_us() - begin) / 1000, 1000)
