"""Fragmented MP4 made of FLV (tests/tools/flv2fmp4), as ffmpeg and mp4box.js read it: every codec."""
import hashlib
import json
import re

import pytest

import flv
import media as m
import node as node_module
import rtmp
from encoded import AUDIO, CODECS, VIDEO, coded, encode, enhanced, extradata, probe, run

pytestmark = pytest.mark.clients

TOOL = node_module.BINARY.parent / "tests" / "flv2fmp4"
CHECKER = node_module.ROOT / "tests" / "npm" / "check_fmp4.js"
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
