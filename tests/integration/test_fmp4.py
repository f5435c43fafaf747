"""Fragmented MP4 made of FLV (tests/tools/flv2fmp4), as ffmpeg and mp4box.js read it: every codec."""
import hashlib
import json
import re
import subprocess

import pytest

import flv
import media as m
import node as node_module
import rtmp
from waiting import scaled

pytestmark = pytest.mark.clients

TOOL = node_module.BINARY.parent / "tests" / "flv2fmp4"
CHECKER = node_module.ROOT / "tests" / "npm" / "check_fmp4.js"
VIDEO, AUDIO = "video", "audio"
SOURCES = {
    VIDEO: "testsrc2=s=320x180:r=25,setsar=4/3",
    AUDIO: "sine=f=440:r=48000,aformat=channel_layouts=stereo",
}


def run(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, timeout=scaled(60))
    assert done.returncode == 0, f"{words}: {done.stderr.decode()[-2000:]}"
    return done.stdout, done.stderr


def encode(folder, kind, words, ending):
    path = folder / f"source.{ending}"
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", SOURCES[kind], "-t", 2, *words.split(), path)
    return path


def probe(path, *words):
    return json.loads(run("ffprobe", "-v", "error", "-of", "json", *words, path)[0])


def bytes_of(dump):
    """ffprobe's picture of bytes."""
    return b"".join(bytes.fromhex(line[10:50].replace(" ", "")) for line in dump.strip().split("\n"))


def packets(path):
    """{stream: [(pts in seconds, hash)]}, in order of decoding."""
    out = {}
    for p in probe(path, "-show_packets", "-show_data_hash", "md5")["packets"]:
        out.setdefault(p["codec_type"] + str(p["stream_index"]), []).append((float(p["pts_time"]), p["data_hash"]))
    return out


def convert(path, part_ms=200):
    """The same in MP4, and what the tool says of each track by its id."""
    out = path.with_suffix(".out.mp4")
    said = run(TOOL, path, out, part_ms)[0].decode()
    return out, {int(line.split()[0][3:]): dict(w.split("=", 1) for w in line.split()) for line in said.splitlines()}


def decode(path):
    """Hashes of all pictures, which have to decode without a complaint."""
    out, complaints = run("ffmpeg", "-v", "warning", "-xerror", "-i", path, "-map", "0:v?", "-f", "framemd5", "-")
    assert complaints == b""
    return [line.split(",")[5].strip() for line in out.decode().splitlines() if re.match(r"\d+,", line)]


def decodes(path):
    """Everything does; that a publisher gave two frames the same time is no fault of ours."""
    said = run("ffmpeg", "-v", "error", "-xerror", "-i", path, "-map", "0", "-f", "null", "-")[1].decode()
    lines = [line for line in said.splitlines() if "monotonically" not in line and "Last message repeated" not in line]
    assert lines == []


def close(have, want):
    """The same packets, at the same times to the millisecond that FLV has."""
    assert [h for _, h in have] == [h for _, h in want]
    shift = have[0][0] - want[0][0]
    for (a, _), (b, _) in zip(have, want):
        assert abs(a - b - shift) < 0.002, f"{a} is not {b} + {shift}"


def mp4box(path):
    return json.loads(run("node", CHECKER, path)[0])


def enhanced(kind, fourcc, config, coded):
    """Tags of a track in the enhanced form: coded is [(dts, cts, key, bytes)] in ms."""
    code = fourcc.encode()
    tags = []
    for dts, cts, key, data in coded:
        if kind == AUDIO:
            tags.append((flv.AUDIO, dts, b"\x91" + code + data))
        else:
            si24 = (cts & 0xFFFFFF).to_bytes(3, "big") if fourcc == "hvc1" else b""
            tags.append((flv.VIDEO, dts, bytes([0x91 if key else 0xA1]) + code + si24 + data))
    if config is not None:
        tags.insert(0, (tags[0][0], 0, b"\x90" + code + config))
    return tags


