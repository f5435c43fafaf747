"""
Random faults, one after the other and two at once, against two origins, three edges and Redis under load.
The whole plan is drawn from the seed before anything begins, so that a seed is the same run again.
"""
import json
import random
import signal
import subprocess
import threading

from bed import BENCH, Bed
from load import now_us
from row import row
from waiting import SLOW, scaled, wait_for

STREAMS = 4
VIEWERS = 40  # of each edge: they come back to it when it does
ORIGINS, EDGES = ("o1", "o2"), ("e1", "e2", "e3")
CALM_S = 15
AFTERMATH_US = 3000000  # after a fault is over its effects may still be seen for so long
# Logs that are full before memory is looked at.
SHORT = {"hls.segment_ms": 1000, "hls.window_segments": 3}
FULL_S = 12
LOOK_S = 0.5            # between two looks at the edges' epochs
GUESTS = 4              # of each edge and protocol, who come and go: HLS and WebRTC
GUESTS_STAY_S = 8
RIVAL_SESSIONS = 1000000  # of each rival publisher, so that none of another's looks like one that comes back
RSS_SLACK_KIB = 4096    # beside the 5 %: what an allocator keeps of a burst


class Fault:
    """Something that begins, lasts, and is over; `touched`: the nodes whose streams and players may notice."""

    def __init__(self, kind, bed_of, rng):
        self.kind, self.bed_of = kind, bed_of
        self.lasts_s, self.undo = 0, None
        getattr(self, f"draw_{kind}")(rng)

    @property
    def bed(self):
        return self.bed_of()

    def __str__(self):
        return f"{self.kind} {' '.join(sorted(self.named))} {self.lasts_s:.1f} s".replace("  ", " ")

    def _draw(self, rng, nodes, least_s, most_s, touched=None):
        self.named = set(nodes)
        self.touched = self.named if touched is None else set(touched)
        self.lasts_s = rng.uniform(least_s, most_s)

    # --- what there is ---

    def draw_kill_origin(self, rng):
        self._draw(rng, [rng.choice(ORIGINS)], 0.5, 4)

    def draw_kill_edge(self, rng):
        self._draw(rng, [rng.choice(EDGES)], 0.5, 4)

    def draw_hang_origin(self, rng):
        self._draw(rng, [rng.choice(ORIGINS)], 0.5, 8)

    def draw_hang_edge(self, rng):
        self._draw(rng, [rng.choice(EDGES)], 0.5, 4)

    def draw_origin_without_redis(self, rng):
        self._draw(rng, [rng.choice(ORIGINS)], 2, 12, ())

    def draw_edge_without_redis(self, rng):
        self._draw(rng, [rng.choice(EDGES)], 2, 12, ())

    def draw_cut(self, rng):
        self._draw(rng, [rng.choice(EDGES), rng.choice(ORIGINS)], 1, 10)
        self.way = rng.choice(("both", "to", "from"))

    def draw_kill_redis(self, rng):
        self._draw(rng, [], 0.5, 5)

    def draw_hang_redis(self, rng):
        self._draw(rng, [], 1, 12)

    def draw_move_publishers(self, rng):
        self._draw(rng, [], 0, 0.1, ORIGINS)

    def draw_reset_links(self, rng):
        self._draw(rng, [rng.choice(EDGES)], 0, 0.1)

    def draw_crowd(self, rng):
        self._draw(rng, [], 2, 6)
        self.edge, self.kbit = rng.choice(EDGES), rng.choice((0, 0, 40))

    def draw_other_publisher(self, rng):
        self._draw(rng, [], 2, 6)

    # --- how it is done ---

    def begin(self):
        getattr(self, self.kind)()

    def end(self):
        if self.undo is not None:
            self.undo()

    def _one(self):
        return min(self.named)

    def _kill(self):
        if self._one() in self.bed.nodes:
            self.bed.kill(self._one())
            self.undo = lambda: self.bed.restart(self._one())

    kill_origin = kill_edge = _kill

    def _hang(self):
        node = self.bed.nodes.get(self._one())
        if node is not None:
            node.signal(signal.SIGSTOP)
            self.undo = lambda: node.is_running() and node.signal(signal.SIGCONT)

    hang_origin = hang_edge = _hang

    def _without_redis(self):
        rules = self.bed.lab.cut(self._one(), "redis")
        self.undo = lambda: self.bed.lab.heal(rules)

    origin_without_redis = edge_without_redis = _without_redis

    def cut(self):
        edge, origin = sorted(self.named)
        lab = self.bed.lab
        rules = {"both": lambda: lab.cut(edge, origin), "to": lambda: [lab.one_way(edge, origin)],
                 "from": lambda: [lab.one_way(origin, edge)]}[self.way]()
        self.undo = lambda: lab.heal(rules)

    def kill_redis(self):
        self.bed.redis.kill()
        self.undo = self.bed.redis.start

    def hang_redis(self):
        self.bed.redis.signal(signal.SIGSTOP)
        self.undo = lambda: self.bed.redis.signal(signal.SIGCONT)

    def move_publishers(self):
        self.bed.publishers.move()

    def reset_links(self):
        self.bed.lab.host(self._one()).sh("ss", "-t", "-K", "dport", "=", "7000", check=False)

    def crowd(self):
        if self.edge in self.bed.nodes:
            load = self.bed.watch(40, "live/c%d", edges=[self.edge], host="crowd", modulo=STREAMS, kbit=self.kbit)
            self.undo = load.finish

    def other_publisher(self):
        there = [o for o in ORIGINS if o in self.bed.nodes]
        self.bed.rivals += 1
        load = self.bed.publish("live/c0?token=other", origins=there, host="other", session=self.bed.rivals * RIVAL_SESSIONS)
        self.undo = lambda: self._rival_ends(load)

    def _rival_ends(self, load):
        self.bed.rivals_taken += bool(load.granted)
        load.finish()


