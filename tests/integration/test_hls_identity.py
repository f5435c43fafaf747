"""HLS: whatever a playlist names is the same at every node, and what validators want it to be: codecs, frame rates, tracks."""
import concurrent.futures
import hashlib
import json
import re
import subprocess

import pytest

import encoded
import flv
import hls
import media as m
import node as node_module
import rtmp
from waiting import SLOW, scaled, wait_for

pytestmark = [pytest.mark.core, pytest.mark.alone]

CHECK_FMP4 = node_module.ROOT / "tests" / "npm" / "check_fmp4.js"
FAST = {"hls.segment_ms": 1000, "hls.part_ms": 200, "hls.window_segments": 14, "stream.linger_ms": 500}
AAC = "-f lavfi -i sine=f=440:r=44100 -c:a aac -ac 2 -b:a 64k"


def avc(rate, frames, more="", audio=AAC, bframes=0, seconds=2.002, gop=None):
    gop = gop or (frames + 1) // 2
    return (f"-f lavfi -i testsrc2=s=128x72:r={rate} {audio} -t {seconds} -frames:v {frames} -c:v libx264 -preset ultrafast -threads 1 "
            f"-bf {bframes} -g {gop} -keyint_min {gop} -sc_threshold 0 -b:v 100k -pix_fmt yuv420p {more}")


IRREGULAR = "-vf select='not(mod(n,25))+gt(mod(n*7,11),3)' -vsync vfr"
AAC_24K = "-f lavfi -i sine=f=440:r=24000 -c:a aac -ac 2 -b:a 48k"


def capture(name):
    return [t for t, _ in rtmp.Capture(m.CAPTURES / f"{name}.c2s.bin").media()]


def made(words):
    return lambda folder, name: encoded.flv_tags(folder, name, words)


def codecs(*names):
    def make(folder, name):
        (folder / name).mkdir()
        return encoded.merged(*(encoded.tags_of(folder / name, n) for n in names))
    return make


def silent(make):
    return lambda folder, name: [t for t in make(folder, name) if t[0] == flv.VIDEO]


def avc_with(codec):
    def make(folder, name):
        (folder / name).mkdir()
        video = silent(made(avc(25, 50)))(folder, name)
        return encoded.merged(video, encoded.tags_of(folder / name, codec))
    return make


def he_aac(folder, name):
    return encoded.with_sbr(encoded.flv_tags(folder, name, avc(25, 50, audio=AAC_24K)))


def sparse(folder, name):
    """Four seconds of which a second sound has only the first."""
    main = encoded.flv_tags(folder, name, avc(25, 100, seconds=4, gop=25))
    second = [encoded.as_track(t, 1) for t in encoded.tags_of(folder, "aac") if t[1] < 1000]
    return encoded.merged(second[:1], main, second[1:])


