"""A pool in front of a Redis Cluster: real nodes, whose slots move, fail over, and are not served.

One cluster of three primaries and three replicas serves all tests of this file, and is left as it was found. The proxy
is looked at from outside: no client may notice that a slot has moved, but for what is documented.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import pytest

from proxy.placement import slot_of
from tests.system.conftest import free_port
from tests.system.redis_cluster import SLOTS, RedisCluster, redis_cluster
from tests.system.tier import Link, Proxy, error, until

KEYS = [f"key:{number}" for number in range(200)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, cluster: RedisCluster) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), [], f"cluster: {cluster.seeds}\ntimeout: 15s", engines=2)
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Link]:
    with proxy.link() as link:
        until(lambda: link("FLUSHALL") == b"OK", "the proxy has seen what the test before has changed")
        yield link


def other(cluster: RedisCluster, slot: int) -> Any:
    """A primary that does not hold this slot."""
    owner = cluster.owner(slot)
    return next(node for node in cluster.nodes if node.role() == "master" and node is not owner)


# -- where keys live --------------------------------------------------------------------------------------------------


def test_slots_are_redis_s_own(cluster: RedisCluster, client: Link) -> None:
    odd = ["", "a", "{user}:1", "{}:1", "a{b}c{d}", "{a", "a}b{c}", "{{x}}", "\x80\xff{\xfe}", "k" * 300]
    for key in [*odd, *KEYS[:20]]:
        raw = key.encode("latin-1")
        assert slot_of(raw) == cluster.nodes[0]("CLUSTER", "KEYSLOT", raw)
        assert client("SET", raw, "x") == b"OK"
        assert cluster.owner(slot_of(raw))("GET", raw) == b"x"


def test_commands_with_many_keys_are_split_by_slot(cluster: RedisCluster, client: Link) -> None:
    pairs = [word for key in KEYS for word in (key, f"value of {key}")]
    assert client("MSET", *pairs) == b"OK"
    assert sum(node("DBSIZE") for node in cluster.nodes[:3]) == len(KEYS) == client("DBSIZE")
    assert client("MGET", *KEYS, "missing") == [*(f"value of {key}".encode() for key in KEYS), None]
    third = b"value of key:3"
    assert client("MGET", KEYS[3], KEYS[3], "{t}1", KEYS[4]) == [third, third, None, b"value of key:4"]
    assert client("EXISTS", *KEYS, KEYS[0], "missing") == len(KEYS) + 1
    assert client("TOUCH", *KEYS) == len(KEYS)
    assert client("DEL", *KEYS[:50]) == 50
    assert client("UNLINK", *KEYS[:60]) == 10
    assert sorted(client("KEYS", "*")) == sorted(key.encode() for key in KEYS[60:])
    error(client("MSET", "a", "1", "b"), "wrong number of arguments")


def test_other_commands_need_one_slot(cluster: RedisCluster, client: Link) -> None:
    one = [key for key in KEYS if cluster.owner(slot_of(key.encode())) is cluster.nodes[0]][:2]
    error(client("SINTERSTORE", *one, one[0]), "^CROSSSLOT ")  # on one node they are, and that is not enough
    error(client("EVAL", "return 1", 2, *one), "^CROSSSLOT ")
    assert client("SADD", "{t}a", "x", "y") == 2
    assert client("SUNIONSTORE", "{t}b", "{t}a", "{t}c") == 2
    assert client("EVAL", "return redis.call('scard', KEYS[1])", 1, "{t}b") == 2
    assert client("EVAL", "return 7", 0) == 7
    digest = client("SCRIPT", "LOAD", "return redis.call('get', KEYS[1])")
    client("MSET", *[word for key in KEYS for word in (key, key)])
    assert [client("EVALSHA", digest, 1, key) for key in KEYS[:30]] == [key.encode() for key in KEYS[:30]]


def test_there_is_one_database(client: Link) -> None:
    assert client("SELECT", 0) == b"OK"
    error(client("SELECT", 1), "SELECT is not allowed in cluster mode")
    error(client("CLUSTER", "INFO"), "cluster support disabled")  # it is one Redis to its clients


def test_scan_finds_every_key_once(client: Link) -> None:
    client("MSET", *[word for key in KEYS for word in (key, key)])
    cursor, found = b"0", []
    while True:
        cursor, keys = client("SCAN", cursor, "COUNT", 7)
        found += keys
        if cursor == b"0":
            break
    assert sorted(found) == sorted(key.encode() for key in KEYS)
    error(client("SCAN", 12345678901), "the cluster has changed")


def test_transactions_have_one_slot(cluster: RedisCluster, client: Link) -> None:
    for request in (["MULTI"], ["SET", "{t}1", "a"], ["INCR", "{t}2"], ["PING"], ["MGET", "{t}1", "{t}2"]):
        client(*request)
    assert client("EXEC") == [b"OK", 1, b"PONG", [b"a", b"1"]]
    one = [key for key in KEYS if cluster.owner(slot_of(key.encode())) is cluster.nodes[0]][:2]
    client("MULTI")
    assert client("SET", one[0], 1) == b"QUEUED"
    error(client("SET", one[1], 1), "^CROSSSLOT ")
    error(client("EXEC"), "^EXECABORT ")
    assert client("WATCH", "{t}1") == b"OK"
    client("MULTI")
    client("GET", "{t}1")
    assert client("EXEC") == [b"a"]
    assert client("WATCH", "{t}1") == b"OK"
    cluster.owner(slot_of(b"{t}1"))("SET", "{t}1", "b")
    client("MULTI")
    client("GET", "{t}1")
    assert client("EXEC") is None


# -- slots that move --------------------------------------------------------------------------------------------------


def test_a_slot_that_moved_is_followed(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """Pipelines, transactions, scripts, waiting pops, what is split and what is large: all of them get there."""
    slot = slot_of(b"{t}")
    client("MSET", "{t}1", "a", "x", "b", "{t}2", "c")
    digest = client("SCRIPT", "LOAD", "return redis.call('get', KEYS[1])")
    for turn in range(2):
        target = other(cluster, slot)
        with proxy.link() as waiting:
            waiting.send(["BLPOP", "{t}list", 10])
            until(lambda: b"blocked_clients:1" in cluster.owner(slot)("INFO", "clients"), "it waits at its node")
            cluster.move(slot, target)
            client.send(
                ["GET", "{t}1"], ["SET", "{t}1", f"a{turn}"], ["GET", "{t}1"], ["MULTI"], ["INCR", "{t}n"],
                ["GET", "{t}1"], ["EXEC"], ["MGET", "x", "{t}1", "{t}2"], ["EVALSHA", digest, 1, "{t}1"],
                ["SET", "{t}big", "v" * 300_000], ["STRLEN", "{t}big"], ["RPUSH", "{t}list", turn],
            )  # fmt: skip
            expected = f"a{turn}".encode()
            before = b"a" if turn == 0 else b"a0"
            assert client.replies(12) == [
                before, b"OK", expected, b"OK", b"QUEUED", b"QUEUED", [turn + 1, expected], [b"b", expected, b"c"],
                expected, b"OK", 300_000, 1,
            ]  # fmt: skip
            assert waiting.reply() == [b"{t}list", str(turn).encode()]
        assert cluster.owner(slot)("GET", "{t}1") == expected
    error(cluster.nodes[2]("GET", "{t}1"), "^MOVED ")


@pytest.mark.parametrize("kind", ["hostname", "unknown-endpoint"])
def test_a_node_that_does_not_say_its_host(cluster: RedisCluster, proxy: Proxy, client: Link, kind: str) -> None:
    """`MOVED slot ?:port`, because it has no name, or `MOVED slot :port`, because it is not to tell."""
    slot = slot_of(b"{t}")
    client("SET", "{t}1", "a")
    for node in cluster.nodes:
        node("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)
    try:
        for _ in range(2):
            source, target = cluster.owner(slot), other(cluster, slot)
            cluster.move(slot, target)
            error(source("GET", "{t}1"), "^MOVED [0-9]+ " + (r"\?:" if kind == "hostname" else ":"))
            assert client("GET", "{t}1") == b"a"
    finally:
        for node in cluster.nodes:
            node("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


def test_a_script_in_a_transaction_that_moves(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """The node where the transaction ends up has never seen the script."""
    slot = slot_of(b"{t}")
    for turn in range(2):
        script = f"return redis.call('incr', KEYS[1]) -- {turn}"
        digest = hashlib.sha1(script.encode()).hexdigest()
        assert client("EVAL", script, 1, "{t}n") == 4 * turn + 1
        assert client("EVALSHA", digest, 1, "{t}n") == 4 * turn + 2  # from here on it goes without the body
        target = other(cluster, slot)
        assert target("SCRIPT", "EXISTS", digest) == [0]
        cluster.move(slot, target)
        client.send(
            ["MULTI"], ["EVALSHA", digest, 1, "{t}n"], ["SET", "{t}1", "a"], ["EVALSHA", digest, 1, "{t}n"], ["EXEC"]
        )
        assert client.replies(5)[4] == [4 * turn + 3, b"OK", 4 * turn + 4]


def test_a_slot_on_its_way(cluster: RedisCluster, client: Link) -> None:
    """ASK: what has arrived already, and what is new. TRYAGAIN: keys here and there, until they are together."""
    slot = slot_of(b"{t}")
    client("MSET", "{t}1", "a", "{t}2", "b")
    target = other(cluster, slot)
    source = cluster.open(slot, target)
    source("MIGRATE", "127.0.0.1", target.port, "{t}1", 0, 5000)
    client.send(
        ["GET", "{t}1"], ["GET", "{t}2"], ["SET", "{t}new", "n"], ["GET", "{t}new"], ["MULTI"], ["INCR", "{t}n"],
        ["INCR", "{t}n"], ["EXEC"], ["SET", "{t}1", "A"], ["GET", "{t}1"],
    )  # fmt: skip
    assert client.replies(10) == [b"a", b"b", b"OK", b"n", b"OK", b"QUEUED", b"QUEUED", [1, 2], b"OK", b"A"]
    client.send(["MGET", "{t}1", "{t}2"], ["GET", "{t}2"])
    error(client.reply(), "^TRYAGAIN ")  # because something was sent since
    assert client.reply() == b"b"
    client.send(["MGET", "{t}1", "{t}2"])
    time.sleep(0.1)
    cluster.migrate(slot, source, target)
    cluster.close(slot, target)
    assert client.reply() == [b"A", b"b"]


def test_order_is_kept_while_slots_move(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """One client appends numbers to a list in a pipeline that never ends, while the list's slot goes round."""
    slot = slot_of(b"{t}")
    stop = threading.Event()
    sent = 0
    wrong: list[Any] = []

    def append() -> None:
        nonlocal sent
        with proxy.link() as link:
            while not stop.is_set():
                link.send(*(["RPUSH", "{t}order", number] for number in range(sent, sent + 50)))
                sent += 50
                wrong.extend(reply for reply in link.replies(50) if not isinstance(reply, int))

    thread = threading.Thread(target=append)
    thread.start()
    try:
        for _ in range(6):
            cluster.move(slot, other(cluster, slot))
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join()
    assert not wrong
    assert [int(number) for number in client("LRANGE", "{t}order", 0, -1)] == list(range(sent))