KINDS = [name[5:] for name in dir(Fault) if name.startswith("draw_")]
# Two that stop the same thing twice, or leave no origin at all, say nothing.
CLASHES = ({"kill_origin", "hang_origin"}, {"kill_edge", "hang_edge"}, {"kill_redis", "hang_redis"})


def clash(a, b):
    if a.kind == b.kind or a.named & b.named:
        return True
    return any({a.kind, b.kind} <= c for c in CLASHES)


def plan(seed, seconds, bed_of):
    """[(second, faults)], every 5 to 15 s, of which a third are two at once."""
    rng, at, out = random.Random(seed), 3.0, []
    while at < seconds:
        faults = [Fault(rng.choice(KINDS), bed_of, rng)]
        if rng.random() < 0.33:
            other = Fault(rng.choice(KINDS), bed_of, rng)
            faults += [] if clash(faults[0], other) else [other]
        out.append((at, faults))
        at += max(rng.uniform(5, 15), max(f.lasts_s for f in faults) + 1)
    return out


class Epochs(threading.Thread):
    """Looks at what the edges take for the truth: it never goes back (I1)."""

    def __init__(self, bed):
        super().__init__(daemon=True)
        self.bed, self.stopped = bed, threading.Event()
        self.highest, self.fell, self.looks = {}, [], 0

    def run(self):
        while not self.stopped.wait(LOOK_S):
            for id in EDGES:
                node = self.bed.nodes.get(id)
                if node is not None:
                    self.look(node)

    def look(self, node):
        try:
            streams = node.get_json("/api/v1/streams")["streams"]
        except (OSError, AssertionError, ValueError):
            return
        self.looks += 1
        for s in streams:
            key, epoch = (node.pid, s["name"]), int(s["epoch"] or 0)
            if epoch < self.highest.get(key, 0):
                self.fell.append((node.id, s["name"], self.highest[key], epoch))
            self.highest[key] = max(epoch, self.highest.get(key, 0))

    def finish(self):
        self.stopped.set()
        self.join(scaled(10))


