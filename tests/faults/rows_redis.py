"""Rows about Redis: cut off, dead, empty."""
from bed import Bed
from load import now_us
from row import row
from waiting import wait_for


def unharmed(run, watch, name=""):
    """Nothing at all may be seen."""
    end = watch.finish()
    run.exact(f"{name}disconnects", end["closed"] + end["refused"])
    run.exact(f"{name}holes", end["holes"])
    run.exact(f"{name}back", end["back"])
    run.exact(f"{name}runs", end["runs"])
    run.within(f"{name}gap_max_ms", end["gap_max_ms"], 500)


def redis_is(bed, ids, up):
    for id in ids:
        bed[id].wait_metric("redis_up", up, 15)


@row(4, "origins are cut from Redis, media flow on")
def origins_from_redis(run):
    for seconds in run.pick([5], [5, 30, 600]):
        with Bed(media=run.media) as bed:
            bed.publish().wait_granted()
            watch = bed.watch(run.pick(100, 500)).wait_playing()
            before = bed.redis.owner("live/cam1")
            begin = now_us()
            for id in bed.origins:
                bed.lab.cut(id, "redis")
            redis_is(bed, bed.origins, 0)
            run.within(f"noticed_{seconds}_ms", (now_us() - begin) / 1000, 4000)
            run.sleep(max(0, seconds - (now_us() - begin) / 1e6))
            healed = now_us()
            bed.lab.heal()
            redis_is(bed, bed.origins, 1)
            wait_for(lambda: bed.redis.owner("live/cam1").get("node") == before["node"], 15, "the owner to be back")
            run.within(f"restored_{seconds}_ms", (now_us() - healed) / 1000, 4000)
            run.exact("epoch", bed.redis.owner("live/cam1")["epoch"] == before["epoch"], True)
            run.sleep(3)
            run.exact("pulls", sum(int(bed[e].metric("pulls_total")) for e in bed.edges), len(bed.edges))
            unharmed(run, watch)


@row(5, "edges are cut from Redis")
def edges_from_redis(run):
    with Bed(media=run.media) as bed:
        bed.publish().wait_granted()
        watch = bed.watch(run.pick(100, 500)).wait_playing()
        wait_for(lambda: all(len(bed[e].get_json("/api/v1/nodes")["nodes"]) == 4 for e in bed.edges), 10, "all nodes")
        bed.publish("live/cam2", host="pub2").wait_granted()
        for e in bed.edges:
            bed.lab.cut(e, "redis")
        # At once, while the edges have not noticed yet, and afterwards.
        first = bed.watch(20, "live/cam2", edges=["e1"], host="load2").wait_playing()
        redis_is(bed, bed.edges, 0)
        bed.publish("live/cam3", origins=["o2"], host="pub3").wait_granted()
        late = bed.watch(20, "live/cam3", edges=["e2"], host="load3").wait_playing()
        for name, load, bound in (("first_ms", first, 3300), ("late_ms", late, 800)):
            run.times(name, [(e["at_us"] - e["connect_us"]) / 1000 for e in load.of("framed")], bound)
        nobody = bed.watch(4, "live/none", host="load4")
        nobody.wait(lambda: len(nobody.of("closed")) == 4, 10, "refusals")
        refused = nobody.of("closed")
        run.within("missing_ms", max(e["at_us"] for e in refused) / 1000 - nobody.of("state")[0]["at_us"] / 1000, 3500)
        run.exact("missing", sorted({e["status"] for e in refused}), ["404", "NetStream.Play.StreamNotFound"])
        bed.lab.heal()
        redis_is(bed, bed.edges, 1)
        run.sleep(3)
        run.exact("pulls", sum(int(bed[e].metric("pulls_total")) for e in bed.edges), 4)
        unharmed(run, watch)


def owners(bed):
    r = bed.redis.client()
    pipe = r.pipeline()
    keys = sorted(r.scan_iter("sluice:{default}:stream:*", count=1000))
    for key in keys:
        pipe.hmget(key, "node", "epoch")
    return dict(zip(keys, map(tuple, pipe.execute())))


@row(7, "Redis kill -9, back without data")
def redis_killed(run):
    streams = run.pick(100, 1000)
    with Bed(media=run.media) as bed:
        bed.publish().wait_granted()
        many = bed.publish("many/s%d", host="pub2", session=100000, publishers=streams, again=False, light=True)
        many.wait(lambda: len(many.of("granted")) == streams, 30, "all publishers")
        watch = bed.watch(run.pick(100, 500)).wait_playing()
        others = bed.watch(50, "many/s%d", host="load2", modulo=streams).wait_playing()
        wait_for(lambda: len(owners(bed)) == streams + 1, 10, "all owners")
        before = owners(bed)
        bed.redis.kill()
        redis_is(bed, bed.nodes, 0)
        late = bed.publish("live/late", origins=["o1"], host="pub3")
        late.wait_granted()
        run.sleep(run.pick(2, 20))
        bed.redis.start()
        back = now_us()
        wait_for(lambda: len(owners(bed)) == streams + 2, 20, "all owners to be back",
                 state=lambda: f"{len(owners(bed))} of {streams + 2}, {len(many.of('lost'))} publishers lost")
        run.within("restored_ms", (now_us() - back) / 1000, 4000)
        after = owners(bed)
        run.note(streams=streams)
        run.exact("changed", sum(1 for k, v in before.items() if after.get(k) != v))
        redis_is(bed, bed.nodes, 1)
        bed.watch(10, "live/late", host="load3").wait_playing().finish()
        run.sleep(3)
        run.exact("pull_reconnects", sum(int(bed[e].metric("pull_reconnects_total")) for e in bed.edges))
        unharmed(run, watch)
        unharmed(run, others, "others_")