class Writer(threading.Thread):
    """Writes versions to its own keys and reads them back, without a pause, and notes whatever is not right."""

    def __init__(self, proxy: Proxy, name: str, stop: threading.Event) -> None:
        super().__init__()
        self._proxy, self._over = proxy, stop
        self._keys = [f"{name}:{number}" for number in range(64)]
        self.written: dict[str, int] = dict.fromkeys(self._keys, 0)  #: acknowledged
        self.maybe: dict[str, set[int]] = {key: set() for key in self._keys}  #: of unknown fate, since then
        self.wrong: list[str] = []
        self.errors: list[tuple[float, str]] = []
        self.turns = 0

    def run(self) -> None:
        with self._proxy.link() as link:
            version = 0
            while not self._over.is_set():
                version += 1
                self.turns += 1
                for start in range(0, len(self._keys), 16):
                    keys = self._keys[start : start + 16]
                    link.send(*(["SET", key, version] for key in keys))
                    for key, reply in zip(keys, link.replies(len(keys)), strict=True):
                        self._wrote(key, version, reply)
                    link.send(*(["GET", key] for key in keys), ["MGET", *keys])
                    replies = link.replies(len(keys))
                    for key, reply in zip(keys, replies, strict=True):
                        self._read(key, reply)
                    many = link.reply()
                    for key, reply in zip(keys, many if isinstance(many, list) else [many] * len(keys), strict=True):
                        self._read(key, reply)

    def _wrote(self, key: str, version: int, reply: Any) -> None:
        if reply == b"OK":
            self.written[key] = version
            self.maybe[key].clear()
            return
        self.errors.append((time.monotonic(), str(reply)))
        if "fate" in str(reply):
            self.maybe[key].add(version)

    def _read(self, key: str, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self.errors.append((time.monotonic(), str(reply)))
        elif int(reply or 0) not in {self.written[key], *self.maybe[key]}:
            self.wrong.append(f"{key} is {reply}, not {self.written[key]} or one of {self.maybe[key]}")


@contextmanager
def writing(proxy: Proxy) -> Iterator[list[Writer]]:
    """Four of them, which have begun and go on until the end of the block."""
    over = threading.Event()
    writers = [Writer(proxy, f"w{number}", over) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        go_on(writers)
        yield writers
    finally:
        over.set()
        for writer in writers:
            writer.join()


def go_on(writers: list[Writer]) -> None:
    """Wait until each has written and read all of its keys a few times more."""
    mark = [writer.turns for writer in writers]
    until(lambda: all(writer.turns > at + 3 for writer, at in zip(writers, mark, strict=True)), "all of them write")


def test_resharding_under_load(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """A hundred slots move, most of them with keys, while four clients write and read: nobody notices anything."""
    with writing(proxy) as writers:
        for slot in sorted({slot_of(key.encode()) for writer in writers for key in writer.written})[:100]:
            cluster.move(slot, other(cluster, slot))
    assert [writer.wrong for writer in writers] == [[]] * 4
    assert [writer.errors for writer in writers] == [[]] * 4
    for writer in writers:
        for key, version in writer.written.items():
            assert client("GET", key) == str(version).encode()


def test_what_is_kept_is_bounded(cluster: RedisCluster, tmp_path: Any) -> None:
    """What there was no room to keep is answered with an error that says that it did not happen, and did not happen."""
    slot = slot_of(b"{t}")
    proxy = Proxy(tmp_path, [], f"cluster: {cluster.seeds}\nlimits: {{retained: 64kb}}")
    try:
        with proxy.link() as link:
            assert link("SET", "{t}1", "a") == b"OK"
            cluster.move(slot, other(cluster, slot))
            link.send(*(["SET", f"{{t}}{number}", "v" * 30_000] for number in range(20)))
            replies = link.replies(20)
            refused = [number for number, reply in enumerate(replies) if reply != b"OK"]
            assert 0 < len(refused) < 20
            for number in refused:
                error(replies[number], "^TRYAGAIN 'set' was not executed")
            node = cluster.owner(slot)
            for number in range(20):
                assert node("STRLEN", f"{{t}}{number}") == (1 if number == 1 else 0) if number in refused else 30_000
    finally:
        proxy.stop()


def copy_hits(link: Link) -> int:
    lines = (line.partition(":") for line in link("INFO", "hotkeys").decode().split("\r\n"))
    return int({name: value for name, _, value in lines}["copy_hits"])


def read_both(link: Link) -> bool:
    """A burst of reads of a key, and of one that does not exist."""
    link.send(*[["GET", "{t}hot"], ["GET", "{t}none"]] * 20)
    return len(link.replies(40)) == 40


def test_nobody_reads_a_key_that_moved_from_a_copy(cluster: RedisCluster, tmp_path: Any) -> None:
    """A hot key, and one that does not exist, are read all the time; their slot moves, and their node changes them."""
    slot = slot_of(b"{t}")
    proxy = Proxy(tmp_path, [], f"cluster: {cluster.seeds}\nhot_keys: {{threshold: 20/s, ttl: 60s}}")
    try:
        with proxy.link() as link:
            link("SET", "{t}hot", "old")
            for _ in range(2):
                before = copy_hits(link)
                until(lambda before=before: read_both(link) and copy_hits(link) > before, "both are read from copies")
                target = other(cluster, slot)
                cluster.move(slot, target)
                target("MSET", "{t}hot", "new", "{t}none", "there")
                until(lambda: link("GET", "{t}hot") == b"new", "the copy is void", within=2)
                assert link("GET", "{t}none") == b"there"
                target("MSET", "{t}hot", "old")
                target("DEL", "{t}none")
                until(lambda: link("GET", "{t}hot") == b"old", "the copy is void", within=2)
    finally:
        proxy.stop()


# -- nodes that come and go -------------------------------------------------------------------------------------------


def test_channels(cluster: RedisCluster, proxy: Proxy) -> None:
    """Wherever something is published it is heard once, by a pattern too; a shard channel follows its slot."""
    with proxy.link(3) as subscriber, proxy.link() as publisher:
        subscriber("SUBSCRIBE", "news")
        subscriber("PSUBSCRIBE", "new*")
        for node in cluster.nodes[:3]:
            node("PUBLISH", "news", node.name)
            got = sorted([subscriber.reply(), subscriber.reply()], key=len)
            assert got == [
                [b"message", b"news", node.name.encode()], [b"pmessage", b"new*", b"news", node.name.encode()]
            ]  # fmt: skip
        assert publisher("PUBLISH", "news", "by the proxy") >= 1
        assert {subscriber.reply()[-1], subscriber.reply()[-1]} == {b"by the proxy"}
        slot = slot_of(b"{t}")
        cluster.move(slot, other(cluster, slot))  # which the proxy does not know yet
        assert subscriber("SSUBSCRIBE", "{t}shard") == [b"ssubscribe", b"{t}shard", 1]
        assert publisher("SPUBLISH", "{t}shard", "one") == 1
        assert subscriber.reply() == [b"smessage", b"{t}shard", b"one"]
        cluster.move(slot, other(cluster, slot))
        until(lambda: publisher("SPUBLISH", "{t}shard", "two") == 1, "the subscription has followed")
        while (message := subscriber.reply())[-1] != b"two":
            assert message[0] != b"smessage"


def test_a_pool_of_servers_that_are_a_cluster(cluster: RedisCluster, tmp_path: Any) -> None:
    """By mistake: their redirections are errors like any other, and nothing worse."""
    proxy = Proxy(tmp_path, [node.address for node in cluster.nodes[:1]])
    try:
        key = next(key for key in KEYS if cluster.owner(slot_of(key.encode())) is not cluster.nodes[0])
        requests: list[list[Any]] = [["GET", key], ["MGET", key, key], ["SSUBSCRIBE", key], ["BLPOP", key, 1]]
        for request in requests:
            error(proxy(*request), "^MOVED ")
    finally:
        proxy.stop()


def test_seeds_that_are_down(cluster: RedisCluster, tmp_path: Any) -> None:
    """None of them is there: the proxy starts, says so, and serves as soon as one is."""
    port = free_port()
    proxy = Proxy(tmp_path, [], f"cluster: [127.0.0.1:{port}]")
    try:
        error(proxy("GET", "a"), "^CLUSTERDOWN Hash slot not served: pool test knows no node")
        error(proxy("MGET", "a", "b"), "^CLUSTERDOWN Hash slot not served")
        error(proxy("DBSIZE"), "no live node")
        proxy.log.wait_for("cluster.unwell .*nobody answers")
    finally:
        proxy.stop()
    mixed = Proxy(tmp_path, [], f"cluster: [127.0.0.1:{port}, {cluster.nodes[4].address}]")
    try:
        until(lambda: mixed("SET", "a", "b") == b"OK", "one seed is enough, a replica at that")
    finally:
        mixed.stop()


def test_a_node_that_joins_and_leaves(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """A node without slots is nothing to the proxy; with the first one it is; without any it is no more."""
    node = cluster.add()
    slot = slot_of(b"{t}")
    client("SET", "{t}1", "a")
    home = cluster.owner(slot)
    cluster.move(slot, node)
    assert client("GET", "{t}1") == b"a"
    assert client("SET", "{t}1", "b") == b"OK"
    assert node("GET", "{t}1") == b"b"
    master = f"address={node.address},role=master".encode()
    until(lambda: master in client("INFO", "nodes"), "it is shown")
    assert client("KEYS", "{t}*") == [b"{t}1"]
    cluster.move(slot, home)
    assert client("GET", "{t}1") == b"b"
    # Redis makes a primary that has lost its last slot a replica of who got that.
    until(lambda: master not in client("INFO", "nodes"), "it is shown as a primary no more")
    for each in cluster.nodes[:6]:
        each("CLUSTER", "FORGET", node.id)
    node.kill()
    cluster.nodes.remove(node)
    until(lambda: node.address.encode() not in client("INFO", "nodes"), "it is shown no more")
    assert client("GET", "{t}1") == b"b"
    until(lambda: len(client("KEYS", "*")) == 1, "nobody asks the node that left")


def test_failover_under_load(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """A primary is killed, its replica is promoted, and writes flow again: as soon as the cluster itself is well."""
    victim = cluster.owner(0)
    with writing(proxy) as writers:
        victim.kill()
        died = time.monotonic()
        rest = [node for node in cluster.nodes if node is not victim]
        until(lambda: all(
            node.info("cluster_state") == "ok"
            and victim.port not in [entry[2][1] for entry in node("CLUSTER", "SLOTS")] for node in rest
        ), "the cluster has failed over")  # fmt: skip
        healed = time.monotonic()
        go_on(writers)
    last = max((at for writer in writers for at, _ in writer.errors), default=died)
    assert last - healed < 2.0, f"{last - healed:.1f} s behind the cluster itself"
    # Asynchronous replication may lose the last writes: only what the cluster lost itself may be missing.
    lost = sum(len(writer.wrong) > 0 for writer in writers)
    print(f"healed {healed - died:.2f} s after the death, last error {last - healed:+.2f} s from then, losses: {lost}")
    words = {text.split()[0] for writer in writers for _, text in writer.errors}
    assert words <= {"ERR", "CLUSTERDOWN"}, words
    victim.start()
    until(lambda: b"master_link_status:up" in victim("INFO", "replication"), "it comes back as a replica")
    cluster.wait_well()


def test_a_failover_that_was_asked_for_costs_nothing(cluster: RedisCluster, proxy: Proxy, client: Link) -> None:
    """CLUSTER FAILOVER, as before an upgrade of a node."""
    until(lambda: client("DBSIZE") == 0, "the proxy has seen all that was before")
    replica = next(node for node in cluster.nodes if node.role() == "slave")
    with writing(proxy) as writers:
        # Primaries do not vote for two failovers one shortly after the other: then it has to be asked for again.
        until(
            lambda: replica.role() == "master" or replica("CLUSTER", "FAILOVER") is None, "it is promoted", every=1.0
        )
        go_on(writers)
    assert [writer.wrong for writer in writers] == [[]] * 4
    assert [writer.errors for writer in writers] == [[]] * 4


def test_all_slots_are_there_in_the_end(cluster: RedisCluster) -> None:
    """The tests before have left the cluster whole."""
    held = [last - first + 1 for first, last, *_ in cluster.nodes[0]("CLUSTER", "SLOTS")]
    assert sum(held) == SLOTS
