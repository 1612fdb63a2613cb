"""Commands that wait at a node: their replies, their order, their bounds, and clients that leave while they wait."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.system.conftest import pool_config
from tests.system.tier import Link, error, running_nodes, running_proxy, until

#: What blocks, and what a second client then does to end it; `-`: nothing, the time runs out.
CASES = """
blpop l 5 | rpush l a b
brpop l 5 | rpush l a b
blpop l m 5 | rpush m x
blpop l 0.05 | -
brpoplpush l m 5 | rpush l a
brpoplpush l m 0.05 | -
blmove l m left right 5 | rpush l a
blmove l m left right 0.05 | -
blmpop 5 2 l m left count 2 | rpush m a b c
blmpop 0.05 1 l left | -
bzpopmin z 5 | zadd z 1.5 a 2 b
bzpopmax z 5 | zadd z 1.5 a 2 b
bzpopmin z 0.05 | -
bzmpop 5 1 z min count 2 | zadd z 1 a 2 b 3 c
bzmpop 0.05 1 z max | -
xread block 5000 streams s $ | xadd s 5-1 f v
xread block 50 streams s $ | -
xread count 2 block 5000 streams u 0 | xadd u 6-1 f v
xreadgroup group g c block 5000 streams t > | xadd t 1-1 f v
xreadgroup group g c block 50 streams t > | -
blpop l notatime | -
blpop l -1 | -
blmpop 0 0 l left | -
bzpopmin l 1 | -
wait 0 50 | -
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_as_redis_does_it(redis_nodes, proxy_process, protocol):
    bare, node = redis_nodes(2)
    _, port = proxy_process(pool_config([node]))
    told = []
    for address, server in ((bare.port, bare), (port, node)):
        replies = []
        with Link(address, protocol) as link, Link(address) as other, Link(server.port) as direct:
            assert direct("XGROUP", "CREATE", "t", "g", "$", "MKSTREAM") == b"OK"
            for line in CASES.strip().splitlines():
                blocking, _, ending = (part.strip() for part in line.partition("|"))
                if blocking.startswith("bzpopmin l"):
                    other("RPUSH", "l", "wrong type")
                link.send(blocking.split())
                if ending != "-":
                    until(lambda: b"blocked_clients:1" in direct("INFO", "clients"), "it waits")
                    other(*ending.split())
                replies.append((blocking, link.raw(1)))
                other("DEL", "l", "m", "z")
        told.append(replies)
    for theirs, ours in zip(*told, strict=True):
        assert theirs == ours


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    directory = tmp_path_factory.mktemp("blocking")
    with running_nodes(directory, 3) as nodes:
        with running_proxy(directory, nodes, 'hash_tag: "{}"\nlimits: {max_blocked: 20}', engines=2) as proxy:
            yield proxy, nodes


def waiting(nodes) -> int:
    return sum(int(node("INFO", "clients").split(b"blocked_clients:")[1].split()[0]) for node in nodes)


def test_nothing_behind_it_starts_before_its_answer(tier):
    proxy, nodes = tier
    with proxy.link() as link, proxy.link() as other:
        link.send(["SET", "after", "0"], ["BLPOP", "q1", "0"], ["INCR", "after"], ["GET", "after"])
        assert link.reply() == b"OK"
        until(lambda: waiting(nodes) == 1, "it waits")
        assert other("GET", "after") == b"0"
        other("RPUSH", "q1", "v")
        assert link.replies(3) == [[b"q1", b"v"], 1, b"1"]


def test_waiting_clients_are_served_in_their_order(tier):
    proxy, nodes = tier
    with ExitStack() as stack:
        links = []
        for number in range(5):
            link = stack.enter_context(proxy.link())
            link.send(["BLPOP", "fair", "0"])
            until(lambda want=number + 1: waiting(nodes) == want, "one more waits")
            links.append(link)
        proxy("RPUSH", "fair", *range(5))
        assert [link.reply() for link in links] == [[b"fair", b"%d" % number] for number in range(5)]


def test_keys_on_several_nodes_are_refused(tier):
    proxy, _ = tier
    with proxy.link() as link:
        assert error(link("BLPOP", *(f"k{number}" for number in range(20)), "0"), "^CROSSSLOT")
        assert error(link("XREAD", "BLOCK", "0", "STREAMS", *(f"k{n}" for n in range(20)), *("$" * 20)), "^CROSSSLOT")
        link.send(["BLPOP", *("{q}%d" % number for number in range(20)), "0.01"])
        assert link.reply() is None


def test_who_finds_no_room_is_told_at_once(tier):
    proxy, nodes = tier
    with ExitStack() as stack:
        links = [stack.enter_context(proxy.link()) for _ in range(20)]
        for link in links:
            link.send(["BLPOP", "full", "0"])
        until(lambda: waiting(nodes) == 20, "all wait")
        with proxy.link() as late:
            assert error(late("BLPOP", "full", "0"), "max blocked clients reached: 20 of pool test wait on node n")
            assert late("PING") == b"PONG"
            links[0].close()
            until(lambda: waiting(nodes) == 19, "one left")
            late.send(["BLPOP", "full", "0"])
            until(lambda: waiting(nodes) == 20, "it waits")