def extradata(path):
    dump = probe(path, "-show_streams", "-show_data")["streams"][0].get("extradata")
    return bytes_of(dump) if dump else None


def coded(path):
    """[(dts, cts, key, bytes)] in ms, from 0 on."""
    found = probe(path, "-show_packets", "-show_data")["packets"]
    times = [(float(p["dts_time"]), float(p["pts_time"])) for p in found]
    return [
        (round((dts - times[0][0]) * 1000), round((pts - dts) * 1000), "K" in p["flags"], bytes_of(p["data"]))
        for (dts, pts), p in zip(times, found)
    ]


VPCC = bytes.fromhex("01000000 00 14 82 020202 0000")
# name: kind, how ffmpeg makes it, file, FourCC, configuration from ffmpeg's, CODECS, other words of the tool
CODECS = {
    "hevc": (VIDEO, "-c:v libx265 -preset ultrafast -bf 2 -pix_fmt yuv420p10le -x265-params log-level=error -tag:v hvc1", "mp4",
             "hvc1", lambda c: c, r"hvc1\.2\.4\.L\d+\.90", {"size": "320x180", "sar": "4:3", "rate": "25/1"}),
    "av1": (VIDEO, "-c:v libaom-av1 -cpu-used 8 -g 25 -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc", "mkv",
            "av01", lambda c: c, r"av01\.0\.00M\.08\.0\.11\d\.09\.16\.09\.0", {"size": "320x180", "colour": "1:9/16/9/0"}),
    "av1-unsaid": (VIDEO, "-c:v libaom-av1 -cpu-used 8 -g 25", "mkv", "av01", lambda c: b"", r"av01\.0\.00M\.08",
                   {"size": "320x180"}),
    "vp9": (VIDEO, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", "mkv", "vp09", lambda c: VPCC, r"vp09\.00\.20\.08",
            {"size": "320x180"}),
    "vp9-unsaid": (VIDEO, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv444p", "mkv", "vp09", lambda c: None,
                   r"vp09\.01\.11\.08\.03\.01\.01\.01\.00", {"size": "320x180"}),
    "vp8": (VIDEO, "-c:v libvpx -deadline realtime -cpu-used 8", "mkv", "vp08", lambda c: None, r"vp08\.00\.11\.08",
            {"size": "320x180"}),
    "aac": (AUDIO, "-c:a aac", "mkv", "mp4a", lambda c: c, r"mp4a\.40\.2", {"timescale": "48000", "samples": "1024"}),
    "aac-5.1": (AUDIO, "-c:a aac -ac 6", "mkv", "mp4a", lambda c: c, r"mp4a\.40\.2", {"channels": "6"}),
    "opus": (AUDIO, "-c:a libopus -frame_duration 60", "mkv", "Opus", lambda c: c, "opus", {"channels": "2", "first": "2880"}),
    "opus-5.1": (AUDIO, "-c:a libopus -ac 6", "mkv", "Opus", lambda c: c, "opus", {"channels": "6", "first": "960"}),
    "opus-unsaid": (AUDIO, "-c:a libopus", "mkv", "Opus", lambda c: b"", "opus", {"channels": "2", "first": "960"}),
    "flac": (AUDIO, "-c:a flac", "mkv", "fLaC", lambda c: b"fLaC\x80\0\0\x22" + c, "fLaC", {"samples": "4608", "first": "4608"}),
    "mp3": (AUDIO, "-c:a libmp3lame", "mkv", ".mp3", lambda c: None, r"mp4a\.40\.34", {"samples": "1152", "first": "1152"}),
    "mp3-low": (AUDIO, "-c:a libmp3lame -ar 22050 -ac 1", "mkv", ".mp3", lambda c: None, r"mp4a\.40\.34",
                {"samples": "576", "channels": "1", "timescale": "22050"}),
    "ac3": (AUDIO, "-c:a ac3 -ac 6", "mkv", "ac-3", lambda c: b"", "ac-3", {"channels": "6", "samples": "1536"}),
    "eac3": (AUDIO, "-c:a eac3 -ac 6", "mkv", "ec-3", lambda c: b"", "ec-3", {"channels": "6", "first": "1536"}),
}


