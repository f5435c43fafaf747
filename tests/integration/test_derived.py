"""Sound in another codec than the published one: made once, for those who need it, and nothing changes for the others."""
import re
import subprocess

import pytest

import encoded
import flv
import media as m
from waiting import scaled

pytestmark = pytest.mark.clients
FLASH = "color=black:s=160x90:r=25,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.08)',format=yuv420p"
BEEP = "aevalsrc='if(lt(mod(t,1),0.05),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo"
SECONDS = 40  # longer than the test: what is repeated does not flash in time


def run(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, timeout=scaled(60))
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode() + done.stderr.decode()


@pytest.fixture(scope="module")
def flashes(tmp_path_factory):
    """H.264 that flashes and Opus that beeps, both at whole seconds, as FLV tags."""
    folder = tmp_path_factory.mktemp("flashes")
    video, audio = folder / "video.flv", folder / "audio.mkv"
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", FLASH, "-t", SECONDS, "-c:v", "libx264", "-preset", "ultrafast",
        "-tune", "zerolatency", "-g", 25, "-bf", 0, video)
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", BEEP, "-t", SECONDS, "-c:a", "libopus", "-application", "audio", audio)
    found = encoded.probe(audio, "-show_packets", "-show_data")["packets"]
    # Matroska's times count from before the priming, so that the beeps are where they were put.
    coded = [(max(0, round(float(p["pts_time"]) * 1000)), 0, True, encoded.bytes_of(p["data"])) for p in found]
    sound = encoded.enhanced(encoded.AUDIO, "Opus", encoded.extradata(audio), coded)
    pictures = [t for t in flv.file_tags(video) if t[0] == flv.VIDEO]
    return sorted(pictures + sound, key=lambda t: (t[1], t[0]))


def offset_ms(path):
    """Sound minus picture, of each second's beep and flash."""
    said = run("ffmpeg", "-i", path, "-vf", "blackdetect=d=0.1:pix_th=0.5", "-af", "silencedetect=n=-20dB:d=0.5", "-f", "null", "-")
    lights = [float(t) for t in re.findall(r"black_end:([\d.]+)", said)]
    beeps = [float(t) for t in re.findall(r"silence_end: ([\d.]+)", said)]
    # The last of each is where the file ends.
    pairs = [(b - l) * 1000 for l in lights[:-1] for b in beeps[:-1] if abs(b - l) < 0.5]
    assert len(pairs) >= 3, said
    return pairs


def record(url, path, seconds=5):
    return m.Program(["ffmpeg", "-v", "error", "-i", url, "-t", seconds, "-c", "copy", path])


def test_opus_becomes_aac_for_plain_players(cluster, closing, tmp_path, flashes, play, play_flv):
    origin, edges = cluster.start("origin", "o1"), [cluster.start("edge", id) for id in ("e1", "e2")]
    publisher = closing(m.Feeder(origin.rtmp, "live/cam1", flashes))
    paths = {tmp_path / f"{e.id}-{way}.flv": url("live/cam1")
             for e in edges for way, url in (("flv", e.flv_url), ("rtmp", e.rtmp_url))}
    for program in [record(url, path) for path, url in paths.items()]:
        program.succeeds(30)
    for path in paths:
        assert sorted(s["codec_name"] for s in encoded.probe(path, "-show_streams")["streams"]) == ["aac", "h264"]
        offsets = offset_ms(path)
        print(f"{path.name}: sound minus picture {min(offsets):.1f} to {max(offsets):.1f} ms")
        assert max(map(abs, offsets)) <= 40
    assert origin.log.count(r"derive\.start") == 1
    # Who says that it knows Opus, or wants everything, gets what was published.
    for player in (play_flv(edges[0], "live/cam1"), play(edges[1], "live/cam1")):
        player.wait_media(100)
        m.assert_unbroken(player.media, publisher.sent)
    origin.log.wait(r"derive\.end .*reason=idle", 15)


def test_more_sounds_than_the_node_makes(start, closing, tmp_path, flashes):
    """The second stream's plain players hear nothing until the first one's sound is not needed any more."""
    node = start("node", {"limits.derived_sounds": 1})
    for name in ("live/one", "live/two"):
        closing(m.Feeder(node.rtmp, name, flashes))
    first = record(node.flv_url("live/one"), tmp_path / "one.flv", 6)
    node.log.wait(r"derive\.run stream=live/one;aac")
    path = tmp_path / "two.flv"
    record(node.flv_url("live/two"), path, 2).succeeds(30)
    assert [s["codec_name"] for s in encoded.probe(path, "-show_streams")["streams"]] == ["h264"]
    node.wait_metric('limit_reached_total{setting="limits.derived_sounds"}', 1)
    node.log.wait(r"limit\.reached setting=limits\.derived_sounds who=live/two;aac")
    first.succeeds(30)
    later = record(node.flv_url("live/two"), tmp_path / "later.flv", 12)
    node.log.wait(r"derive\.run stream=live/two;aac", 15)
    later.succeeds(30)
