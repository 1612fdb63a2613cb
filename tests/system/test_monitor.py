"""MONITOR through a proxy of two engines, beside a redis-server's."""

from __future__ import annotations

import re

import pytest
import redis

from tests.system.tier import running_nodes, running_proxy, until

LINE = re.compile(rb"(\d{10}\.\d{6}) \[(\d+) (127\.0\.0\.1:\d+)\] (.*)")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """One node for the proxy, and one more that is the reference."""
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes[:1], engines=2) as proxy:
        yield proxy


def seen(link):
    """The next line: database, address and words."""
    match = LINE.fullmatch(link.reply())
    return match[2], match[3], match[4]


TALK = [
    line.split() for line in (
        "GET a", "set A 1", "MGET a b c", "SELECT 3", "INCR a", "AUTH default x", "HELLO 2 AUTH default x SETNAME n",
        "CLIENT ID", "CLIENT LIST", "CONFIG GET save", "NOPE", "GET", "PING", "EVAL return{1} 0", "EVALSHA x 0",
        "COMMAND COUNT", "INFO cpu", "ECHO x", "MULTI", "SET m 1", "PING", "EXEC", "MULTI", "DISCARD",
        "CLIENT KILL ID 999999", "CLIENT REPLY ON", "BLPOP nobody 0.01", "TIME", "CLIENT SETNAME x", "RESET",
    )
]  # fmt: skip
OTHER = [["ECHO", b"a\r\n\t\x07\x08\"\\\x00\xff\x7f"], ["SET", "large", "x" * 20_000]]


@pytest.mark.parametrize("protocol", [2, 3])
def test_same_lines_as_redis(proxy, nodes, protocol):
    found = []
    for tier in (proxy, nodes[1]):
        with tier.link(protocol) as watcher, tier.link() as client, tier.link() as last:
            assert watcher("MONITOR") == b"OK"
            address = b"127.0.0.1:%d" % client.socket.getsockname()[1]
            lines = []
            # What another client asks later may be shown sooner, if another engine serves it: so each in its time.
            for asker, talk in ((client, TALK), (last, OTHER), (client, [["QUIT"]])):
                for words in talk:
                    asker(*words)
                wanted = b'"%b"' % str(talk[-1][0]).encode()
                while not lines or not lines[-1][2].startswith(wanted):
                    lines.append(seen(watcher))
                if asker is client:
                    assert lines[-1][1] == address
            found.append([(database, words) for database, _, words in lines])
    assert found[0] == found[1]
    assert len(found[0]) > 20


def test_clients_of_every_engine_are_shown_and_monitors_may_go_on_asking(proxy):
    with proxy.link() as watcher, proxy.link() as other:
        assert watcher("MONITOR") == other("MONITOR") == b"OK"
        with redis.Redis(port=proxy.address, max_connections=8) as client:
            pool = [client.connection_pool.get_connection() for _ in range(8)]
            for number, link in enumerate(pool):
                link.send_command("SET", f"shown{number}", number)
                assert link.read_response() == b"OK"
            wanted = {b'"SET" "shown%d" "%d"' % (number, number) for number in range(8)}
            for link in (watcher, other):
                found = set()
                while not wanted <= found:
                    found.add(seen(link)[2])
            assert b" flags=O " in other_list(proxy)
            watcher.send(["MONITOR"], ["PING"])
            assert {watcher.reply(), watcher.reply()} >= {b"PONG"}, "a second MONITOR is not answered"


def other_list(proxy):
    with proxy.link() as link:
        return link("CLIENT", "LIST", "TYPE", "replica")


def test_who_leaves_is_forgotten_and_nothing_is_shown_for_nobody(proxy):
    with proxy.link() as client:
        with proxy.link() as watcher:
            assert watcher("MONITOR") == b"OK"
        until(lambda: proxy("CLIENT", "LIST").count(b" flags=O ") == 0, "it has left")
        client("SET", "a", 1)
        with proxy.link() as watcher:
            assert watcher("MONITOR") == b"OK"
            client("SET", "b", 2)
            assert seen(watcher)[2] == b'"SET" "b" "2"'


def test_redis_py_reads_it(proxy):
    with redis.Redis(port=proxy.address, decode_responses=True) as client, client.monitor() as monitor:
        with redis.Redis(port=proxy.address, db=2) as other:
            other.set("key", 'a "b"')
        for command in monitor.listen():
            if command["command"].startswith("SET"):
                break
        assert command["db"] == 2 and command["client_type"] == "tcp" and command["client_address"] == "127.0.0.1"
        assert command["command"] == 'SET key a "b"'


def test_reset_ends_it(proxy):
    with proxy.link() as watcher, proxy.link() as client:
        assert watcher("MONITOR") == b"OK"
        client("SET", "a", 1)
        assert seen(watcher)[2] == b'"SET" "a" "1"'
        watcher.send(["RESET"])
        replies = {watcher.reply()}
        while b"RESET" not in replies:
            replies.add(watcher.reply())
        until(lambda: proxy("CLIENT", "LIST").count(b" flags=O ") == 0, "it monitors no more")
        client("SET", "a", 2)
        assert watcher("PING") == b"PONG"
        assert watcher("MONITOR") == b"OK"
        client("SET", "a", 3)
        assert seen(watcher)[2] == b'"SET" "a" "3"'


def test_a_monitor_may_subscribe_too(proxy):
    with proxy.link(3) as watcher, proxy.link() as client:
        pushed = []
        assert watcher("MONITOR") == b"OK"
        watcher.send(["SUBSCRIBE", "news"])
        until(lambda: client("PUBLISH", "news", "x") == 1, "it is subscribed")
        while not any(b'"PUBLISH" "news" "x"' in line for line in pushed if isinstance(line, bytes)):
            pushed.append(watcher.reply())
        assert re.search(rb"flags=OP? .*sub=1 ", proxy("CLIENT", "LIST"))