@pytest.mark.parametrize("name", CODECS)
def test_every_codec(name, tmp_path):
    kind, words, ending, fourcc, config, codecs, others = CODECS[name]
    source = encode(tmp_path, kind, words, ending)
    path = tmp_path / "made.flv"
    flv.write_file(path, enhanced(kind, fourcc, config(extradata(source)), coded(source)))
    out, said = convert(path)
    said = said[1 if kind == VIDEO else 2]
    assert re.fullmatch(codecs, said["codecs"]), said
    assert {k: said[k] for k in others} == others
    close(packets(out)[kind + "0"], packets(source)[kind + "0"])
    decodes(out)
    if kind == VIDEO:
        assert decode(out) == decode(source)
    (track,) = mp4box(out)["tracks"]
    assert len(track["samples"]) == len(coded(source))


def test_temporal_delimiters_are_left_out(tmp_path):
    source = encode(tmp_path, VIDEO, "-c:v libaom-av1 -cpu-used 8 -g 25", "mkv")
    path = tmp_path / "made.flv"
    flv.write_file(path, enhanced(VIDEO, "av01", extradata(source), [(d, c, k, b"\x12\0" + b) for d, c, k, b in coded(source)]))
    close(packets(convert(path)[0])["video0"], packets(source)["video0"])


def test_reordered_pictures(media):
    """H.264 with B-frames and AAC, from ffmpeg's own FLV."""
    out, said = convert(media)
    assert said[1]["codecs"].startswith("avc1.64") and said[2]["codecs"] == "mp4a.40.2"
    have, want = packets(out), packets(media)
    close(have["video0"], want["video0"])
    close(have["audio1"], want["audio1"])
    # Both begin where they began.
    assert abs(have["video0"][0][0] - have["audio1"][0][0] - want["video0"][0][0] + want["audio1"][0][0]) < 0.002
    assert decode(out) == decode(media)
    read = mp4box(out)
    assert read["fragmented"] and [t["id"] for t in read["tracks"]] == [1, 2]
    assert [t["codec"] for t in read["tracks"]] == [said[1]["codecs"], said[2]["codecs"]]
    video = read["tracks"][0]["samples"]
    assert any(cts > dts for dts, cts, *_ in video)
    assert sum(sync for *_, sync in video) == m.SECONDS
    assert [dts for dts, *_ in video[1:]] == [dts + duration for dts, _, duration, *_ in video[:-1]]


def test_same_bytes_again(media, tmp_path):
    first = hashlib.sha256(convert(media)[0].read_bytes()).hexdigest()
    assert hashlib.sha256(convert(media)[0].read_bytes()).hexdigest() == first


@pytest.mark.parametrize("path", sorted(m.CAPTURES.glob("*.c2s.bin")) + sorted(m.CAPTURES.glob("vec-*.flv")), ids=lambda p: p.name.split(".")[0])
def test_captures(path, tmp_path):
    """What real encoders sent: everything decodes, and no packet is lost."""
    tags = flv.file_tags(path) if path.suffix == ".flv" else [t for t, _ in rtmp.Capture(path).media()]
    source = tmp_path / "source.flv"
    flv.write_file(source, tags)
    out, said = convert(source, 300)
    assert all(t["err"] == "0" for t in said.values())
    sent = {}
    for type, _, body in tags:
        for p in flv.packets(type, body) if type != flv.DATA else []:
            if p.kind == "frames":
                sent[type, p.track] = sent.get((type, p.track), 0) + 1
    tracks = {t["id"]: len(t["samples"]) for t in mp4box(out)["tracks"]}
    assert tracks == {1 + (type == flv.AUDIO) + 2 * track: n for (type, track), n in sent.items()}
    decodes(out)
