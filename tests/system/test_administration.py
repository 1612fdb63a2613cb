"""Administration through a proxy of two engines, beside a redis-server that is asked the same."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager

import hiredis
import pytest
import redis

from tests.system.tier import error, running_nodes, running_proxy, until


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two nodes for the proxy, and one more that is the reference."""
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes[:2], engines=2) as proxy:
        yield proxy


@contextmanager
def opened(proxy, count):
    """So many connections to the proxy."""
    with ExitStack() as stack:
        yield [stack.enter_context(proxy.link()) for _ in range(count)]


SAME = """
CLIENT PAUSE x|CLIENT PAUSE -1|CLIENT PAUSE 1 NOPE|CLIENT PAUSE 1 ALL x|CLIENT PAUSE 99999999999999999999|CLIENT PAUSE
CLIENT PAUSE 01|CLIENT PAUSE x NOPE|CLIENT PAUSE 0|CLIENT PAUSE 1 all|CLIENT PAUSE 1 write|CLIENT UNPAUSE
CLIENT UNPAUSE x|CLIENT PAUSE 99999999999 WRITE|CLIENT UNPAUSE
CLIENT KILL|CLIENT KILL x|CLIENT KILL 127.0.0.1:1|CLIENT KILL ID|CLIENT KILL ID x|CLIENT KILL ID 0|CLIENT KILL ID -1
CLIENT KILL ID 99999999|CLIENT KILL TYPE x|CLIENT KILL TYPE pubsub|CLIENT KILL TYPE slave|CLIENT KILL USER nope
CLIENT KILL USER|CLIENT KILL ADDR 1:1|CLIENT KILL LADDR 1:1|CLIENT KILL SKIPME x|CLIENT KILL SKIPME
CLIENT KILL SKIPME yes ID 9999999|CLIENT KILL ID 1 x|CLIENT KILL ID 99999998 ID 99999999|CLIENT KILL NOPE x
CLIENT KILL id 99999999 TYPE normal skipme no|CLIENT KILL ID 99999999999999999999
CONFIG SET|CONFIG SET a|CONFIG SET a b|CONFIG SET maxclients|CONFIG SET maxclients x|CONFIG SET maxclients 0
CONFIG SET maxclients 99999999999|CONFIG SET maxclients 10 maxclients 11|CONFIG SET maxclients 10 timeout
CONFIG SET databases 5|CONFIG SET timeout -1|CONFIG SET timeout x|CONFIG SET timeout 99999999999|CONFIG SET timeout 007
CONFIG SET proto-max-bulk-len 1|CONFIG SET proto-max-bulk-len 2mb|CONFIG GET proto-max-bulk-len
CONFIG SET proto-max-bulk-len x|CONFIG SET proto-max-bulk-len 1.5mb|CONFIG SET proto-max-bulk-len -5
CONFIG SET proto-max-bulk-len 600M|CONFIG GET proto-max-bulk-len|CONFIG SET proto-max-bulk-len 512MB
CONFIG SET client-query-buffer-limit 1|CONFIG SET client-query-buffer-limit 1m
CONFIG SET client-query-buffer-limit 2G|CONFIG GET client-query-buffer-limit|CONFIG SET client-query-buffer-limit 1gb
CONFIG SET loglevel x|CONFIG SET LOGLEVEL Warning|CONFIG GET loglevel|CONFIG SET loglevel notice databases 5
CONFIG SET nope 1 databases 2|CONFIG SET databases 5 nope 1|CONFIG SET maxclients x nope 1
CONFIG SET loglevel notice timeout x|CONFIG GET loglevel|CONFIG SET loglevel notice timeout 1000 MAXCLIENTS 500
CONFIG GET timeout|CONFIG GET maxclients|CONFIG GET loglevel|CONFIG SET maxclients 10000 Maxclients 1
CONFIG SET timeout 0 maxclients 10000
CONFIG SET cluster-enabled no|CONFIG SET tcp-backlog 5|CONFIG RESETSTAT|CONFIG RESETSTAT x|CONFIG REWRITE x
MODULE LIST|MODULE LIST x|DEBUG|READONLY|READWRITE|CLUSTER INFO|CLUSTER SLOTS|CLUSTER MYID|CLUSTER|ROLE|ROLE x
LASTSAVE x|SAVE x|CLIENT REPLY x|CLIENT REPLY|CLIENT REPLY ON|CLIENT NO-EVICT x|CLIENT LIST ID x|CLIENT LIST TYPE x
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_same_bytes(proxy, nodes, protocol):
    with proxy.link(protocol) as tested, nodes[2].link(protocol) as reference:
        for line in filter(None, SAME.replace("\n", "|").split("|")):
            tested.send(line.split())
            reference.send(line.split())
            assert tested.raw(1) == reference.raw(1), line


# -- CLIENT KILL ------------------------------------------------------------------------------------------------------


def ids(proxy, *filters):
    return {int(number) for number in re.findall(rb"\bid=(\d+)", proxy("CLIENT", "LIST", *filters))}


def test_the_killed_are_gone_whichever_engine_has_them(proxy):
    with opened(proxy, 20) as links, proxy.link() as boss:
        numbers = [link("CLIENT", "ID") for link in links]
        for link, number in zip(links[:10], numbers, strict=False):
            assert boss("CLIENT", "KILL", "ID", number) == 1
            assert link.ended()
            assert boss("CLIENT", "KILL", "ID", number) == 0
        assert boss("CLIENT", "KILL", "TYPE", "normal") == 10
        assert all(link.ended() for link in links)
        assert boss("PING") == b"PONG", "the caller is spared unless told otherwise"
        assert not ids(proxy) & set(numbers)


def test_filters_are_all_to_be_passed(proxy):
    with proxy.link() as boss, proxy.link() as other:
        address = re.search(rb"\baddr=(\S+)", other("CLIENT", "INFO"))[1]
        mine = re.search(rb"\baddr=(\S+)", boss("CLIENT", "INFO"))[1]
        local = re.search(rb"laddr=(\S+)", other("CLIENT", "INFO"))[1]
        assert boss("CLIENT", "KILL", "ADDR", address, "ID", boss("CLIENT", "ID")) == 0
        assert boss("CLIENT", "KILL", "ADDR", address, "LADDR", local, "MAXAGE", 1000) == 0
        assert boss("CLIENT", "KILL", "ADDR", address, "LADDR", local, "USER", "default", "TYPE", "normal") == 1
        assert other.ended()
        assert error(boss("CLIENT", "KILL", address), "^ERR No such client$")
        assert boss("CLIENT", "KILL", mine) == b"OK"
        assert boss.ended()


def test_who_kills_itself_is_answered_first(proxy):
    with proxy.link() as link:
        number = link("CLIENT", "ID")
        link.send(["CLIENT", "KILL", "ID", number, "SKIPME", "no"], ["PING"])
        assert link.reply() == 1
        assert link.ended()


# -- CLIENT PAUSE -----------------------------------------------------------------------------------------------------


def test_a_pause_holds_in_every_engine(proxy):
    with opened(proxy, 8) as links, proxy.link() as boss:
        assert boss("CLIENT", "PAUSE", 60_000, "WRITE") == b"OK"
        for number, link in enumerate(links):
            link.send(["GET", f"pause{number}"], ["SET", f"pause{number}", number])
            assert link.reply() is None
        assert boss("MGET", *(f"pause{number}" for number in range(8))) == [None] * 8
        until(lambda: boss("CLIENT", "LIST").count(b" flags=b ") == 8, "eight clients are shown as blocked")
        assert boss("CLIENT", "UNPAUSE") == b"OK"
        assert [link.reply() for link in links] == [b"OK"] * 8
        assert boss("MGET", *(f"pause{number}" for number in range(8))) == [b"%d" % number for number in range(8)]


def test_a_pause_of_everything_ends_in_time(proxy):
    with proxy.link() as boss, proxy.link() as link:
        began = time.monotonic()
        assert boss("CLIENT", "PAUSE", 200) == b"OK"
        assert link("PING") == b"PONG"
        assert 0.2 <= time.monotonic() - began < 2.0


# -- CONFIG -----------------------------------------------------------------------------------------------------------


def test_the_largest_number_of_clients_changes_at_once(proxy):
    with proxy.link() as boss:
        before = boss("CONFIG", "GET", "maxclients")[1]
        assert boss("CONFIG", "SET", "maxclients", 2) == b"OK"
        until(lambda: isinstance(try_ping(proxy), hiredis.ReplyError), "a third client is turned away")
        assert b"maxclients:2\r\n" in boss("INFO", "clients")
        assert boss("CONFIG", "SET", "maxclients", before) == b"OK"
        until(lambda: try_ping(proxy) == b"PONG", "clients are let in again")


def try_ping(proxy):
    with proxy.link() as first, proxy.link() as second, proxy.link() as third:
        try:
            return [link("PING") for link in (first, second, third)][2]
        except ConnectionError:
            return None


def test_idle_clients_are_closed_in_every_engine(proxy):
    with opened(proxy, 6) as links, proxy.link() as boss:
        assert all(link("PING") == b"PONG" for link in links)
        assert boss("CONFIG", "SET", "timeout", 1) == b"OK"
        until(lambda: boss("CLIENT", "LIST").count(b"\n") == 1, "the others are gone", every=0.1)
        assert all(link.ended() for link in links)
        assert boss("CONFIG", "SET", "timeout", 0) == b"OK"


def test_statistics_begin_again(proxy):
    with proxy.link() as link:
        for number in range(50):
            link("SET", f"counted{number}", number)
        link("NOPE")
        info = redis._parsers.helpers.parse_info(link("INFO", "everything"))
        assert info["cmdstat_set"]["calls"] >= 50 and info["errorstat_ERR"]["count"] >= 1
        assert info["node0"]["requests"] and info["total_net_input_bytes"] > 1000
        assert link("CONFIG", "RESETSTAT") == b"OK"
        after = redis._parsers.helpers.parse_info(link("INFO", "everything"))
        assert "cmdstat_set" not in after and "errorstat_ERR" not in after
        assert after["total_commands_processed"] <= 2 and after["total_net_input_bytes"] < 200
        assert after["total_connections_received"] == 0 and after["connected_clients"] >= 1
        assert after["node0"]["requests"] == after["node1"]["requests"] == 0
        link("SET", "counted", 1)
        again = redis._parsers.helpers.parse_info(link("INFO", "commandstats"))
        assert again["cmdstat_set"]["calls"] == 1


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_a_client_that_sleeps_keeps_nobody_waiting(proxy):
    with proxy.link() as sleeper, proxy.link() as other:
        began = time.monotonic()
        sleeper.send(["DEBUG", "SLEEP", "0.3"], ["PING"])
        assert other("INFO", "server")
        assert time.monotonic() - began < 0.3
        assert sleeper.replies(2) == [b"OK", b"PONG"]
        assert time.monotonic() - began >= 0.3
        assert error(other("DEBUG", "JMAP"), "^ERR 'debug jmap' is refused by the proxy: ")
        assert error(other("DEBUG", "SLEEP", "nan"), "^ERR 'debug sleep' is refused by the proxy: ")


def test_pools_are_servers_of_their_own(nodes, proxy_process):
    lines = ["engines: 2", "pools:"]
    for name, node in (("one", nodes[0]), ("two", nodes[1])):
        lines += [f"  {name}:", "    listen: 127.0.0.1:0", f"    servers: [127.0.0.1:{node.port}]"]
    started = proxy_process("\n".join(lines) + "\n")
    ports = [int(address.rpartition(":")[2]) for address in started.addresses.values()]
    with redis.Redis(port=ports[0]) as one, redis.Redis(port=ports[1]) as two:
        assert two.ping() and one.ping()
        assert len(one.client_list()) == len(two.client_list()) == 1
        assert one.client_kill_filter(_type="normal") == 0 and two.ping()
        assert one.client_pause(60_000, all=False)
        assert two.set("k", "v")
        assert one.client_unpause()
        assert one.config_set("maxclients", 77) and two.config_get("maxclients") == {"maxclients": "10000"}


def test_redis_py_silences_replies(proxy):
    with proxy.link() as link:
        link.send(
            ["CLIENT", "REPLY", "OFF"], *(["SET", f"silent{number}", number] for number in range(100)),
            ["CLIENT", "REPLY", "ON"], ["CLIENT", "REPLY", "SKIP"], ["GET", "silent1"], ["GET", "silent99"],
        )  # fmt: skip
        assert link.replies(2) == [b"OK", b"99"]
