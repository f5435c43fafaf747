"""Rows about origins that die, hang, or cannot be reached."""
import signal

from bed import GOP_MS, Bed
from load import now_us
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