def test_a_client_that_leaves_stops_waiting_at_once(tier):
    proxy, nodes = tier
    until(lambda: waiting(nodes) == 0, "nobody waits")
    with proxy.link() as link:
        link.send(["BLPOP", "left", "0"])
        until(lambda: waiting(nodes) == 1, "it waits")
    until(lambda: waiting(nodes) == 0, "it does not wait any more", within=2)
    assert proxy("RPUSH", "left", "v") == 1
    assert proxy("LPOP", "left") == b"v"


def test_connections_are_used_again(tier):
    proxy, nodes = tier

    def connections():
        return sum(int(node("INFO", "stats").split(b"total_connections_received:")[1].split()[0]) for node in nodes)

    with proxy.link() as link:
        link("BLPOP", "again", "0.01")
        before = connections()
        for _ in range(15):
            assert link("BLPOP", "again", "0.001") is None
        assert connections() - before <= 6 + len(nodes)


def test_a_node_that_dies_ends_the_waiting(tmp_path):
    with running_nodes(tmp_path, 1) as nodes, running_proxy(tmp_path, nodes) as proxy, proxy.link() as link:
        link.send(["BLPOP", "k", "0"])
        until(lambda: waiting(nodes) == 1, "it waits")
        nodes[0].kill()
        assert error(link.reply(), "fate of 'blpop' is unknown")
        assert error(link("BLPOP", "k", "1"), "is down|was lost")
        nodes[0].start()
        until(lambda: link("BLPOP", "k", "0.01") is None, "the node is back")


def test_draining_ends_the_waiting_and_loses_nothing(tmp_path):
    with running_nodes(tmp_path, 1) as nodes, running_proxy(tmp_path, nodes) as proxy, ExitStack() as stack:
        links = [stack.enter_context(proxy.link()) for _ in range(10)]
        for link in links:
            link.send(["BLPOP", "k", "0"])
        until(lambda: waiting(nodes) == 10, "all wait")
        began = time.monotonic()
        proxy.started.process.terminate()
        replies = [link.reply() for link in links]
        assert replies == [None] * 10 and time.monotonic() - began < 10
        assert proxy.started.wait() == 0
        nodes[0]("RPUSH", "k", "v")
        assert nodes[0]("LLEN", "k") == 1
        proxy.stop = lambda: None


def test_clients_that_die_waiting_leave_nothing(tmp_path):
    with running_nodes(tmp_path, 1) as nodes, running_proxy(tmp_path, nodes, engines=2) as proxy:

        def die(count: int) -> None:
            for _ in range(count // 100):
                with ExitStack() as stack:
                    links = [stack.enter_context(proxy.link()) for _ in range(100)]
                    for link in links:
                        link.send(["BLPOP", "k", "0"])
                    until(lambda: waiting(nodes) == 100, "all wait")
                until(lambda: waiting(nodes) == 0, "nobody waits")

        die(400)
        before = proxy.memory()
        die(2000)
        assert proxy("CLIENT", "LIST").count(b"\n") == 1
        connections = int(nodes[0]("INFO", "clients").split(b"connected_clients:")[1].split()[0])
        assert connections <= 8
        assert proxy.memory() - before < 2 << 20


def test_wait_takes_the_least_of_the_nodes_written_to(tmp_path):
    with running_nodes(tmp_path, 3, "--repl-diskless-sync-delay", "0") as nodes, running_proxy(tmp_path, nodes[:2]) as proxy, proxy.link() as link:
        assert nodes[2]("REPLICAOF", "127.0.0.1", nodes[0].port) == b"OK"
        until(lambda: b"state=online" in nodes[0]("INFO", "replication"), "the replica is there")
        assert link("WAIT", "0", "100") == 0
        key = next(f"k{n}" for n in range(100) if link("SET", f"k{n}", "v") and nodes[0]("EXISTS", f"k{n}"))
        with proxy.link() as fresh:
            assert fresh("SET", key, "w") == b"OK"
            assert fresh("WAIT", "1", "5000") == 1
            assert nodes[2]("GET", key) == b"w"
            other = next(f"k{n}" for n in range(100) if not nodes[0]("EXISTS", f"k{n}") and not fresh("EXISTS", f"k{n}")
                         and (fresh("SET", f"k{n}", "v") and nodes[1]("EXISTS", f"k{n}")))
            assert other and fresh("WAIT", "1", "50") == 0


def test_unblock_ends_a_wait_in_the_nodes_own_words(tier):
    proxy, nodes = tier
    with proxy.link() as waiter, proxy.link(3) as resp3, proxy.link() as other:
        for link in (waiter, resp3):
            number = link("CLIENT", "ID")
            for reason, reply in (((), None), (("TIMEOUT",), None), (("ERROR",), "UNBLOCKED client unblocked")):
                link.send(["BLPOP", "never", "0"])
                until(lambda: waiting(nodes) == 1, "it waits")
                assert other("CLIENT", "UNBLOCK", number, *reason) == 1
                got = link.reply()
                assert error(got, reply) if reply else got is None
                assert other("CLIENT", "UNBLOCK", number) == 0
        assert other("CLIENT", "UNBLOCK", "123456") == 0
        assert error(other("CLIENT", "UNBLOCK", "x"), "not an integer")
        assert error(other("CLIENT", "UNBLOCK", "1", "x"), "reason should be TIMEOUT or ERROR")