# name: how it is made, length of a round in ms, CODECS of the first variant
STREAMS = {
    "bframes": (made(avc(25, 50, bframes=3)), 2000, r"avc1\.\w{6},mp4a\.40\.2"),
    "heaac": (he_aac, 2000, r"avc1\.\w{6},mp4a\.40\.5"),
    "irregular": (made(avc(25, 50, IRREGULAR)), 2000, r"avc1\.\w{6},mp4a\.40\.2"),
    "r12": (made(avc("25/2", 25)), 2000, r"avc1\.\w{6},mp4a\.40\.2"),
    "r12silent": (silent(made(avc("25/2", 25))), 2000, r"avc1\.\w{6}"),
    "r23": (made(avc("24000/1001", 48)), 2002, r"avc1\.\w{6},mp4a\.40\.2"),
    "r24": (silent(made(avc("24", 48))), 2000, r"avc1\.\w{6}"),
    "r29": (made(avc("30000/1001", 60)), 2002, r"avc1\.\w{6},mp4a\.40\.2"),
    "r50": (silent(made(avc("50", 100))), 2000, r"avc1\.\w{6}"),
    "seldom": (made(avc(25, 125, seconds=5, gop=125)), 5000, r"avc1\.\w{6},mp4a\.40\.2"),
    "sparse": (sparse, 4000, r"avc1\.\w{6},mp4a\.40\.2"),
    "hevc": (codecs("hevc", "aac"), 2000, r"hvc1\.2\.4\.L\d+\.90,mp4a\.40\.2"),
    "av1opus": (codecs("av1", "opus"), 2000, r"av01\.[\w.]+,opus"),
    "vp9flac": (codecs("vp9", "flac"), 2000, r"vp09\.[\w.]+,fLaC"),
    "mp3": (avc_with("mp3"), 2000, r"avc1\.\w{6},mp4a\.40\.34"),
    "ac3": (avc_with("ac3"), 2000, r"avc1\.\w{6},ac-3"),
    "sound": (codecs("aac"), 2000, r"mp4a\.40\.2"),
    "soundopus": (codecs("opus-unsaid"), 2000, r"opus"),
    "eac3": (lambda folder, name: capture("ffmpeg90-h264eac3"), None, r"avc1\.\w{6},ec-3"),
    "hdr": (lambda folder, name: capture("ffmpeg90-hevc-hdr"), None, r"hvc1\.[\w.]+,mp4a\.40\.2"),
    "obsav1": (lambda folder, name: capture("obs32-av1"), None, r"av01\.[\w.]+,mp4a\.40\.2"),
    "many": (lambda folder, name: capture("ffmpeg90-multi"), None, r"avc1\.\w{6},mp4a\.40\.2"),
}
if SLOW:  # what sanitizers make of twenty streams at four nodes is not real time
    STREAMS = {name: STREAMS[name] for name in ("bframes", "irregular", "sparse", "av1opus", "sound", "many")}
SAME_CODEC = {"mp4a.6b": "mp4a.40.34"}
RENDITIONS = {"many": {"main", "v1", "a0", "a1"}, "sparse": {"main", "a1"}}


# --- what validators look at ---

PART = re.compile(r'#EXT-X-PART:DURATION=([\d.]+),URI="([^"]+)"(,INDEPENDENT=YES)?(,GAP=YES)?')


def number(text, tag):
    return float(re.search(rf"{tag}[:=]([\d.]+)", text)[1])


def assert_parts(text):
    """Each is within its target, and 85 % of it unless it is independent, before a gap or the last of its segment."""
    target = number(text, "PART-TARGET")
    lines = [line for line in text.splitlines() if line.startswith(("#EXT-X-PART:", "#EXTINF", "#EXT-X-PRELOAD-HINT"))]
    for line, after in zip(lines, lines[1:]):
        part = PART.match(line)
        if part is None:
            continue
        duration = float(part[1])
        assert duration <= target, f"{line} is longer than {target}"
        following = PART.match(after)
        if part[3] or after.startswith("#EXTINF") or (following and following[4]) or ".0.m4s" in after:
            continue
        assert duration >= 0.85 * target - 1e-6, f"{line} is less than 85 % of {target}"


def assert_segments(text):
    target = number(text, "TARGETDURATION")
    assert all(round(float(d)) <= target for d in re.findall(r"#EXTINF:([\d.]+)", text)), text


def assert_goes_on(texts):
    """A name always has the same attributes, the targets are for ever, numbers never go back, segments are their parts."""
    said, targets, parts, whole, first = {}, set(), {}, {}, 0
    for text in texts:
        targets.add((number(text, "TARGETDURATION"), number(text, "PART-TARGET")))
        sequence = number(text, "MEDIA-SEQUENCE")
        assert sequence >= first
        first = sequence
        for duration, uri, *rest in PART.findall(text):
            assert said.setdefault(uri, (duration, rest)) == (duration, rest), uri
            parts.setdefault(re.sub(r"\.\d+\.m4s", ".m4s", uri), {})[uri] = float(duration)
        for duration, uri in re.findall(r"#EXTINF:([\d.]+),\n(?:#.*\n)*(\S+)", text):
            assert said.setdefault(uri, duration) == duration, uri
            whole[uri] = float(duration)
    assert len(targets) == 1, targets
    for uri, duration in whole.items():
        have = parts.get(uri, {})
        if len(have) > 1 and all(f"{uri[:-4]}.{i}.m4s" in have for i in range(len(have))):
            assert abs(sum(have.values()) - duration) < 0.002 * len(have) or len(have) < duration / 0.25, uri


