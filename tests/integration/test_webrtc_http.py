"""What WHIP and WHEP answer over HTTP (RFC 9725, draft-ietf-wish-whep): every code, at any node of a cluster."""
import json
import re
import signal

import pytest

from waiting import wait_for
from webrtc_http import CANDIDATE, FRAGMENT, NEW_ICE, SDP, Session, ask, offer, post

pytestmark = pytest.mark.core

EXPOSED = {"location", "link", "etag", "accept-patch", "retry-after"}
SOON = {"stream.wait_ms": 300}


def words(text):
    return {w.strip().lower() for w in (text or "").split(",")}


@pytest.mark.parametrize("kind", ["whip", "whep"])
def test_endpoint(node, kind):
    path = f"/live/cam1/{kind}"
    found = ask(node, "GET", path)
    assert (found.status, found.body) == (204, "") and EXPOSED <= words(found.headers["Access-Control-Expose-Headers"])
    assert ask(node, "HEAD", path).status == 200
    assert ask(node, "HEAD", path).headers["Content-Type"] == (SDP if kind == "whep" else None)
    options = ask(node, "OPTIONS", path, Origin="http://a.example", Access_Control_Request_Method="POST")
    assert options.status == 204 and options.headers["Accept-Post"] == SDP
    assert words(options.headers["Access-Control-Allow-Methods"]) == {"options", "get", "head", "post", "patch", "delete"}
    assert words(options.headers["Access-Control-Allow-Headers"]) >= {"authorization", "content-type", "if-match"}
    for method in ("PUT", "PATCH", "DELETE"):
        refused = ask(node, method, path)
        assert refused.status == 405 and words(refused.headers["Allow"]) == {"options", "get", "head", "post"}


@pytest.mark.parametrize("kind", ["whip", "whep"])
@pytest.mark.parametrize("content_type, body, status, code", [
    ("text/plain", "v=0\r\n", 415, "type"),
    ("", "v=0\r\n", 415, "type"),
    (SDP, "", 400, "bad_offer"),
    (SDP, "v=0\r\ns=-\r\n", 400, "bad_offer"),
    (SDP, "v=0\r\na=ice-pwd:short\r\n", 400, "bad_offer"),
    pytest.param(SDP, "a" * 65537, 413, "too_large", id="too_large"),
])
def test_offers_that_are_none(node, kind, content_type, body, status, code):
    node.expect(r"http\.bad")
    answer = ask(node, "POST", f"/live/cam1/{kind}", body, Content_Type=content_type)
    assert (answer.status, answer.code()) == (status, code)


@pytest.mark.parametrize("path", ["/live/cam1/whep", "/rtc/v1/whep/?app=live&stream=cam1&eip=192.0.2.1:8000&secret=x"])
def test_nobody_is_publishing(start, path):
    node = start("node", SOON)
    answer = post(node, path, "chrome-whep")
    assert (answer.status, answer.code()) == (409, "not_live") and int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("kind", ["whip", "whep"])
def test_endpoint_as_srs_has_it(node, kind):
    for path in (f"/rtc/v1/{kind}/?app=live&stream=cam1", f"/rtc/v1/{kind}?stream=cam1&app=live"):
        assert ask(node, "GET", path).status == 204 and ask(node, "HEAD", path).status == 200
        assert ask(node, "OPTIONS", path).status == 204 and ask(node, "DELETE", path).status == 405
        assert ask(node, "POST", path, "v=0", Content_Type="text/plain").status == 415
    for query in ("", "?app=live", "?stream=cam1", "?app=api&stream=cam1", "?app=live&stream=..", "?app=live&stream=a%2Fb"):
        answer = post(node, f"/rtc/v1/{kind}/{query}", f"chrome-{kind}")
        assert (answer.status, answer.code()) == (400, "bad_name"), query


