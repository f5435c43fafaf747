"""A source that flashes and beeps at the same time, once a second, and how far the two are apart where they arrive."""
import statistics

RATE = 30


def publish_words(url, sound=("-c:a", "aac", "-b:a", "96k"), sample_rate=44100, key_frames_s=2):
    """ffmpeg, in real time, as encoders for low latency do it."""
    picture = f"color=c=black:s=320x180:r={RATE},drawbox=t=fill:c=white:enable='lt(mod(t,1),0.0667)'"
    tone = f"aevalsrc='if(lt(mod(t,1),0.0667),0.5*sin(2*PI*1000*t),0)':s={sample_rate}:c=stereo"
    return ["ffmpeg", "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", tone,
            "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(key_frames_s * RATE), "-sc_threshold", "0",
            "-b:v", "300k", "-pix_fmt", "yuv420p", "-threads", "1", *sound, "-flush_packets", "1", "-f", "flv", url]


def offsets(flashes, beeps, period):
    """(time, how much later than the flash its beep was) of each flash that has one."""
    pairs = []
    for flash in flashes:
        late = min((b - flash for b in beeps), key=abs, default=period)
        if abs(late) < period / 2:
            pairs.append((flash, late))
    return pairs


def shown(browser):
    """The same of a browser that watches (tests/players/beeps.js): seconds since its first picture, and ms."""
    first = browser.wait_event("first")["ms"]
    pairs = offsets([e["ms"] for e in browser.all("flash")], [e["ms"] for e in browser.all("beep")], 1000)
    return [((at - first) / 1000, late) for at, late in pairs]


def believed(browser):
    """What the browser itself thinks: seconds since its first picture, and ms."""
    first = browser.wait_event("first")["at_ms"]
    return [((e["at_ms"] - first) / 1000, e["sound_late_ms"]) for e in browser.all("playout") if "sound_late_ms" in e]


def median_ms(pairs, since_s, until_s=float("inf")):
    return statistics.median(late for at, late in pairs if since_s <= at < until_s)
