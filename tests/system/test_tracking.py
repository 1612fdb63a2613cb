"""CLIENT TRACKING through the proxy: the nodes' invalidations reach the clients that read the keys, and in order."""

from __future__ import annotations

import pytest

from tests.system.conftest import pool_config
from tests.system.tier import Link, error, running_nodes, running_proxy, until

#: One connection's requests; the replies are those of redis-server.
SCRIPT = """
client trackinginfo
client getredir
client caching yes
client tracking maybe
client tracking on prefix a
client tracking on bcast prefix a prefix ab
client tracking off
client tracking on
client trackinginfo
client getredir
client caching no
client tracking on optin
client tracking off
client tracking on optin
client caching yes
get a
client caching no
client caching sometimes
client tracking off
client tracking on optout noloop
client caching no
get a
client trackinginfo
reset
client trackinginfo
"""


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tracking")
    with running_nodes(directory, 3) as nodes, running_proxy(directory, nodes, engines=2) as proxy:
        yield proxy, nodes


class Tracker:
    """A RESP3 client that keeps its pushes apart from its replies, and the order in which both came."""

    def __init__(self, proxy, *options):
        self.link = proxy.link(3)
        self.pushes = []
        assert self("CLIENT", "TRACKING", "ON", *options) == b"OK"

    def __call__(self, *words):
        self.link.send(words)
        return self.reply()

    def reply(self):
        while True:
            reply = self.link.reply()
            if isinstance(reply, list) and reply[:1] == [b"invalidate"]:
                self.pushes.append(reply[1])
            else:
                return reply

    def invalidated(self):
        """The keys told so far."""
        self("PING")
        return [key for push in self.pushes for key in push or ["all"]]


@pytest.fixture
def tracker(tier):
    made = []

    def track(*options):
        made.append(Tracker(tier[0], *options))
        return made[-1]

    yield track
    for each in made:
        each.link.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_as_redis_does_it(redis_nodes, proxy_process, protocol):
    bare, node = redis_nodes(2)
    _, port = proxy_process(pool_config([node]))
    with Link(bare.port, protocol) as theirs, Link(port, protocol) as ours:
        for line in SCRIPT.strip().splitlines():
            for link in (theirs, ours):
                link.send(line.split())
            assert (line, ours.raw(1)) == (line, theirs.raw(1))


def test_what_was_read_is_told_when_it_changes_whoever_changes_it(tier, tracker):
    proxy, nodes = tier
    client = tracker()
    keys = [f"k{number}" for number in range(30)]
    with proxy.link() as other:
        for key in keys:
            other("SET", key, "v")
        assert client("MGET", *keys) == [b"v"] * 30
        for key in keys[:10]:
            other("SET", key, "w")
        client("SET", keys[10], "own")
        until(lambda: len(client.invalidated()) == 11, "they are told")
        assert set(client.invalidated()) == {key.encode() for key in keys[:11]}
        # Told once: not again before it was read again.
        other("SET", keys[0], "x")
        client("PING")
        assert len(client.invalidated()) == 11
        # Past the proxy, at the node itself.
        for node in nodes:
            node("DEL", *keys[20:])
        until(lambda: len(client.invalidated()) == 21, "they are told")


def test_an_invalidation_does_not_overtake_the_value_it_is_about(tier, tracker):
    """The read is answered by its node and waits for an earlier, slower one; meanwhile the key is changed."""
    proxy, nodes = tier
    client = tracker()
    with proxy.link() as other:
        homes = {}
        for number in range(100):
            other("SET", f"o{number}", "old")
            for index, node in enumerate(nodes):
                if node("EXISTS", f"o{number}"):
                    homes.setdefault(index, f"o{number}")
        slow, fast = homes[0], homes[1]
        nodes[0].freeze()
        client.link.send(["GET", slow], ["GET", fast])
        until(lambda: b"cmd=get" in nodes[1]("CLIENT", "LIST"), "the fast node has answered")
        assert other("SET", fast, "new") == b"OK"
        nodes[0].thaw()
        assert client.reply() == b"old" and not client.pushes
        assert client.reply() == b"old" and not client.pushes
        until(lambda: client.invalidated() == [fast.encode()], "it is told afterwards")


def test_optin_optout_and_bcast(tier, tracker):
    proxy, _ = tier
    optin, optout, prefix = tracker("OPTIN"), tracker("OPTOUT"), tracker("BCAST", "PREFIX", "in:")
    with proxy.link() as other:
        for number in range(20):
            other("SET", f"in:{number}", "v")
        for number in range(20):
            if number % 2:
                optin("CLIENT", "CACHING", "YES")
                optout("CLIENT", "CACHING", "NO")
            assert optin("GET", f"in:{number}") == optout("GET", f"in:{number}") == b"v"
        for client in (optin, optout, prefix):
            client.pushes.clear()
        for number in range(20):
            other("SET", f"in:{number}", "w")
        odd, even = ({f"in:{number}".encode() for number in range(start, 20, 2)} for start in (1, 0))
        until(lambda: set(prefix.invalidated()) == odd | even, "every change is told")
        until(lambda: set(optin.invalidated()) == odd, "what was opted in is told")
        until(lambda: set(optout.invalidated()) == even, "what was not opted out is told")


def test_a_wish_holds_for_a_whole_transaction(tier, tracker):
    proxy, _ = tier
    client = tracker("OPTIN")
    client("CLIENT", "CACHING", "YES")
    for words in (("MULTI",), ("GET", "tx"), ("EXEC",)):
        client(*words)
    assert client("GET", "other") is None
    proxy("SET", "tx", "1")
    proxy("SET", "other", "1")
    until(lambda: client.invalidated() == [b"tx"], "the key of the transaction is told")


def test_flushall_and_a_lost_node_void_everything(tmp_path):
    with running_nodes(tmp_path, 1) as nodes, running_proxy(tmp_path, nodes) as proxy:
        client = Tracker(proxy)
        client("SET", "k", "v")
        client("GET", "k")
        nodes[0]("FLUSHALL")
        until(lambda: client.invalidated() == ["all"], "all of it is void")
        client.pushes.clear()
        nodes[0].kill()
        until(lambda: client.invalidated() == ["all"], "all of it is void")
        nodes[0].start()
        until(lambda: client("SET", "k", "v") == b"OK", "the node is back")
        client("GET", "k")
        client.pushes.clear()
        nodes[0]("SET", "k", "w")
        until(lambda: client.invalidated() == [b"k"], "it is tracked again")
        client.link.close()


def test_off_gives_the_connections_back(tier, tracker):
    proxy, nodes = tier
    client = tracker()
    client("GET", "k")
    assert client("CLIENT", "TRACKING", "OFF") == b"OK"
    tracking = lambda: sum(int(node("INFO", "clients").split(b"tracking_clients:")[1].split()[0]) for node in nodes)  # noqa: E731
    until(lambda: tracking() == 0, "nobody tracks")
    with proxy.link(3) as link:
        link("CLIENT", "TRACKING", "ON")
        assert tracking() == 3
    until(lambda: tracking() == 0, "nobody tracks after the client left")


def test_redirect_is_refused(tier):
    with tier[0].link() as link:
        assert error(link("CLIENT", "TRACKING", "ON", "REDIRECT", "1"), "REDIRECT is not supported")