def test_ice_servers(start):
    """Told in answers and to who asks for options, but not in a preflight."""
    node = start("node", {"webrtc.ice_servers": ["stun:stun.example:3478", "turn:turn.example:3478 me secret"]})
    wanted = {'<stun:stun.example:3478>; rel="ice-server"', '<turn:turn.example:3478>; rel="ice-server"; username="me"; '
              'credential="secret"; credential-type="password"'}
    session = Session(node, "/live/cam1/whip", "chrome-whip")
    assert set(session.answer.headers.get_all("Link")) == wanted
    assert set(ask(node, "OPTIONS", "/live/cam1/whep").headers.get_all("Link")) == wanted
    preflight = ask(node, "OPTIONS", "/live/cam1/whep", Origin="http://a.example", Access_Control_Request_Method="POST")
    assert preflight.status == 204 and preflight.headers["Link"] is None
    assert session.delete().status == 200


def test_nodes_that_have_no_players(start):
    answer = post(start("origin"), "/live/cam1/whep", "chrome-whep")
    assert (answer.status, answer.code()) == (403, "refused")


def test_a_node_without_webrtc(start, feed):
    node = start("node", {"webrtc.listen": "", "webrtc.tcp_listen": ""})
    assert node.get_json("/api/v1/node")["listen"]["webrtc"] == []
    for kind in ("whip", "whep"):
        answer = post(node, f"/live/cam1/{kind}", f"chrome-{kind}")
        assert (answer.status, answer.code()) == (403, "refused") and "webrtc.listen" in answer.body
    node.signal(signal.SIGHUP)
    node.log.wait(r"config\.reloaded")


def test_codecs_that_are_not_there(start, feed):
    node = start("node", SOON)
    feed(node, "live/cam1")
    wait_for(lambda: '"video"' in json.dumps(node.get_json("/api/v1/streams")), what="pictures")
    only_vp8 = re.sub(r"a=rtpmap:\d+ (H264|VP9|AV1)/90000\r\n", "", offer("chrome-whep"))
    answer = ask(node, "POST", "/live/cam1/whep", only_vp8, Content_Type=SDP)
    assert (answer.status, answer.code()) == (422, "unsupported")
    no_opus = offer("chrome-whip").replace("opus/48000/2", "L16/48000/2")
    answer = ask(node, "POST", "/live/cam2/whip", no_opus, Content_Type=SDP)
    assert (answer.status, answer.code()) == (422, "unsupported")


def test_publishers_need_a_key(start):
    node = start("node", {"auth.publish_keys": ["sesame-sesame"]})
    for headers in ({}, {"Authorization": "Bearer sesame"}, {"Authorization": "Basic sesame-sesame"}):
        answer = post(node, "/live/cam1/whip", "chrome-whip", **headers)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
    key = {"Authorization": "Bearer sesame-sesame"}
    session = Session(node, "/live/cam1/whip", "chrome-whip", **key)
    assert ask(node, "DELETE", session.url).status == 401
    assert ask(node, "PATCH", session.url, CANDIDATE, Content_Type=FRAGMENT, If_Match="*").status == 401
    preflight = {"Origin": "http://a.example", "Access_Control_Request_Method": "PATCH"}
    assert ask(node, "OPTIONS", session.url, **preflight).status == 204
    assert ask(node, "OPTIONS", "/live/cam1/whip", **preflight).status == 204
    assert ask(node, "DELETE", session.url, If_Match='"other"', **key).status == 200


@pytest.mark.parametrize("name, setup", [
    ("chrome-whip", "passive"), ("ffmpeg-whip", "active"), ("webrtcbin-whip", "passive")])
