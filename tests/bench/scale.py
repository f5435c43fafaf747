"""The parts of `compare` that are about many: players that join at once, workers, connections, streams."""

import contextlib
import os
import sys
import time

from benchlib import HOST, median, print_table

SERVER_CPU = 0  # of what is pinned; the load has the others
BURST_MERGE_MS = 50  # about what is merged by itself then


@contextlib.contextmanager
def load_apart():
    """What is started inside leaves the server's processor alone, where there is another."""
    all_cpus = os.sched_getaffinity(0)
    others = all_cpus - {SERVER_CPU}
    if SERVER_CPU in all_cpus and others:
        os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cpus)


def start_node(bench, name, **settings):
    """A node that takes whatever comes from here, on a processor of its own."""
    return bench.node(name, cpus={SERVER_CPU} & os.sched_getaffinity(0), limits_loop_lag_ms=0,
                      limits_trusted=f"[{HOST}/32]", hls_segment_ms=1000, hls_window_segments=3,
                      **settings)


def say(what):
    print(f"compare: {what}", file=sys.stderr)


# ---- a crowd that joins ----

def join_crowd(bench, node, url, playing, joining, rate):
    """Some play, many join within a moment: what both saw, and what it cost."""
    watch = bench.start_tool("play", url, "-n", playing, "-r", 500, "-w", 1, "-t",
                             joining // rate + 2, "--no-check")
    # In time for what it measures, not for its share of the processor.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, watch.pid, -10)
    time.sleep(playing / 500 + 2)
    before = bench.usage(node.pid)
    begin_bytes = node.metric("bytes_out_total")
    storm = bench.run_tool("play", url, "-n", joining, "-r", rate, "-w", 0, "-t", 1,
                           "--no-check")[-1]
    storm["storm_cpu_s"] = bench.usage(node.pid)["cpu_s"] - before["cpu_s"]
    storm["storm_gb"] = (node.metric("bytes_out_total") - begin_bytes) / 1e9
    storm["playing_gap_ms"] = bench.finish_tool(watch)[-1]["gap_max_ms"]
    return storm


def storm(bench, args):
    bare, table = [], []
    node = start_node(bench, "storm")
    with load_apart():
        bench.publish(node.rtmp("s"), 3600)
        time.sleep(args.lead)
        cases = [(way, joining, rate) for joining, rate in args.crowds for way in args.ways]
        rows = {case: [] for case in cases}
        for _ in range(args.rounds):
            bare.append(bench.run_tool("bare", "-f", bench.source(), "-n", args.playing, "-t",
                                       args.seconds, "-k", BURST_MERGE_MS)[-1]["cpu_s_per_gb"])
            for way, joining, rate in cases:
                say(f"storm: {joining} join by {way}, {rate} a second")
                row = join_crowd(bench, node, getattr(node, way)("s"), args.playing, joining, rate)
                rows[way, joining, rate].append(row)
                bench.record({"bench": "compare", "what": "storm", "way": way, "rate": rate, **row})
                time.sleep(1)
    for (way, joining, rate), of in rows.items():
        def middle(key, of=of):
            return median([r[key] for r in of])
        least_s = median([r["storm_gb"] for r in of]) * median(bare)
        name = f"{joining} join at {rate}/s, {way.upper()}"
        table.append([name, str(min(r["framed"] for r in of)), middle("first_frame_p50_ms"),
                      middle("first_frame_p99_ms"), max(r["first_frame_p99_ms"] for r in of),
                      middle("playing_gap_ms"), max(r["playing_gap_ms"] for r in of),
                      middle("storm_gb"), middle("storm_cpu_s"), least_s,
                      middle("storm_cpu_s") / least_s if least_s else float("nan")])
        bench.sum_up(f"{name}: first frame p50, ms", middle("first_frame_p50_ms"))
        bench.sum_up(f"{name}: first frame p99, ms", middle("first_frame_p99_ms"))
        bench.sum_up(f"{name}: longest silence of {args.playing} that play, ms",
                     middle("playing_gap_ms"))
    print_table([f"{args.playing} play", "framed", "first p50 ms", "p99", "worst", "playing gap ms",
                 "worst", "GB", "CPU s", "bytes alone, bare", "x"], table)


# ---- more workers ----

def workers(bench, args):
    """Processor time per GB of one worker and of two: capacity is its inverse, times the workers."""
    counts = (1, 2)
    nodes = {n: bench.node(f"workers-{n}", node_workers=n, rtmp_merge_ms=args.workers_merge,
                           limits_loop_lag_ms=0, hls_segment_ms=1000, hls_window_segments=3)
             for n in counts}
    rows = {n: [] for n in counts}
    for n in counts:
        bench.publish(nodes[n].rtmp("s"), 3600)
    time.sleep(args.lead)
    for _ in range(args.rounds):
        for n in counts:
            say(f"{n} workers")
            row = bench.run_tool("play", nodes[n].rtmp("s"), "-n", args.crowd, "-r", args.rate, "-w",
                                 args.rest, "-t", args.seconds, "--no-check", "-P",
                                 nodes[n].pid)[-1]
            rows[n].append(row)
            bench.record({"bench": "compare", "what": "workers", "workers": n, **row})
    cpu = {n: median([r["cpu_s_per_gb"] for r in rows[n]]) for n in counts}
    capacity = {n: n * cpu[1] / cpu[n] if cpu[n] else float("nan") for n in counts}
    print_table([f"1 x {args.crowd}, {args.workers_merge} ms", "CPU s/GB", "capacity, x one worker"],
                [[f"{n} workers", cpu[n], capacity[n]] for n in counts])
    bench.sum_up("capacity of two workers, x one worker", capacity[2])


# ---- connections, streams ----

def connections(bench, args):
    """Players of a stream of next to nothing: what a connection holds."""
    table = []
    with load_apart():
        for way in args.ways:
            node = start_node(bench, f"connections-{way}")
            bench.publish(node.rtmp("s"), 3600, source=bench.idle_source())
            time.sleep(args.lead)
            say(f"{args.connections} connections, {way}")
            row = bench.run_tool("play", getattr(node, way)("s"), "-n", args.connections, "-r",
                                 max(args.connections // 5, 500), "-w", args.rest, "-t", args.seconds,
                                 "--no-check", "-P", node.pid)[-1]
            bench.record({"bench": "compare", "what": "connections", "way": way, **row})
            percent = row["cpu_s"] / row["window_s"] * 100
            table.append([f"{args.connections} of {way.upper()}", row["rss_kib_per_viewer"],
                          row["tcp_kib_per_viewer"], percent])
            bench.sum_up(f"{args.connections} idle connections ({way.upper()}), KiB each",
                         row["rss_kib_per_viewer"])
            bench.stop_all()
    print_table(["", "KiB each", "kernel's KiB", "% of a core"], table)


def one_count(bench, args, count):
    """Publishers of 10 kbit/s, then a player of each: per stream, and per GB of those players."""
    node = start_node(bench, f"streams-{count}")
    before = bench.usage(node.pid)
    bench.publish(node.rtmp("s%d"), 3600, "-n", str(count), source=bench.idle_source())
    time.sleep(args.lead + count / 200)
    begin = bench.usage(node.pid)
    time.sleep(args.seconds)
    end = bench.usage(node.pid)
    row = bench.run_tool("play", node.rtmp("s%d"), "-n", count, "-m", count, "-r", args.rate, "-w",
                         args.rest, "-t", args.seconds, "--no-check", "-P", node.pid)[-1]
    row |= {"streams": count,
            "us_per_stream_s": (end["cpu_s"] - begin["cpu_s"]) / args.seconds * 1e6 / count,
            "kib_per_stream": (end["rss_kib"] - before["rss_kib"]) / count,
            "us_played_s": row["cpu_s"] / row["window_s"] * 1e6 / count}
    bench.record({"bench": "compare", "what": "streams", **row})
    bench.stop_all()
    return row


def streams(bench, args):
    table = []
    with load_apart():
        for count in args.many_streams:
            say(f"{count} streams")
            row = one_count(bench, args, count)
            table.append([f"{count} streams of 10 kbit/s", row["us_per_stream_s"],
                          row["us_played_s"], row["kib_per_stream"], row["rss_kib_per_viewer"]])
    print_table(["", "CPU us per s and stream", "with a player each", "KiB each", "KiB a player"],
                table)
    most = table[-1]
    bench.sum_up(f"{most[0]}: CPU us per second and stream", most[1])
    bench.sum_up(f"{most[0]}: the same, x that of {table[0][0].split()[0]} streams",
                 most[1] / table[0][1] if table[0][1] else float("nan"))
    bench.sum_up(f"{most[0]}: KiB each", most[3])
