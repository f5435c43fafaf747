"""A Redis master with two replicas, and three Sentinels that watch them."""
import signal
import socketserver
import subprocess
import threading

import redis as client_module

import node as n
from waiting import scaled, wait_for

MASTER = "main"
SENTINEL = """port {port}
bind {host}
dir {folder}
sentinel monitor {name} {host} {master} 2
sentinel down-after-milliseconds {name} {down_after_ms}
sentinel failover-timeout {name} 10000
"""


class Sentinel:
    def __init__(self, folder, master_port, down_after_ms):
        self.port = n.free_port()
        folder.mkdir()
        path = folder / "sentinel.conf"
        path.write_text(SENTINEL.format(port=self.port, host=n.HOST, folder=folder, name=MASTER, master=master_port,
                                        down_after_ms=down_after_ms))
        self.process = subprocess.Popen(["redis-server", str(path), "--sentinel"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def master(self):
        """What it says of the master, or None."""
        try:
            link = client_module.Redis(n.HOST, self.port, decode_responses=True, socket_timeout=scaled(2))
            return link.sentinel_master(MASTER)
        except client_module.RedisError:
            return None

    def finish(self):
        self.process.kill()
        self.process.wait()


class Sentinels:
    """Looks like node.Redis: client() talks to the master of the moment."""

    def __init__(self, folder, down_after_ms=1000):
        self.down_after_s = down_after_ms / 1000
        self.servers = []
        for i in range(3):
            words = [] if i == 0 else ["--replicaof", f"{n.HOST} {self.servers[0].port}"]
            words += ["--repl-diskless-sync-delay", "0"]
            self.servers.append(n.Redis(folder, words))
        first = self.servers[0].port
        wait_for(lambda: self.servers[0].client().info("replication")["connected_slaves"] == 2, 20, "two replicas")
        self.watchers = [Sentinel(folder / f"sentinel{i}", first, down_after_ms) for i in range(3)]
        wait_for(lambda: all(self._is_complete(w) for w in self.watchers), 30, "the Sentinels to know each other")

    @staticmethod
    def _is_complete(watcher):
        have = watcher.master()
        return have is not None and have["num-slaves"] == 2 and have["num-other-sentinels"] == 2

    @property
    def settings(self):
        return {"cluster.redis.sentinels": [f"{n.HOST}:{w.port}" for w in self.watchers], "cluster.redis.master": MASTER}

    @property
    def url(self):
        """Nothing answers there: only Sentinel says where Redis is."""
        return f"redis://{n.HOST}:1/0"

    def master_port(self):
        found = {have["port"] for have in (w.master() for w in self.watchers) if have is not None}
        return found.pop() if len(found) == 1 else None

    def server(self):
        port = wait_for(self.master_port, 20, "the Sentinels to agree")
        return next(s for s in self.servers if s.port == port)

    def client(self):
        return self.server().client()

    def finish(self):
        for watcher in self.watchers:
            watcher.finish()
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
            server.finish()


class FakeSentinel:
    """Says what it is told to: one for each node gives nodes different ideas of the master."""

    def __init__(self, port_of_master):
        self.port_of_master = port_of_master
        self.listeners = []
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while words := self.read_words():
                    answer = fake.answer(words, self)
                    self.wfile.write(answer.encode())

            def read_words(self):
                try:
                    count = int(self.rfile.readline()[1:] or 0)
                    words = []
                    for _ in range(count):
                        size = int(self.rfile.readline()[1:])
                        words.append(self.rfile.read(size + 2)[:-2].decode())
                    return words
                except (ValueError, OSError):
                    return []

        self.server = socketserver.ThreadingTCPServer((n.HOST, 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def settings(self):
        return {"cluster.redis.sentinels": [f"{n.HOST}:{self.server.server_address[1]}"], "cluster.redis.master": MASTER}

    @staticmethod
    def bulks(*words):
        return f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)

    def answer(self, words, handler):
        match [w.upper() for w in words]:
            case ["PING"]:
                return "+PONG\r\n"
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", _]:
                return self.bulks(n.HOST, str(self.port_of_master))
            case ["SUBSCRIBE", _]:
                self.listeners.append(handler)
                return f"*3\r\n$9\r\nsubscribe\r\n${len(words[1])}\r\n{words[1]}\r\n:1\r\n"
        return "+OK\r\n"

    def say_moved(self):
        wait_for(lambda: self.listeners, 5, "a listener")
        text = f"{MASTER} {n.HOST} 1 {n.HOST} {self.port_of_master}"
        for handler in self.listeners:
            handler.wfile.write(self.bulks("message", "+switch-master", text).encode())

    def finish(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
