"""MULTI, EXEC and WATCH: over one node as redis-server does it, byte for byte; over several by the rules for those."""

from __future__ import annotations

import random
import shlex
import socket
import threading
from contextlib import ExitStack

import pytest
import redis

from tests.system.conftest import pool_config
from tests.system.tier import Link, error, running_nodes, running_proxy, until

#: Each line is a request, in one connection's order; scripts run one after the other.
SCRIPTS = """
multi | exec
multi | set a 1 | get a | exec | get a
multi | multi | set a 2 | exec
exec
discard
multi | discard | get a
multi | nosuchcommand x | set a 3 | exec | get a
multi | get | exec
multi | set a x | incr a | get a | exec
multi | lpush a 1 | set b 2 | exec | get b
multi | ping | echo hello | ping again | exec
multi | set a 5 | ping | incr a | echo x | get a | exec
multi | watch a | set a 6 | exec
watch a | multi | set a 7 | exec | get a
watch a b | get a | unwatch | multi | incr a | exec
watch a | discard | multi | discard | get a
watch a | set a 8 | multi | get a | exec
watch a | multi | exec
watch a | set a 1 | multi | exec
watch a | set a 2 | multi | ping | exec
watch a | watch b | set b 3 | unwatch | watch a | multi | set b 4 | exec
unwatch
multi | unwatch | exec
multi | blpop nothing 0 | brpoplpush no thing 0 | exec
multi | mset a 1 b 2 | mget a b c | del a b c | exists a | exec
multi | mset a 1 b | exec
multi | dbsize | randomkey | exec
multi | set a v | select 0 | exec
multi | eval "return redis.call('set',KEYS[1],ARGV[1])" 1 s v | get s | exec
multi | subscribe
multi | reset | get a | exec
multi | xadd x 1-1 f v | xread block 0 streams x 0 | exec
multi | get a
discard | get a
multi | client getname | client setname me | client getname | exec | client getname
client reset-nothing | multi | client nothing | exec
"""  # fmt: skip


def requests() -> list[list[str]]:
    return [shlex.split(step) for line in SCRIPTS.strip().splitlines() for step in line.split("|")]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("pipelined", [False, True])
def test_as_redis_does_it(redis_nodes, proxy_process, protocol, pipelined):
    bare, node = redis_nodes(2)
    _, port = proxy_process(pool_config([node]))
    # SELECT inside a transaction is refused; every other reply is the same.
    script = [words for words in requests() if words[0] != "select" and words[:2] != ["multi", "subscribe"]]
    with Link(bare.port) as theirs, Link(port) as ours:
        if protocol == 3:
            for link in (theirs, ours):
                link.send(["HELLO", "3"])
                link.raw(1)
        if pipelined:
            for link in (theirs, ours):
                link.send(*script)
            got = list(zip(script, theirs.raw(len(script)), ours.raw(len(script)), strict=True))
        else:
            got = []
            for words in script:
                pair = []
                for link in (theirs, ours):
                    link.send(words)
                    pair += link.raw(1)
                got.append((words, *pair))
    for entry in got:
        assert entry[1] == entry[2], entry


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    directory = tmp_path_factory.mktemp("transactions")
    with running_nodes(directory, 3) as nodes:
        yield directory, nodes


@pytest.fixture
def link(three):
    directory, nodes = three
    for node in nodes:
        node("FLUSHALL")
    with running_proxy(directory, nodes, 'hash_tag: "{}"') as proxy, proxy.link() as link:
        yield link


def spread(link: Link, nodes) -> list[str]:
    """One key on each node."""
    found: dict[int, str] = {}
    for number in range(1000):
        link("SET", f"k{number}", "0")
        for index, node in enumerate(nodes):
            if index not in found and node("EXISTS", f"k{number}"):
                found[index] = f"k{number}"
        if len(found) == len(nodes):
            return [found[index] for index in range(len(nodes))]
    raise AssertionError("the keys do not spread")