class Guests(threading.Thread):
    """Players of HLS and of WebRTC at one edge, who come again and again, whatever becomes of the edge meanwhile."""

    def __init__(self, bed, edge):
        super().__init__(daemon=True)
        self.bed, self.edge, self.stopped, self.tool = bed, edge, threading.Event(), None
        self.rounds = {"hls": 0, "webrtc": 0}  # in which somebody has played

    def words(self, protocol, number):
        url = f"http://{self.bed.lab.host(self.edge).address}:8080/live/c{number % STREAMS}"
        if protocol == "webrtc":
            return ["whep", "-u", url, "-n", GUESTS, "-t", GUESTS_STAY_S, "-w", 0]
        return ["play", url + "/index.m3u8", "-n", GUESTS, "-t", GUESTS_STAY_S, "-w", 0, "-j", "-q"]

    def run(self):
        number = 0
        while not self.stopped.wait(LOOK_S):
            number += 1
            for protocol in self.rounds:
                command = [*self.bed.lab.host("load").prefix, BENCH, *self.words(protocol, number)]
                self.tool = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                said = self.tool.communicate()[0].strip().splitlines()
                report = json.loads(said[-1]) if said and said[-1].startswith("{") else {}
                self.rounds[protocol] += bool(report.get("framed"))

    def finish(self):
        self.stopped.set()
        self.join(scaled(GUESTS_STAY_S + 30))


class Story:
    """When what was touched: an event that nobody's fault explains is a finding."""

    def __init__(self):
        self.spans = []

    def begin(self, fault, owners):
        self.spans.append([now_us(), None, fault.touched, owners, str(fault)])
        return self.spans[-1]

    @staticmethod
    def end(span):
        span[1] = now_us()

    def explains(self, at_us, edge, stream):
        for begin, end, touched, owners, _ in self.spans:
            if begin <= at_us <= (end or at_us) + AFTERMATH_US:
                if edge in touched or owners.get(stream) in touched:
                    return True
        return False


def owners_now(bed):
    try:
        return {f"live/c{i}": bed.served_by(f"live/c{i}") for i in range(STREAMS)}
    except Exception:
        return None


def unexplained(story, edge, watch, kinds):
    out = []
    for kind in kinds:
        for e in watch.of(kind):
            stream = f"live/c{e['viewer'] % STREAMS}"
            if not any(story.explains(at, edge, stream) for at in (e.get("from_us", e["at_us"]), e["at_us"])):
                out.append((kind, edge, stream, e["viewer"]))
    return out


def agree(bed):
    """I5: Redis' owner is the one origin that thinks so, and every edge's source; the differences."""
    out = []
    for i in range(STREAMS):
        name = f"live/c{i}"
        have = bed.redis.owner(name)
        seen = {id: {s["name"]: s for s in n.get_json("/api/v1/streams")["streams"]} for id, n in bed.nodes.items()}
        mine = [id for id in ORIGINS if seen[id].get(name, {}).get("local") == "publish"]
        if mine != [have.get("node")]:
            out.append(f"{name}: {mine} publish, Redis says {have.get('node')}")
        for id in EDGES:
            s = seen[id].get(name, {})
            if (s.get("owner"), s.get("epoch")) != (have.get("node"), have.get("epoch")):
                out.append(f"{name}: {id} has {s.get('owner')} {s.get('epoch')}, Redis {have.get('node')} {have.get('epoch')}")
    return out


def weigh(bed):
    """{pid: (kib, descriptors)}, without those of connections: publishers and links may be elsewhere now."""
    return {n.pid: (n.memory_kib(), n.descriptors() - int(n.metric("connections_open"))) for n in bed.nodes.values()}


