"""Rows about publishers: two for one name, one that moves, one that stands still."""
import signal

from bed import GOP_MS, Bed
from load import now_us
from row import row
from rows_origin import judge_viewers
from waiting import wait_for


@row(11, "two publishers with the same credentials fight for a stream at two origins")
def fight(run):
    seconds = run.pick(30, 300)
    with Bed(media=run.media) as bed:
        first = bed.publish("live/cam1?token=one", origins=["o1"], session=1000, retry_ms=1000)
        first.wait_granted()
        watch = bed.watch(run.pick(100, 500)).wait_playing()
        second = bed.publish("live/cam1?token=one", origins=["o2"], session=2000, retry_ms=1000, host="pub2")
        run.sleep(seconds)
        switches = len(first.of("granted")) + len(second.of("granted")) - 1
        # Another publisher's credentials count for nothing.
        third = bed.publish("live/cam1?token=other", session=3000, retry_ms=300, host="pub3")
        third.wait(lambda: len(third.of("refused")) >= 3, 10, "refusals")
        told = {e["status"] for p in (first, second, third) for e in p.of("refused")}
        run.note(seconds=seconds, granted_to_other=len(third.of("granted")))
        third.finish(), second.finish()
        wait_for(lambda: bed.served_by() is not None, 15, "an owner")
        run.at_most("switches", switches, 8)
        run.at_least("switches", switches, 2)
        run.exact("told", sorted(told), ["NetStream.Publish.BadName"])
        run.exact("takeover_total", int(bed["e1"].metric("takeover_total") or 0) > 0, True)
        watch.wait_state(lambda s: s["stalled"] == 0, 15, "video")
        judge_viewers(run, watch)


@row(12, "a publisher is at another origin before its old one notices")
def moved_unnoticed(run):
    black, told, absent = [], [], []
    rounds = run.rounds or run.pick(3, 50)
    with Bed(media=run.media) as bed:
        publisher = bed.publish("live/cam1?token=one")
        publisher.wait_granted()
        watch = bed.watch(run.pick(200, 1000)).wait_playing()
        for _ in range(rounds):
            old = bed.origins[publisher.granted["url"]]
            start = len(bed[old].log.lines)
            rules = bed.lab.cut("pub", old)
            begin = now_us()
            publisher.move()
            granted = publisher.wait_granted(begin)
            bed[old].log.wait(r"(claim\.fenced|publish\.end) ", 10, start=start)
            told.append((now_us() - granted["at_us"]) / 1000)
            wait_for(lambda: bed[old].metric("publishers") == 0, 10, f"{old} to close its publisher")
            firsts = watch.wait_run(granted["session"])
            # A publisher that moves again and again is damped as a fight is: that is not the edges' doing.
            absent_us = granted["at_us"] - begin
            black += [(e["at_us"] - e["last_us"] - absent_us) / 1000 for e in firsts.values()]
            absent.append(absent_us / 1000)
            wait_for(lambda: bed[old].metric("relays") == 0, 10, f"no edge at {old}")
            bed.lab.heal(rules)
            run.sleep(run.random.uniform(0, GOP_MS / 1000))
        run.note(rounds=rounds)
        judge_viewers(run, watch)
        run.times("told_ms", told, 50)
        run.times("black_less_reconnect_ms", black, GOP_MS)
        run.times("reconnect_ms", absent, float("inf"))


@row(14, "a publisher stands still")
def publisher_stalls(run):
    with Bed(origins=("o1",), media=run.media) as bed:
        publisher = bed.publish("live/cam1?token=one", again=False)
        publisher.wait_granted()
        watch = bed.watch(run.pick(50, 200)).wait_playing()
        publisher.signal(signal.SIGSTOP)
        begin = now_us()
        wait_for(lambda: bed.redis.owner("live/cam1").get("state") == "lost", 10, "the claim to say lost")
        run.within("lost_ms", (now_us() - begin) / 1000, 5000 + 500)
        run.exact("told_early", watch.state["closed"])
        wait_for(lambda: not bed.redis.owner("live/cam1"), 20, "the claim to be released")
        run.within("released_ms", (now_us() - begin) / 1000, 15000 + 1000)
        watch.wait_state(lambda s: s["closed"] == watch.viewers, 5, "all players to be told")
        ends = watch.of("closed", begin)
        run.exact("rude_ends", sum(1 for e in ends if e["why"] not in ("end",) and not e["status"]))
        run.exact("back", watch.finish()["back"])

        # One that comes back in time is taken as if nothing had been.
        again = bed.publish("live/cam2?token=one", host="pub2")
        again.wait_granted()
        watch = bed.watch(run.pick(50, 200), "live/cam2", host="load2").wait_playing()
        again.signal(signal.SIGSTOP)
        wait_for(lambda: bed.redis.owner("live/cam2").get("state") == "lost", 10, "the claim to say lost")
        begin = now_us()
        again.signal(signal.SIGCONT)
        granted = again.wait_granted(begin)
        firsts = watch.wait_run(granted["session"])
        run.times("resume_ms", [(e["at_us"] - granted["at_us"]) / 1000 for e in firsts.values()], 250)
        judge_viewers(run, watch)