def test_keys_on_several_nodes_are_refused_while_queueing(three, link):
    a, b, _ = spread(link, three[1])
    assert link("MULTI") == b"OK"
    assert link("SET", a, "1") == b"QUEUED"
    assert error(link("SET", b, "1"), "^CROSSSLOT")
    assert error(link("MGET", a, b), "^CROSSSLOT")
    assert error(link("EXEC"), "^EXECABORT")
    assert link("MGET", a, b) == [b"0", b"0"]


def test_a_command_without_a_key_goes_where_the_keys_go(three, link):
    for key in spread(link, three[1]):
        link.send(["MULTI"], ["EVAL", "return 7", "0"], ["SET", key, "1"], ["EVAL", "return 8", "0"], ["EXEC"])
        assert link.replies(5)[-1] == [7, b"OK", 8]
    link.send(["MULTI"], ["EVAL", "return 7", "0"], ["EXEC"])
    assert link.replies(3)[-1] == [7]


@pytest.mark.parametrize("protocol", [2, 3])
def test_split_runs_a_block_on_each_node(three, protocol):
    directory, nodes = three
    with running_proxy(directory, nodes, "cross_node_transactions: split") as proxy, proxy.link(protocol) as link:
        a, b, c = spread(link, nodes)
        link("DEL", "list")
        link("MULTI")
        for words in (("INCR", a), ("SET", b, "x"), ("PING",), ("INCR", a), ("GET", b), ("INCR", b), ("GET", c),
                      ("ECHO", "e"), ("LRANGE", "list", "0", "-1"), ("GET", "missing")):
            assert link(*words) == b"QUEUED"
        reply = link("EXEC")
        assert error(reply[5], "not an integer")
        assert reply[:5] + reply[6:] == [1, b"OK", b"PONG", 2, b"x", b"0", b"e", [], None]
        assert error([link("MULTI"), link("SINTER", a, b)][1], "^CROSSSLOT")
        assert error(link("EXEC"), "^EXECABORT")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_command_over_several_nodes_is_split_inside_too(three, tmp_path, protocol):
    """As Django's cache.set_many() and others do it with redis-py, against one server."""
    directory, nodes = three
    for node in nodes:
        node("FLUSHALL")
    many = {f"many:{number}": "v" * number for number in range(200)}

    def ask(client: redis.Redis) -> list[object]:
        found = []
        with client.pipeline() as pipe:
            pipe.mset(many)
            for key in many:
                pipe.expire(key, 100)
            found.append(pipe.execute())
        with client.pipeline() as pipe:
            pipe.mget([*many, "missing", *many]).ping().exists(*many, "missing", "many:7").incr("many:0")
            pipe.touch("many:1", "many:2", "missing").delete(*list(many)[50:]).unlink(*list(many)[:49])
            pipe.execute_command("MSET", "a", "1", "b", "2", "c").mget(list(many))
            found.append([str(reply) for reply in pipe.execute(raise_on_error=False)])
        return [*found, client.mget(list(many)), client.persist("many:49")]

    with running_nodes(tmp_path, 1) as (one,), redis.Redis(port=one.port, protocol=protocol) as client:
        expected = ask(client)
    assert "wrong number of arguments" in expected[1][7] and "not an integer" in expected[1][3]
    with (
        running_proxy(directory, nodes, "cross_node_transactions: split") as proxy,
        redis.Redis(port=proxy.address, protocol=protocol) as client,
    ):
        assert ask(client) == expected
    assert sum(node("DBSIZE") for node in nodes) == 1


def test_behind_a_watch_nothing_is_split(three):
    directory, nodes = three
    with running_proxy(directory, nodes, "cross_node_transactions: split") as proxy, proxy.link() as link:
        a, b, _ = spread(link, nodes)
        for node in nodes:
            node("FLUSHALL")
        assert link("WATCH", a) == b"OK"
        assert link("MULTI") == b"OK"
        assert error(link("MSET", a, "1", b, "2"), "^CROSSSLOT")
        assert error(link("EXEC"), "^EXECABORT")
        assert link("MGET", a, b) == [None, None]


