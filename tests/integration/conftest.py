import pytest

import flv
import media as media_module
import node as node_module
import rtmp


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """An .flv file: a few seconds of H.264 and AAC."""
    return media_module.make(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def tags(media):
    """The same as [(type, timestamp, body)]."""
    return [t for t in flv.file_tags(media)]


@pytest.fixture
def closing(started):
    """closing(thing) ends it with the test, before the nodes it is connected to."""
    things = []

    def add(thing):
        things.append(thing)
        return thing

    yield add
    for thing in reversed(things):
        for name in ("vanish", "finish", "close"):
            if hasattr(thing, name):
                getattr(thing, name)()
                break


@pytest.fixture
def started(request):
    """All nodes of the test; they have to end well."""
    nodes = []
    yield nodes
    problems = [p for node in reversed(nodes) for p in node.finish()]
    if problems:
        logs = "\n".join(f"--- {n.id}\n" + "\n".join(n.log.lines[-40:]) for n in nodes)
        pytest.fail("\n".join(problems) + "\n" + logs, pytrace=False)


@pytest.fixture
def redis(tmp_path):
    server = node_module.Redis(tmp_path)
    yield server
    server.finish()


@pytest.fixture
def start(started):
    """start(role, settings) runs a node and waits until it listens."""

    def run(role="node", settings=None, **options):
        node = node_module.Node(role, settings, **options)
        started.append(node)
        return node.ready()

    return run


@pytest.fixture
def node(start):
    """One whole node."""
    return start("node")


@pytest.fixture
def cluster(redis, start):
    """Nodes that find each other through Redis: cluster.start(role, id, settings)."""
    return node_module.Cluster(redis, start)


@pytest.fixture(params=["multicast", "static"])
def masterless(request, start):
    """Nodes that find each other by datagrams, in both ways."""
    return node_module.Masterless(request.param, start)


@pytest.fixture
def run(closing):
    """run(words) starts another program."""
    return lambda words, **options: closing(media_module.Program(words, **options))


@pytest.fixture
def publish(run, media):
    """publish(node, name) runs ffmpeg in real time."""

    def begin(node, name, source=media, loop=True):
        return run(media_module.publish_words(source, node.rtmp_url(name), loop))

    return begin


@pytest.fixture
def feed(closing, tags):
    """feed(node, name) publishes in real time and keeps what it sent."""

    def begin(node, name, **options):
        return closing(media_module.Feeder(node.rtmp, name, tags, **options))

    return begin


@pytest.fixture
def play(closing):
    """play(node, name) is an RTMP player that wants every track; abilities=None: one that announces nothing."""

    def begin(node, name, abilities=rtmp.EVERYTHING, **options):
        return closing(rtmp.player(node.rtmp, name, abilities, **options))

    return begin


@pytest.fixture
def play_flv(closing):
    """play_flv(node, name) is an HTTP-FLV player of every track."""

    def begin(node, name, query="?tracks=all", **options):
        return closing(flv.Player(node.http, f"/{name}.flv{query}", **options))

    return begin