# --- the same everywhere ---

def same_head(nodes, path, pool):
    """The playlist of one head, from each node: (text, everything that is named in it)."""
    for _ in range(8):
        _, msn, _ = hls.hint_of(nodes.text(nodes.nodes[0], path))
        asked = f"{path}?_HLS_msn={msn + 1}&_HLS_part=0"
        texts = list(pool.map(lambda n: nodes.text(n, asked), nodes.nodes))
        if len({hls.hint_of(t) for t in texts}) == 1:
            assert len(set(texts)) == 1, f"{path}: " + "\n---\n".join(sorted(set(texts)))
            return texts[0]
    raise AssertionError(f"{path}: no head that all were at")


def same_object(nodes, path, pool):
    """Its bytes, and what is said of them, from each node."""
    def ask(node):
        status, headers, body = nodes.get(node, path)
        assert status == 200, f"{node.id} {path}: {status} {body[:100]}"
        kept = tuple(headers[k] for k in ("ETag", "Content-Type", "Cache-Control"))
        return hashlib.sha256(body).hexdigest(), kept, body
    answers = list(pool.map(ask, nodes.nodes))
    assert len({a[:2] for a in answers}) == 1, f"{path}: {[(n.id, a[:2], len(a[2])) for n, a in zip(nodes.nodes, answers)]}"
    return answers[0][2]


def compare(nodes, name, folder):
    """Everything that is named anywhere; {rendition: (playlist, {name: bytes})}."""
    base, out = f"/live/{name}", {}
    with concurrent.futures.ThreadPoolExecutor(len(nodes.nodes)) as pool:
        index = same_object(nodes, f"{base}/index.m3u8", pool).decode()
        renditions = set(re.findall(r'(?:^|URI=")(\w+)\.m3u8', index, re.M))
        for rendition in sorted(renditions):
            text = same_head(nodes, f"{base}/{rendition}.m3u8", pool)
            reports = set(re.findall(r'RENDITION-REPORT:URI="(\w+)\.m3u8"', text))
            assert reports == renditions - {rendition}
            have = {n: same_object(nodes, f"{base}/{n}", pool) for n in hls.names(text)}
            hint = hls.hint_of(text)[0]
            have[hint] = same_object(nodes, f"{base}/{hint}", pool)
            out[rendition] = (text, have)
    return index, out


def is_gap(text, name):
    return re.search(rf'#EXT-X-GAP\n#EXTINF:\S+\n{re.escape(name)}\n|"{re.escape(name)}"[^\n]*GAP=YES', text) is not None


def assert_media(folder, name, rendition, text, have):
    """Parts together are their segment; ffprobe and mp4box.js read it all; tracks and codecs are as announced."""
    segments = [n for n in re.findall(r"^(?!#)(\S+\.m4s)$", text, re.M)]
    for segment in segments:
        parts = [n for n in re.findall(r'#EXT-X-PART:[^\n]*URI="([^"]+)"', text) if n.startswith(segment[:-3])]
        if parts:
            assert have[segment] == b"".join(have[p] for p in parts), segment
    last = text[text.rindex("#EXT-X-MAP"):]
    init = re.search(r'URI="([^"]+)"', last)[1]
    path = folder / f"{name}-{rendition}.mp4"
    listed = [n for n in segments if last.find(f"\n{n}\n") >= 0 and not is_gap(text, n)]
    assert listed, text
    path.write_bytes(have[init] + b"".join(have[n] for n in listed))
    done = subprocess.run(["node", CHECK_FMP4, path], capture_output=True, timeout=scaled(60))
    assert done.returncode == 0, done.stderr.decode()
    read = json.loads(done.stdout)
    assert read["fragmented"] and all(t["samples"] for t in read["tracks"])
    done = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", path],
                          capture_output=True, timeout=scaled(60))
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    assert len(done.stdout.split()) == len(read["tracks"])
    return read["tracks"]