def test_what_is_the_proxys_or_every_nodes_cannot_be_queued(link):
    for words in (("INFO",), ("SUBSCRIBE", "c"), ("SELECT", "1"), ("HELLO", "3"), ("CONFIG", "GET", "port")):
        assert link("MULTI") == b"OK"
        assert error(link(*words), "cannot be part of a transaction|not allowed|not supported yet")
        assert error(link("EXEC"), "^EXECABORT")
    assert link("PING") == b"PONG"


def test_a_watched_key_that_changes_stops_the_transaction(three, link):
    a, b, _ = spread(link, three[1])
    other = three[1][0]
    assert link("WATCH", a) == b"OK"
    assert other("INCR", a) == 1
    assert link("MULTI") == b"OK"
    assert link("INCR", a) == b"QUEUED"
    assert error(link("INCR", b), "^CROSSSLOT.*watched")
    assert error(link("EXEC"), "^EXECABORT")
    assert link("WATCH", a) == b"OK"
    assert error(link("WATCH", b), "^CROSSSLOT.*watched")
    assert other("INCR", a) == 2
    link.send(["MULTI"], ["INCR", a], ["EXEC"], ["GET", a])
    assert link.replies(4) == [b"OK", b"QUEUED", None, b"2"]


def test_a_watch_that_is_lost_stops_the_transaction(three, link):
    a, b, _ = spread(link, three[1])
    node = three[1][0]
    assert link("WATCH", a) == b"OK"
    (watching,) = [line.split()[0][3:] for line in node("CLIENT", "LIST").decode().splitlines() if "cmd=watch" in line]
    assert node("CLIENT", "KILL", "ID", watching) == 1
    until(lambda: f"id={watching} " not in node("CLIENT", "LIST").decode(), "the connection is gone")
    assert link("GET", b) == b"0"
    link.send(["MULTI"], ["INCR", a], ["EXEC"])
    assert link.replies(3) == [b"OK", b"QUEUED", None]
    link.send(["WATCH", a], ["MULTI"], ["INCR", a], ["EXEC"])
    assert link.replies(4) == [b"OK", b"OK", b"QUEUED", [1]]


def test_a_watch_follows_its_client_to_another_database_and_protocol(three, link):
    a = f"{{{spread(link, three[1])[0]}}}"
    link("SET", a, "0")
    assert link("WATCH", a) == b"OK"
    assert link("SELECT", "3") == b"OK"
    link("HELLO", "3")
    assert link("MULTI") == b"OK"
    assert link("SET", a, "three") == b"QUEUED"
    assert link("HGETALL", a + "hash") == b"QUEUED"
    assert link("EXEC") == [b"OK", {}]
    assert link("GET", a) == b"three"
    assert link("SELECT", "0") == b"OK"
    assert link("GET", a) == b"0"


def test_watching_is_bounded_and_given_back(three):
    directory, nodes = three
    with running_proxy(directory, nodes[:1], "limits: {max_watching: 3}", engines=2) as proxy, ExitStack() as stack:
        links = [stack.enter_context(proxy.link()) for _ in range(4)]
        assert [link("WATCH", "k") for link in links[:3]] == [b"OK"] * 3
        assert error(links[3]("WATCH", "k"), "max watching clients reached")
        links[0]("UNWATCH")
        assert links[3]("WATCH", "k") == b"OK"
        links[1].close()
        assert until(lambda: links[0]("WATCH", "k") == b"OK", "its place is given back")


def test_concurrent_increments_under_watch_lose_nothing(three):
    """The textbook's optimistic lock, by redis-py, from several clients at a time."""
    directory, nodes = three
    for node in nodes:
        node("FLUSHALL")
    with running_proxy(directory, nodes, engines=2) as proxy:

        def increment(client):
            with client.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch("counter")
                        value = int(pipe.get("counter") or 0)
                        pipe.multi()
                        pipe.set("counter", value + 1)
                        pipe.execute()
                        return
                    except redis.WatchError:
                        continue

        def work():
            with redis.Redis(port=proxy.address, protocol=random.choice((2, 3))) as client:
                for _ in range(50):
                    increment(client)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with redis.Redis(port=proxy.address) as client:
            assert client.get("counter") == b"300"