def grown(before, after):
    """I4, for those that lived through it all."""
    out = []
    for pid, (kib, fds) in before.items():
        if pid not in after:
            continue
        if after[pid][1] > fds * 1.05 + 2:
            out.append(f"descriptors {fds} to {after[pid][1]}")
        if not SLOW and after[pid][0] > kib * 1.05 + RSS_SLACK_KIB:
            out.append(f"memory {kib} to {after[pid][0]} KiB")
    return out


def play(run, bed, story, seconds):
    begin = now_us()
    last = owners_now(bed)
    for at, faults in plan(run.seed, seconds, lambda: bed):
        run.sleep(max(0, at - (now_us() - begin) / 1e6))
        last = owners_now(bed) or last
        print(f"   {at:5.1f} s: {', '.join(map(str, faults))}", flush=True)
        spans = []
        for fault in faults:
            spans.append(story.begin(fault, last))
            fault.begin()
        for fault, span in sorted(zip(faults, spans), key=lambda p: p[0].lasts_s):
            run.sleep(max(0, fault.lasts_s - (now_us() - span[0]) / 1e6))
            fault.end()
        for span in spans:
            story.end(span)
        bed.count += len(faults)


@row("chaos", "random faults")
def chaos(run):
    minutes = run.args.minutes or run.pick(3, 8)
    print(f"   seed {run.seed}: scripts/faults chaos --seed {run.seed} --minutes {minutes:g}", flush=True)
    with Bed(origins=ORIGINS, edges=EDGES, media=run.media, settings=SHORT) as bed:
        bed.count = bed.rivals = bed.rivals_taken = 0
        bed.publishers = bed.publish("live/c%d?token=one", publishers=STREAMS)
        bed.publishers.wait(lambda: len(bed.publishers.of("granted")) == STREAMS, 20, "publishers")
        watches = {e: bed.watch(VIEWERS, "live/c%d", edges=[e], again=True, modulo=STREAMS) for e in EDGES}
        for watch in watches.values():
            watch.wait_playing()
        run.sleep(FULL_S)
        before, story, epochs = weigh(bed), Story(), Epochs(bed)
        guests = [Guests(bed, e) for e in EDGES]
        for thread in (epochs, *guests):
            thread.start()
        play(run, bed, story, minutes * 60)
        run.sleep(CALM_S)
        for thread in (epochs, *guests):
            thread.finish()
        run.note(seed=run.seed, minutes=f"{minutes:g}", faults=bed.count, rivals_taken=bed.rivals_taken, viewers=VIEWERS * len(EDGES),
                 sessions=bed.publishers.granted["session"])
        run.exact("I1_epochs_fell", len(epochs.fell))
        run.at_least("I1_looks", epochs.looks, 1)
        for protocol in guests[0].rounds:
            run.at_least(f"rounds_{protocol}", sum(g.rounds[protocol] for g in guests), 1)
        wait_for(lambda: not agree(bed), 1, "agreement", state=lambda: "; ".join(agree(bed)))
        for watch in watches.values():
            watch.wait_state(lambda s: s["playing"] == VIEWERS and s["stalled"] == 0, 5, "everybody to play")
        run.exact("I4_grown", grown(before, weigh(bed)), [])
        run.note(loop_slow=sum(int(n.metric("loop_slow_total")) for n in bed.nodes.values()))
        ends = [w.finish() for w in watches.values()]
        for name in ("back", "stale", "keyless"):
            run.exact(f"I2_{name}", sum(e[name] for e in ends))
        run.note(first=[w.of(name)[0] for w in watches.values() for name in ("back", "stale") if w.of(name)])
        kinds = ("hole", "closed") if SLOW else ("hole", "closed", "stall")
        found = [u for edge, w in watches.items() for u in unexplained(story, edge, w, kinds)]
        run.exact("I7_unexplained", found, [])
        run.note(**{n: sum(e[n] for e in ends) for n in ("holes", "closed", "stalls", "frames")})
