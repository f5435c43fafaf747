"""Rows about viewers and edges: slow ones, an edge that dies, one without descriptors."""
import signal

from bed import Bed
from load import now_us
from row import row
from rows_redis import unharmed
from waiting import wait_for


@row(13, "slow players, and players that read nothing, among others")
def slow_viewers(run):
    good, slow, stuck = run.pick((120, 40, 10), (800, 180, 20))
    with Bed(edges=("e1",), media=run.media) as bed:
        bed.publish().wait_granted()
        watch = bed.watch(good).wait_playing()
        crawling = bed.watch(slow, host="slow", kbit=100)
        crawling.wait(lambda: crawling.state["playing"] == slow, 30, "slow players to begin")
        # With small receive buffers, which are full at once.
        frozen = bed.watch(stuck, host="stuck", kbit=10000).wait_playing()
        before = bed["e1"].memory_kib()
        frozen.signal(signal.SIGSTOP)
        begin = now_us()
        closed = lambda why: int(bed["e1"].metric('closed_total{reason="%s"}' % why) or 0)
        wait_for(lambda: closed("stalled") + closed("too_slow") >= stuck, 60, "those that read nothing to be closed")
        run.within("stuck_closed_ms", (now_us() - begin) / 1000, 30000)
        run.sleep(run.pick(0, 60))
        run.note(good=good, slow=slow, stuck=stuck, skips=int(bed["e1"].metric("cursor_skips_total")),
                 stalled=closed("stalled"), too_slow=closed("too_slow"),
                 memory_grew_kib=bed["e1"].memory_kib() - before)
        state = crawling.finish()
        run.exact("slow_back", state["back"])
        run.at_least("slow_holes", state["holes"] + state["closed"], 1)
        frozen.finish()
        unharmed(run, watch)


@row(15, "edge kill -9; its players go to the other one at once")
def edge_killed(run):
    viewers = run.pick(100, 500)
    with Bed(origins=("o1",), media=run.media) as bed:
        publisher = bed.publish()
        publisher.wait_granted()
        urls = [bed[e].rtmp_url("live/cam1") for e in bed.edges]
        watch = bed.watch(viewers, urls=urls[:1] + urls[1:], again=True, edges=["e1"])
        watch.wait_playing()
        # Half of them began at the other one: this one's alone is counted.
        wait_for(lambda: bed["e1"].metric("viewers") == viewers / 2, 5, "players at e1")
        begin = now_us()
        bed.kill("e1")
        wait_for(lambda: bed["o1"].metric("relays") == 1, 5, "the pull of the dead edge to be freed")
        run.within("pull_freed_ms", (now_us() - begin) / 1000, 100)
        watch.wait_state(lambda s: s["playing"] == viewers, 15, "all to play again")
        back = [(e["at_us"] - begin) / 1000 for e in watch.of("framed", begin)]
        run.note(viewers=viewers)
        run.exact("moved", len(back), viewers // 2)
        run.exact("disconnects", watch.last("state")["closed"], viewers // 2)
        run.exact("pulls", int(bed["e2"].metric("pulls_total")), 1)
        run.times("back_ms", back, 1000)
        wait_for(lambda: not bed.redis.client().exists("sluice:{default}:node:e1"), 12, "the key of e1 to expire")
        run.within("node_key_gone_ms", (now_us() - begin) / 1000, 10500)

        # A herd at an edge that is cold: it comes back, the other one dies.
        start = now_us()
        bed.restart("e1")
        run.within("ready_ms", (now_us() - start) / 1000, 300)
        begin = now_us()
        bed.kill("e2")
        watch.wait_state(lambda s: s["playing"] == viewers, 15, "all to play again")
        run.times("herd_ms", [(e["at_us"] - begin) / 1000 for e in watch.of("framed", begin)], 1000)
        run.exact("herd_pulls", int(bed["e1"].metric("pulls_total")), 1)
        run.exact("herd_relays", int(bed["o1"].metric("relays")), 1)
        end = watch.finish()
        run.exact("back", end["back"])


@row(21, "an edge runs out of descriptors")
def few_descriptors(run):
    with Bed(edges=("e1",), media=run.media) as bed:
        bed.publish().wait_granted()
        edge = bed["e1"]
        edge.end()
        edge = bed.start("edge", "e1", prefix=["prlimit", "--nofile=300"])
        watch = bed.watch(100).wait_playing()
        crowd = bed.watch(400, host="crowd", again=True)
        crowd.wait(lambda: crowd.state.get("refused", 0) + crowd.state.get("closed", 0) > 200, 15, "refusals")
        run.sleep(run.pick(3, 20))
        cpu = edge.cpu_s()
        run.sleep(2)
        run.note(playing=crowd.state["playing"], refused=int(edge.metric("connections_refused_total")))
        run.at_most("cpu_percent", round((edge.cpu_s() - cpu) / 2 * 100), 100)
        run.at_most("descriptors", edge.descriptors(), 290)
        run.exact("redis_up", edge.metric("redis_up"), 1)
        # Links to other nodes have theirs.
        bed.publish("live/cam2", host="pub2").wait_granted()
        run.exact("ready", edge.request("/healthz")[0], 200)
        crowd.finish()
        wait_for(lambda: edge.metric("viewers") == 100, 10, "the crowd to be gone")
        bed.watch(50, "live/cam2", host="load2").wait_playing().finish()
        unharmed(run, watch)