def test_offers_of_publishers(node, name, setup):
    session = Session(node, "/rtc/v1/whip/?app=live&stream=cam1", name)
    answer = session.answer
    assert answer.headers["Content-Type"] == SDP and answer.headers["Accept-Patch"] == FRAGMENT
    assert session.url.startswith("/live/cam1/whip/") and re.fullmatch(r'"[^"]+"', session.etag)
    assert len(session.url.rsplit("~", 1)[1]) >= 32
    lines = answer.body.split("\r\n")
    assert lines.count(f"a=setup:{setup}") == 2 and "a=ice-lite" in lines and "a=end-of-candidates" in lines
    port = node.address("webrtc")[1] if "webrtc" in node.ports else None
    candidates = [l for l in lines if l.startswith("a=candidate:")]
    assert candidates and (port is None or any(" 127.0.0.1 " in c for c in candidates))
    assert session.delete().status == 200
    assert session.delete().status == 404


def check_session(session, node):
    """The table of a session's URL; the session is over afterwards."""
    assert session.get(node).status == 204
    for method in ("POST", "PUT"):
        refused = ask(node, method, session.url)
        assert refused.status == 405 and words(refused.headers["Allow"]) == {"options", "get", "head", "patch", "delete"}
    options = ask(node, "OPTIONS", session.url)
    assert options.status == 204 and options.headers["Accept-Patch"] == FRAGMENT
    wrong = ask(node, "PATCH", session.url, offer("chrome-whip"), Content_Type=SDP, If_Match=session.etag)
    assert wrong.status == 415 and wrong.headers["Accept-Patch"] == FRAGMENT
    assert session.patch(CANDIDATE, None, node).status == 428
    assert session.patch(CANDIDATE, '"other"', node).status == 412
    assert session.patch("a=ice-ufrag:alone\r\n", session.etag, node).status == 400
    trickled = session.patch(CANDIDATE, session.etag, node)
    assert (trickled.status, trickled.body, trickled.headers["ETag"]) == (204, "", None)
    restarted = session.patch(NEW_ICE + CANDIDATE, "*", node)
    assert restarted.status == 200 and restarted.headers["Content-Type"] == FRAGMENT
    assert restarted.headers["ETag"] not in (None, session.etag)
    assert {"a=ice-lite", "a=end-of-candidates"} <= set(restarted.body.split("\r\n"))
    old, new = (re.search(r"a=ice-ufrag:(\S+)", text).group(1) for text in (session.answer.body, restarted.body))
    assert old != new
    assert session.patch(CANDIDATE, session.etag, node).status == 412
    assert session.patch(CANDIDATE, restarted.headers["ETag"], node).status == 204
    assert session.delete(node).status == 200
    for gone in (session.delete(node), session.get(node), session.patch(CANDIDATE, "*", node)):
        assert gone.status == 404


def test_session(node):
    check_session(Session(node, "/live/cam1/whip", "chrome-whip"), node)
    node.wait_metric("publishers", 0)


def test_viewer(node, feed):
    feed(node, "live/cam1")
    session = Session(node, "/live/cam1/whep", "chrome-whep")
    lines = session.answer.body.split("\r\n")
    assert lines.count("a=sendonly") >= 1 and any(l.startswith("a=ssrc:") for l in lines)
    assert not any("transport-cc" in l for l in lines)
    check_session(session, node)
    node.wait_metric("rtc_peers", 0)


def test_through_another_node(cluster):
    here, there = cluster.start("node", "n1"), cluster.start("node", "n2")
    check_session(Session(here, "/live/cam1/whip", "chrome-whip"), there)
    assert there.metric("rtc_carries_total") >= 10
    assert here.metric("rtc_carries_total") == 0


def test_the_node_of_a_session_dies(cluster):
    here, there = cluster.start("node", "n1"), cluster.start("node", "n2")
    session = Session(here, "/live/cam1/whip", "chrome-whip")
    assert session.get(there).status == 204
    here.kill()
    answer = session.delete(there)
    assert answer.status == 404 or (answer.status == 503 and int(answer.headers["Retry-After"]) > 0)


def test_requests_between_nodes_are_signed(cluster):
    node = cluster.start("node", "n1")
    answer = ask(node, "POST", "/cluster/v1/rtc", '{"kind":"whip"}', port="cluster", Content_Type="application/json")
    assert answer.status == 401