def test_transactions_are_not_interleaved(three):
    """Blocks of many clients over one connection: each sees its own writes between its MULTI and EXEC."""
    directory, nodes = three
    with running_proxy(directory, nodes, 'hash_tag: "{}"') as proxy, ExitStack() as stack:
        links = [stack.enter_context(proxy.link()) for _ in range(20)]
        links[0]("DEL", "{t}n")
        for turn in range(30):
            for number, link in enumerate(links):
                value = f"{turn}-{number}"
                link.send(["MULTI"], ["SET", "{t}shared", value], ["INCR", "{t}n"], ["GET", "{t}shared"], ["EXEC"])
            for number, link in enumerate(links):
                assert link.replies(5)[-1][2] == f"{turn}-{number}".encode()
        assert links[0]("GET", "{t}n") == b"600"


def test_clients_that_die_inside_leave_nothing(three):
    directory, nodes = three
    split = b"MULTI\r\nMSET a 1 b 2 c 3 d 4 e 5 f 6\r\nMGET a b c d e f\r\n"
    inside = [b"WATCH a\r\nGET a\r\nMULTI\r\nGET a\r\n", b"MULTI\r\nSET a 1\r\nSET a 2\r\n", split, split + b"EXEC\r\n"]
    with running_proxy(directory, nodes, "cross_node_transactions: split") as proxy:
        with proxy.link() as link:
            link("PING")

        def die(count: int) -> None:
            for number in range(count):
                with socket.create_connection(("127.0.0.1", proxy.address)) as client:
                    client.sendall(inside[number % len(inside)])
                    client.recv(100)

        die(500)
        connections = [int(node("INFO", "clients").split(b"connected_clients:")[1].split()[0]) for node in nodes]
        before = proxy.memory()
        die(10_000)
        until(lambda: proxy("CLIENT", "LIST").count(b"\n") == 1, "the clients are gone")
        after = [int(node("INFO", "clients").split(b"connected_clients:")[1].split()[0]) for node in nodes]
        assert max(b - a for a, b in zip(connections, after, strict=True)) <= 2
        assert proxy.memory() - before < 2 << 20


def test_a_large_transaction_takes_the_bulk_connection(three, link):
    value = "v" * 100_000
    link.send(["SET", "{b}0", "first"], ["MULTI"], *[["SET", f"{{b}}{n}", value] for n in range(10)], ["EXEC"],
              ["GET", "{b}0"], ["STRLEN", "{b}9"])
    replies = link.replies(15)
    assert replies[12] == [b"OK"] * 10
    assert replies[13] == value.encode()
    assert replies[14] == 100_000


def test_a_transaction_is_bounded(three):
    directory, nodes = three
    with running_proxy(directory, nodes, "limits: {query_buffer: 1mb, max_bulk: 1mb}") as proxy, proxy.link() as link:
        link("MULTI")
        for _ in range(11):
            reply = link("SET", "k", "v" * 100_000)
        assert error(reply, "not queued: the transaction exceeds 1048576 bytes")
        assert error(link("EXEC"), "^EXECABORT")
        assert link("EXISTS", "k") == 0


def test_a_node_that_dies_under_a_transaction(three, tmp_path):
    with (
        running_nodes(tmp_path, 1) as nodes,
        running_proxy(tmp_path, nodes, "timeout: 300ms") as proxy,
        proxy.link() as link,
    ):
        link("SET", "k", "1")
        nodes[0].freeze()
        link.send(["MULTI"], ["INCR", "k"], ["EXEC"])
        assert link.replies(2) == [b"OK", b"QUEUED"]
        assert error(link.reply(), "fate of 'exec' is unknown")
        nodes[0].thaw()
        until(lambda: link("GET", "k") in (b"1", b"2"), "it serves again")