def assert_index(index, name, wanted, tracks):
    """Variants and renditions with what is in them."""
    variant = re.search(r'#EXT-X-STREAM-INF:[^\n]*CODECS="([^"]+)"', index)
    assert re.fullmatch(wanted, variant[1]), index
    for bandwidth, average in re.findall(r"BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)", index):
        assert int(bandwidth) >= int(average) > 0
    announced = set(re.findall(r'CODECS="([^"]+)"', index))
    announced = {c.lower() for codecs in announced for c in codecs.split(",")}
    for found in tracks.values():
        for track in found:
            codec = SAME_CODEC.get(track["codec"].lower(), track["codec"].lower())
            assert any(a.startswith(codec) for a in announced), (codec, announced)
    for line in re.findall(r"#EXT-X-STREAM-INF:[^\n]*", index):
        has_video = re.search("avc1|hvc1|av01|vp09", line) is not None
        assert ("RESOLUTION=" in line and "FRAME-RATE=" in line) == has_video, line


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda name: STREAMS[name][0](folder, name), STREAMS))
    return dict(zip(STREAMS, made))


def test_every_url_is_the_same_at_every_node(cluster, sources, closing, tmp_path):
    origin, *edges = (cluster.start(role, id, FAST) for role, id in (("node", "n1"), ("edge", "e1"), ("edge", "e2")))
    nodes = closing(hls.Nodes([origin, *edges]))
    for name in STREAMS:
        closing(m.Feeder(origin.rtmp, f"live/{name}", sources[name], length=STREAMS[name][1], abilities=rtmp.EVERYTHING))
    followers = [closing(hls.Follower(nodes, f"live/{name}")) for name in STREAMS]
    wait_for(lambda: all(len(f.texts) > 20 or f.error for f in followers), 20, "playlists",
             state=lambda: str({f.name: (len(f.texts), f.error) for f in followers}))
    cold = cluster.start("edge", "e3", FAST)
    nodes.nodes = [origin, *edges, cold]
    wait_for(lambda: all("CAN-SKIP-UNTIL" in f.texts[-1] and f.texts[-1].count("#EXTINF") > 6 and
                         sum(map(float, re.findall(r"#EXTINF:([\d.]+)", f.texts[-1]))) > 13 or f.error for f in followers),
             25, "full windows", state=lambda: str({f.name: (len(f.texts), f.error) for f in followers}))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = dict(zip(STREAMS, pool.map(lambda name: compare(nodes, name, tmp_path), STREAMS)))
    delta = nodes.text(cold, "/live/bframes/main.m3u8?_HLS_skip=YES")
    for follower in followers:
        follower.finish()
    assert {f.name: f.error for f in followers if f.error} == {}

    texts = [delta]
    for follower in followers:
        for text in follower.texts:
            assert_parts(text)
            assert_segments(text)
        assert_goes_on(follower.texts)
        texts += follower.texts[::20]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(look_at, tmp_path, name, *found[name]) for name in STREAMS]
        for job in jobs:
            texts += job.result()
    hls.assert_valid(texts, tmp_path)
    full = next(t for t in reversed(followers[0].texts))
    assert number(delta, "#EXT-X-MEDIA-SEQUENCE") >= number(full, "#EXT-X-MEDIA-SEQUENCE")
    assert 1 <= number(delta, "SKIPPED-SEGMENTS") < full.count("#EXTINF")


def look_at(folder, name, index, renditions):
    tracks = {}
    assert set(renditions) == RENDITIONS.get(name, {"main"}), index
    for rendition, (text, have) in renditions.items():
        assert_parts(text)
        tracks[rendition] = assert_media(folder, name, rendition, text, have)
    assert_index(index, name, STREAMS[name][2], tracks)
    main = renditions["main"][0]
    if STREAMS[name][1] is not None:  # captures have key frames and ends where they have them
        assert ("#EXT-X-INDEPENDENT-SEGMENTS" in main) == (name != "seldom"), main
        assert "GAP" not in main, main
    if name == "sparse":
        other = renditions["a1"][0]
        assert re.search(r"#EXT-X-PART:[^\n]*GAP=YES", other), other
        assert "#EXT-X-GAP\n#EXTINF" in other and other.count("#EXT-X-GAP") < other.count("#EXTINF"), other
    return [index, *(text for text, _ in renditions.values())]
