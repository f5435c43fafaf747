"""Rows about origins that die, hang, or cannot be reached."""
import signal

from bed import GOP_MS, Bed
from load import now_us, percentile
from row import row
from waiting import wait_for


def lose_the_origin(bed, publisher, watch, how):
    """The origin in charge goes; the publisher is taken elsewhere: (its new session, all first frames of it)."""
    gone = bed.origins[publisher.granted["url"]]
    begin = now_us()
    how(gone)
    granted = publisher.wait_granted(begin, 30)
    return begin, granted, watch.wait_run(granted["session"], 30), gone


def judge_viewers(run, watch, disconnects=0):
    """What nobody may see in any row."""
    end = watch.finish()
    run.exact("disconnects", end["closed"] + end["refused"], disconnects)
    run.exact("back", end["back"])
    run.exact("stale", end["stale"])
    run.exact("keyless", end["keyless"])
    return end


@row(1, "origin kill -9, the publisher comes back at another")
def origin_killed(run):
    rounds = run.rounds or run.pick(3, 50)
    viewers = run.pick(200, 1000)
    resume, black, over = [], [], []
    with Bed(media=run.media) as bed:
        publisher = bed.publish("live/cam1?token=one")
        publisher.wait_granted()
        watch = bed.watch(viewers).wait_playing()
        for _ in range(rounds):
            begin, granted, firsts, gone = lose_the_origin(bed, publisher, watch, bed.kill)
            reconnect_ms = (granted["at_us"] - begin) / 1000
            for e in firsts.values():
                resume.append((e["at_us"] - granted["at_us"]) / 1000)
                black.append((e["at_us"] - e["last_us"]) / 1000)
                over.append(black[-1] - reconnect_ms)
            run.at_least("configs", min(e["configs"] for e in firsts.values()), 1)
            bed.restart(gone)
            bed.wait_known(gone)
            # The next one dies anywhere in a group of pictures.
            run.sleep(run.random.uniform(0, GOP_MS / 1000))
        run.note(rounds=rounds, viewers=viewers)
        judge_viewers(run, watch)
        run.times("resume_ms", resume, 250)
        run.times("black_ms", black, float("inf"))
        run.times("black_less_reconnect_ms", over, GOP_MS + 250)


@row(2, "origin kill -9, nobody comes back")
def origin_gone(run):
    hold_s = run.pick(4, 30)
    viewers = run.pick(200, 1000)
    with Bed(origins=("o1",), media=run.media, settings={"viewer.hold_ms": hold_s * 1000}) as bed:
        bed.publish(again=False).wait_granted()
        watch = bed.watch(viewers).wait_playing()
        begin = now_us()
        bed.kill("o1")
        wait_for(lambda: not bed.redis.owner("live/cam1"), 12, "the key to expire")
        run.within("key_gone_ms", (now_us() - begin) / 1000, 10500)
        watch.wait_state(lambda s: s["closed"] == viewers, hold_s + 10, "all players to be told")
        ends = watch.of("closed", begin)
        held = [(e["at_us"] - begin) / 1000 for e in ends]
        run.note(viewers=viewers, hold_s=hold_s)
        # RTMP is told, and an HTTP body comes to its end.
        told = {"NetStream.Play.UnpublishNotify", "NetStream.Play.StreamNotFound", "NetStream.Play.Stop"}
        rude = [e for e in ends if e["why"] != "end" and e["status"] not in told]
        run.exact("rude_ends", sorted({(e["why"], e["status"]) for e in rude}), [])
        run.at_least("held_min_ms", round(min(held)), hold_s * 1000)
        run.within("held_max_ms", max(held), hold_s * 1000 + 2500)
        for edge in bed.edges:
            bed[edge].wait_metric("pulls", 0)
        end = watch.finish()
        run.exact("back", end["back"])


def hang(run, bed, seconds):
    """The origin in charge stands still; its publisher gives up when its players do."""
    publisher = bed.publish("live/cam1?token=one")
    publisher.wait_granted()
    watch = bed.watch(run.pick(100, 400)).wait_playing()
    old = bed[bed.origins[publisher.granted["url"]]]
    marks = {e: len(bed[e].log.lines) for e in bed.edges}
    begin = now_us()
    old.signal(signal.SIGSTOP)
    for e in bed.edges:
        bed[e].log.wait(r"upstream\.down", 15, start=marks[e])
    run.within(f"lost_{seconds}_ms", (now_us() - begin) / 1000, 2500)
    publisher.move()
    granted = publisher.wait_granted(begin)
    firsts = watch.wait_run(granted["session"])
    run.times(f"resume_{seconds}_ms", [(e["at_us"] - granted["at_us"]) / 1000 for e in firsts.values()], 250)
    run.sleep(max(0, seconds - (now_us() - begin) / 1e6))
    # Whatever it does now, nobody may see it.
    revived = now_us()
    old.signal(signal.SIGCONT)
    wait_for(lambda: old.metric("publishers") == 0 and old.metric("relays") == 0, 10, "the old origin to give up")
    run.within(f"fenced_{seconds}_ms", (now_us() - revived) / 1000, 500)
    run.sleep(3)
    run.exact("owner", bed.served_by(), bed.origins[granted["url"]])
    judge_viewers(run, watch)
    publisher.finish()


@row(3, "origin hangs (SIGSTOP), its publisher goes elsewhere, it wakes up again")
def origin_hangs(run):
    for seconds in run.pick([5], [5, 12, 60]):
        with Bed(media=run.media) as bed:
            hang(run, bed, seconds)


def cut_for(run, bed, watch, rules, seconds):
    """An edge is cut from the owner; it has to see that, and to go on when it is over."""
    marks = len(bed["e1"].log.lines)
    begin = now_us()
    bed["e1"].log.wait(r"upstream\.down", 15, start=marks)
    lost_ms = (now_us() - begin) / 1000
    run.sleep(max(0, seconds - lost_ms / 1000))
    healed = now_us()
    bed.lab.heal(rules)
    watch.wait_state(lambda s: s["stalled"] == 0, 15, "video to go on")
    ends = [e for e in watch.of("stall", begin) if e["to_us"] > healed]
    return lost_ms, [(e["to_us"] - healed) / 1000 for e in ends]


@row(6, "an edge is cut from the owner, both ways and one way")
def edge_from_origin(run):
    lost, resume = [], []
    with Bed(origins=("o1",), media=run.media) as bed:
        bed.publish().wait_granted()
        watch = bed.watch(run.pick(50, 200), edges=["e1"]).wait_playing()
        others = bed.watch(run.pick(50, 200), edges=["e2"], host="load2").wait_playing()
        ways = (lambda: bed.lab.cut("e1", "o1"), lambda: [bed.lab.one_way("o1", "e1")], lambda: [bed.lab.one_way("e1", "o1")])
        for _ in range(run.rounds or run.pick(1, 5)):
            for way in ways:
                watch.wait_state(lambda s: s["stalled"] == 0, 15, "video")
                lost_ms, resume_ms = cut_for(run, bed, watch, way(), run.random.uniform(4, 12))
                lost.append(lost_ms)
                resume += resume_ms
        run.at_least("stalls", len(resume), 1)
        run.times("lost_ms", lost, 2500)
        run.times("resume_ms", resume, 500)
        end = judge_viewers(run, watch)
        run.note(holes=end["holes"])
        other = others.finish()
        run.exact("others_harmed", other["closed"] + other["stalls"] + other["holes"])
