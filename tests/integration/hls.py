"""An HLS player with low latency that keeps what it got, and what playlists and nodes have to agree on."""
import http.client
import random
import re
import subprocess
import threading

import node as node_module
from waiting import scaled

NPM = node_module.ROOT / "tests" / "npm"
HINT = re.compile(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="(\w+-\d+-(\d+)\.(\d+)\.m4s)"')


def get(node, path, headers=None):
    status, _, body = node.request(path, port="http", headers=headers)
    return status, body


def text_of(node, path):
    status, body = get(node, path)
    assert status == 200, f"{path}: {status} {body[:200]}"
    return body.decode()


def hint_of(playlist):
    """(name, msn, part) of the coming part."""
    found = HINT.search(playlist)
    assert found, playlist
    return found[1], int(found[2]), int(found[3])


def follow(node, name, parts, rendition="main"):
    """Asks for the playlist of each of the next parts; all playlists."""
    base = f"/{name}/{rendition}.m3u8"
    got = [text_of(node, base)]
    for _ in range(parts):
        _, msn, part = hint_of(got[-1])
        got.append(text_of(node, f"{base}?_HLS_msn={msn}&_HLS_part={part}"))
    return got


def objects(playlist):
    """Names of all that it lists."""
    return sorted(set(re.findall(r'^(?!#)(\S+\.m4s)$|#EXT-X-(?:PART|MAP):.*?URI="([^"]+)"', playlist, re.M)))


def names(playlist):
    return [segment or uri for segment, uri in objects(playlist)]


def assert_valid(playlists, folder):
    files = []
    for i, text in enumerate(playlists):
        files.append(folder / f"{i}.m3u8")
        files[-1].write_text(text)
    done = subprocess.run(["node", NPM / "check_playlist.js", *files], capture_output=True, timeout=scaled(30))
    assert done.returncode == 0, done.stderr.decode()


class Nodes:
    """Any node, by connections that are kept, one for each thread and node."""

    def __init__(self, nodes):
        self.nodes, self.local, self.connections = list(nodes), threading.local(), []

    def get(self, node, path, headers=None):
        """(status, headers, body)"""
        kept = self.local.__dict__.setdefault("kept", {})
        for again in (True, False):
            if node not in kept:
                kept[node] = http.client.HTTPConnection(*node.http, timeout=scaled(20))
                self.connections.append(kept[node])
            connection = kept[node]
            try:
                connection.request("GET", path, headers=headers or {})
                answer = connection.getresponse()
                return answer.status, answer.headers, answer.read()
            except TimeoutError as e:
                raise TimeoutError(f"{node.id} {path}") from e
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                del kept[node]
                if not again:
                    raise

    def text(self, node, path):
        status, _, body = self.get(node, path)
        assert status == 200, f"{node.id} {path}: {status} {body[:200]}"
        return body.decode()


    def close(self):
        for connection in self.connections:
            connection.close()


class Follower:
    """A player with low latency behind a balancer that knows no connections: every request goes to any node."""

    def __init__(self, nodes, name):
        self.nodes, self.name, self.texts, self.error = nodes, name, [], None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        choice, query = random.Random(self.name), ""
        try:
            while not self.stopped.is_set():
                text = self.nodes.text(choice.choice(self.nodes.nodes), f"/{self.name}/main.m3u8{query}")
                self.texts.append(text)
                _, msn, part = hint_of(text)
                query = f"?_HLS_msn={msn}&_HLS_part={part}"
        except (AssertionError, OSError) as e:
            self.error = e

    def finish(self):
        self.stopped.set()
        self.thread.join(scaled(10))
