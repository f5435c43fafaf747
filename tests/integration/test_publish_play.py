"""Real publishers and real players against one node."""
import re
import shutil
import socket
import subprocess

import pytest

import flv
import media as m
import rtmp
from node import HOST, free_port
from waiting import wait_for

pytestmark = pytest.mark.clients


def wait_live(node, name):
    wait_for(lambda: any(s["name"] == name for s in node.get_json("/api/v1/streams")["streams"]), 10, name)
    node.wait_metric("publishers", 1)


def assert_is_of(got, source):
    """A recording of a player: each frame is one that was published."""
    known = {body for _, _, body in source}
    frames = [t for t in got if m.is_media(t)]
    assert len(frames) > 20
    strange = [t for t in frames if t[2] not in known]
    assert not strange, f"{len(strange)} of {len(frames)} were never published: {strange[0][:2]}"


@pytest.mark.core
@pytest.mark.parametrize("kind", ["rtmp", "flv"])
def test_ffmpeg_publishes_and_plays(node, publish, run, kind):
    publish(node, "live/cam1")
    url = node.rtmp_url("live/cam1") if kind == "rtmp" else node.flv_url("live/cam1")
    found = run(m.probe_words(url)).succeeds()
    assert sorted(found.decode().split()) == ["aac", "h264,320"]


@pytest.mark.core
@pytest.mark.parametrize("kind", ["rtmp", "flv"])
def test_ffmpeg_reads_every_packet(node, media, run, publish, kind):
    url = node.rtmp_url("live/cam1") if kind == "rtmp" else node.flv_url("live/cam1")
    player = run(m.hash_words(url))
    node.wait_metric(f"viewers_{kind}", 1)
    publish(node, "live/cam1", loop=False)
    got = m.parse_hashes(player.succeeds(30))
    wanted = m.parse_hashes(run(m.hash_words(media)).succeeds())
    assert sorted(map(len, got.values())) == sorted(map(len, wanted.values()))
    assert sorted(got.values()) == sorted(wanted.values())


def test_rtmpdump_plays(node, feed, run, tmp_path, tags):
    feed(node, "live/cam1")
    out = tmp_path / "out.flv"
    player = run(["rtmpdump", "-q", "--live", "-r", node.rtmp_url("live/cam1"), "-o", out])
    wait_for(lambda: out.exists() and out.stat().st_size > 100_000, 10, "a recording")
    player.terminate()
    assert_is_of(flv.TagReader().feed(out.read_bytes()), tags)


def test_mpv_plays(node, publish, run):
    publish(node, "live/cam1")
    player = run(["mpv", "--no-config", "--vo=null", "--ao=null", "--frames=40", node.rtmp_url("live/cam1")])
    text = player.succeeds().decode("utf-8", "replace")
    assert "h264" in text and "aac" in text and re.search(r"A?V: 00:00:0\d", text), text[-500:]


@pytest.mark.parametrize("element", ["rtmp2src", "rtmpsrc"])
def test_gstreamer_plays(node, feed, run, tmp_path, tags, element):
    feed(node, "live/cam1")
    out = tmp_path / "out.flv"
    live = " live=1" if element == "rtmpsrc" else ""
    source = [element, f"location={node.rtmp_url('live/cam1')}{live}", "num-buffers=100"]
    run(["gst-launch-1.0", "-q", *source, "!", "filesink", f"location={out}"]).succeeds()
    assert_is_of(flv.TagReader().feed(out.read_bytes()), tags)


@pytest.mark.parametrize("element", ["rtmp2sink", "rtmpsink"])
def test_gstreamer_publishes(node, media, run, play_flv, element):
    player = play_flv(node, "live/gst")
    run(["gst-launch-1.0", "-q", "filesrc", f"location={media}", "!", "flvdemux", "name=d",
         "flvmux", "name=m", "streamable=true", "!", "identity", "sync=true", "!",
         element, f"location={node.rtmp_url('live/gst')}",
         "d.video", "!", "queue", "!", "h264parse", "!", "m.video",
         "d.audio", "!", "queue", "!", "aacparse", "!", "m.audio"])
    player.wait_media(100)
    kinds = {(p.type, p.kind) for _, _, _, p in flv.frames(player.media) if p is not None}
    assert {(flv.VIDEO, "config"), (flv.AUDIO, "config"), (flv.VIDEO, "frames"), (flv.AUDIO, "frames")} <= kinds
    m.assert_forward(player.media)


NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{
    listen {host}:{port};
    application out {{ live on; push rtmp://{host}:{ours}/live/pushed; }}
    application in {{ live on; pull rtmp://{host}:{ours}/live/cam1 name=cam1; }}
  }}
}}
"""


@pytest.fixture
def nginx(node, run, tmp_path):
    """nginx-rtmp: publishes what comes to out/, and plays live/cam1 of ours as in/cam1."""
    port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, host=HOST, port=port, ours=node.rtmp[1]))
    program = run(["nginx", "-p", tmp_path, "-c", conf, "-e", tmp_path / "early.log"])
    def listens():
        assert program.process.poll() is None, program.text()
        try:
            rtmp.Connection((HOST, port)).close()
            return True
        except OSError:
            return False
    wait_for(listens, 10, "nginx")
    return port


def test_nginx_rtmp_pushes(node, nginx, run, media, tags, play_flv):
    player = play_flv(node, "live/pushed")
    run(m.publish_words(media, f"rtmp://{HOST}:{nginx}/out/pushed", loop=True))
    player.wait_media(100)
    m.assert_forward(player.media)
    assert_is_of(player.media, tags)


def test_nginx_rtmp_pulls(node, nginx, feed, closing, tags):
    feed(node, "live/cam1")
    player = closing(rtmp.player((HOST, nginx), "in/cam1"))
    player.wait_media(100)
    m.assert_forward(player.media)
    assert_is_of(player.media, tags)


def test_tshark_finds_nothing_malformed(node, feed, run, closing, tmp_path):
    """An independent decoder looks at what we write."""
    if shutil.which("tshark") is None:
        pytest.fail("tshark is missing: scripts/setup test")
    dump = tmp_path / "x.pcapng"
    capture = run(["tshark", "-l", "-P", "-i", "lo", "-f", f"tcp port {node.rtmp[1]}", "-w", dump])

    def sees_packets():
        """It says "Capturing" before it does; a connection of nobody's tells."""
        socket.create_connection(node.rtmp).close()
        return f"{node.rtmp[1]}" in capture.text().split("Capturing", 1)[-1]

    wait_for(sees_packets, 10, "tshark to capture")
    feed(node, "live/cam1")
    player = closing(rtmp.player(node.rtmp, "live/cam1"))
    player.wait_media(100)
    player.close()
    wait_for(lambda: dump.exists() and dump.stat().st_size > 100_000, 10, "packets")
    capture.terminate()
    words = ["tshark", "-r", dump, "-d", f"tcp.port=={node.rtmp[1]},rtmpt"]
    bad = subprocess.run([*words, "-Y", "_ws.malformed"], capture_output=True, text=True, check=False)
    assert bad.stdout == ""
    good = subprocess.run([*words, "-Y", "rtmpt"], capture_output=True, text=True, check=False)
    assert "onStatus('NetStream.Play.Start')" in good.stdout and "onMetaData()" in good.stdout
    assert good.stdout.count("Video Data") > 40
    assert "Unknown (0x0)" not in good.stdout


@pytest.mark.core
def test_late_joiner_starts_with_what_it_needs(node, feed, play, play_flv):
    """Metadata at 0 and configurations at the key frame's time, then that key frame."""
    publisher = feed(node, "live/cam1")
    wait_for(lambda: len(m.keys(publisher.sent)) >= 2, 10, "the second key frame")
    for player in (play(node, "live/cam1"), play_flv(node, "live/cam1")):
        player.wait_media(60)
        listed = flv.frames(player.media)
        at = flv.first_key(listed)
        assert all(p is None or p.kind == "config" for _, _, _, p in listed[:at])
        assert {t for t, _, _, _ in listed[:at]} == {flv.AUDIO, flv.VIDEO, flv.DATA}
        assert {(t == flv.DATA, ts) for t, ts, _, _ in listed[:at]} == {(True, 0), (False, listed[at][1])}
        m.assert_unbroken(player.media, publisher.sent)


@pytest.mark.core
def test_end_is_told(node, feed, play, play_flv):
    publisher = feed(node, "live/cam1")
    a, b = play(node, "live/cam1"), play_flv(node, "live/cam1")
    a.wait_media(20)
    b.wait_media(20)
    publisher.finish()
    a.wait_status("NetStream.Play.UnpublishNotify")
    b.wait_closed()
    assert "NetStream.Play.Stop" in a.statuses and b.complete
    a.close()
    for player in (a, b):
        m.assert_unbroken(player.media, publisher.sent)
        assert player.media[-1] == publisher.sent[-1]


@pytest.mark.core
def test_publisher_comes_back(start, feed, play):
    """The transport is lost: viewers are held, and time does not go back when another session goes on."""
    node = start("node", {"stream.lost_ms": 10000})
    node.expect(r"session\.close reason=(peer_closed|io_error)")
    first = feed(node, "live/cam1?token=a")
    player = play(node, "live/cam1")
    player.wait_media(60)
    first.vanish()
    count = len(player.media)
    second = feed(node, "live/cam1?token=a")
    player.wait_media(count + 100)
    assert not player.closed and "NetStream.Play.UnpublishNotify" not in player.statuses
    m.assert_forward(player.media)
    second.finish()
    player.wait_status("NetStream.Play.UnpublishNotify")


@pytest.mark.core
def test_two_publishers_of_one_name(node, feed, closing):
    """The second one is held, then told that the name is taken; the first goes on."""
    first = feed(node, "live/cam1")
    second = closing(rtmp.Publisher(node.rtmp, "live/cam1"))
    second.connection.wait_status("NetStream.Publish.BadName")
    second.connection.wait_closed()
    count = len(first.sent)
    wait_for(lambda: len(first.sent) > count + 30, 10, "the first publisher to go on")
    assert not first.connection.closed


@pytest.mark.core
def test_pause_and_mute(node, feed, play):
    feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(30)
    player.command("receiveAudio", None, False, sid=1)
    player.call("getStreamLength", None, "cam1")
    at = len(player.media)
    player.wait_media(at + 40)
    assert {t for t, _, _ in player.media[at + 10 :]} == {flv.VIDEO}
    player.command("pause", None, True, 0, sid=1)
    player.wait_status("NetStream.Pause.Notify")
    player.call("getStreamLength", None, "cam1")
    at = len(player.media)
    player.command("pause", None, False, 0, sid=1)
    player.wait_status("NetStream.Unpause.Notify")
    player.wait_media(at + 30)
    m.assert_forward(player.media)


@pytest.mark.core
def test_one_connection_plays_twice(node, feed, play):
    feed(node, "live/cam1")
    player = play(node, "live/cam1")
    player.wait_media(20)
    player.command("deleteStream", None, 1)
    player.create_stream()
    count = len(player.media)
    player.command("play", None, "cam1", sid=1)
    player.wait_media(count + 20)


@pytest.mark.core
def test_nothing_stays_in_memory(start, feed, play, play_flv):
    """When a stream has ended and its window has passed, no frame of it is left."""
    node = start("node", {"hls.segment_ms": 1000, "hls.window_segments": 3})
    publisher = feed(node, "live/cam1")
    for player in (play(node, "live/cam1"), play_flv(node, "live/cam1")):
        player.wait_media(20)
    assert node.metric("frames_alive") > 0
    publisher.finish()
    node.wait_metric("frames_alive", 0, 20)
    node.wait_metric("feeds", 0)
    assert node.metric("log_memory_bytes") == 0
