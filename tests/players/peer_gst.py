"""peer_gst.py play|publish URL: GStreamer's webrtcbin as a WHEP player or a WHIP publisher that sends its candidates by PATCH.
Writes what it has as lines of JSON; ends when its standard input does.  libnice reaches no loopback address."""
import json
import sys
import threading
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = """webrtcbin name=peer bundle-policy=max-bundle
 videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! x264enc tune=zerolatency speed-preset=ultrafast
 key-int-max=25 bitrate=400 ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency
 ! application/x-rtp,media=video,encoding-name=H264,payload=96 ! peer.
 audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay
 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer."""
CAPS = {"video": "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1,"
                 "profile-level-id=(string)42e01f,rtcp-fb-nack-pli=true",
        "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"}
STATES = ["new", "connecting", "connected", "disconnected", "failed", "closed"]


def request(method, url, body="", kind="application/sdp", **headers):
    asked = urllib.request.Request(url, method=method, data=body.encode() or None,
                                   headers={"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.status, answer.headers, answer.read().decode()


class Peer:
    def __init__(self, what, url):
        self.url, self.location, self.candidates, self.counts, self.patched = url, None, [], {}, 0
        if what == "publish":
            self.pipeline = Gst.parse_launch(PUBLISH)
            self.bin = self.pipeline.get_by_name("peer")
        else:
            self.pipeline, self.bin = Gst.Pipeline.new(), Gst.ElementFactory.make("webrtcbin")
            self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(self.bin)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, m: print(json.dumps({"event": "error", "details": str(m.parse_error())}), flush=True))
        self.bin.connect("on-ice-candidate", self.on_candidate)
        self.bin.connect("on-negotiation-needed", self.on_needed)
        if what == "play":
            self.bin.connect("pad-added", self.on_pad)
            for caps in CAPS.values():
                self.bin.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
        self.pipeline.set_state(Gst.State.PLAYING)

    def on_needed(self, peer):
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer, None, None))

    def on_offer(self, promise, _1, _2):
        reply = promise.get_reply()  # the offer lives as long as this
        offer = reply.get_value("offer")
        self.bin.emit("set-local-description", offer, Gst.Promise.new())
        status, headers, body = request("POST", self.url, offer.sdp.as_text())
        self.location, self.etag = urljoin(self.url, headers["Location"]), headers["ETag"]
        _, message = GstSdp.SDPMessage.new_from_text(body)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.bin.emit("set-remote-description", answer, Gst.Promise.new())
        GLib.timeout_add(300, self.trickle)

    def on_candidate(self, _, index, candidate):
        self.candidates.append(candidate)

    def trickle(self):
        lines = "".join(f"a={c}\r\n" for c in self.candidates)
        status, _, _ = request("PATCH", self.location, f"m=video 9 RTP/AVP 0\r\na=mid:video0\r\n{lines}",
                               "application/trickle-ice-sdpfrag", If_Match=self.etag)
        self.patched = status
        return False

    def on_pad(self, _, pad):
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("sync", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))
        sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.on_buffer, kind)

    def on_buffer(self, pad, info, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return Gst.PadProbeReturn.OK

    def tell(self):
        state = STATES[int(self.bin.get_property("connection-state"))]
        print(json.dumps({"event": "peer", "state": state, "patched": self.patched, **self.counts}), flush=True)
        return True

    def end(self):
        if self.location:
            request("DELETE", self.location, If_Match=self.etag)
        self.pipeline.set_state(Gst.State.NULL)


Gst.init(None)
loop = GLib.MainLoop()
peer = Peer(*sys.argv[1:3])
GLib.timeout_add(200, peer.tell)
threading.Thread(target=lambda: (sys.stdin.read(), GLib.idle_add(loop.quit)), daemon=True).start()
loop.run()
peer.end()
