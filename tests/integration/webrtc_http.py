"""WHIP and WHEP as HTTP requests, with the offers of real clients."""
import http.client
import json

import node as node_module
from waiting import scaled

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
OFFERS = node_module.ROOT / "tests" / "fuzz" / "corpus" / "sdp_offer"
NEW_ICE = "a=ice-ufrag:newu\r\na=ice-pwd:0123456789012345678901\r\n"
CANDIDATE = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"


def offer(name):
    return (OFFERS / name).read_bytes().decode()


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read().decode()

    def code(self):
        """The word of an error."""
        return json.loads(self.body)["error"]["code"]


def ask(node, method, path, body="", port="http", **headers):
    host, number = node.address(port)
    connection = http.client.HTTPConnection(host, number, timeout=scaled(15))
    try:
        connection.request(method, path, body.encode(), {k.replace("_", "-"): v for k, v in headers.items()})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def post(node, path, name, **headers):
    return ask(node, "POST", path, offer(name), **{"Content_Type": SDP, **headers})


class Session:
    """One that was answered; ended by its URL, at whatever node."""

    def __init__(self, node, path, name, **headers):
        self.node = node
        self.key = {k: v for k, v in headers.items() if k == "Authorization"}
        answer = post(node, path, name, **headers)
        assert answer.status == 201, (answer.status, answer.body)
        self.url, self.etag, self.answer = answer.headers["Location"], answer.headers["ETag"], answer

    def get(self, node=None):
        return ask(node or self.node, "GET", self.url, **self.key)

    def patch(self, body, match=None, node=None):
        headers = {"If_Match": match} if match else {}
        return ask(node or self.node, "PATCH", self.url, body, Content_Type=FRAGMENT, **headers, **self.key)

    def delete(self, node=None):
        return ask(node or self.node, "DELETE", self.url, **self.key)
