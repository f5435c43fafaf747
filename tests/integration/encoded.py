"""Media in any codec, encoded by ffmpeg, as (Enhanced) FLV tags."""
import json
import subprocess

import flv
from waiting import scaled

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


def flv_tags(folder, name, words):
    """What ffmpeg makes of its own test pictures as FLV; words with the inputs."""
    path = folder / f"{name}.flv"
    run("ffmpeg", "-v", "error", "-y", *words.split(), path)
    return flv.file_tags(path)


def tags_of(folder, name):
    """CODECS[name] as tags, two seconds."""
    kind, words, ending, fourcc, config, *_ = CODECS[name]
    (folder / name).mkdir()
    source = encode(folder / name, kind, words, ending)
    return enhanced(kind, fourcc, config(extradata(source)), coded(source))


def as_track(tag, track):
    """The same of another track: the Multitrack form with one track in it."""
    type, ts, body = tag
    multitrack = flv.VIDEO_MULTITRACK if type == flv.VIDEO else flv.AUDIO_MULTITRACK
    return type, ts, bytes([body[0] & 0xF0 | multitrack, body[0] & 15]) + body[1:5] + bytes([track]) + body[5:]


def merged(*tracks):
    """Tags of several tracks by their times, configurations first."""
    return sorted((t for track in tracks for t in track), key=lambda t: t[1])


def with_sbr(tags):
    """AAC-LC of 24 kHz that says it has SBR: HE-AAC of 48 kHz, as a decoder sees it."""
    asc = (5 << 27 | 6 << 23 | 2 << 19 | 3 << 15 | 2 << 10).to_bytes(4, "big")
    return [(type, ts, b"\xaf\0" + asc if type == flv.AUDIO and body[1] == 0 else body) for type, ts, body in tags]
