"""Link and Links before a node that misbehaves on order: pipelining, deadlines, losses, sizes, and ghosts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from proxy.address import Listen, Server
from proxy.commands import COMMANDS
from proxy.control.request import Request
from proxy.errors import ReplyError
from proxy.lanes import link as link_module
from proxy.lanes.link import Room
from proxy.lanes.links import Links
from proxy.settings import Limits, Pool, Secret, Settings
from tests.system.chaos_node import ChaosNode, close, half, hang, say


@pytest.fixture
def nodes():
    started = [ChaosNode("one"), ChaosNode("two")]
    yield started
    for node in started:
        node.stop()


@asynccontextmanager
async def opened(nodes, down=lambda pool, node: "", **options: Any):
    """Links of a pool over `nodes`, and the ghosts that they reported."""
    servers = tuple(Server(f"127.0.0.1:{node.port}", 1, node.name) for node in nodes)
    pool = Pool(name="main", listen=Listen(host="127.0.0.1"), servers=servers, **options)
    ghosts: list[tuple[int, int, int, bytes]] = []
    async with trio.open_nursery() as nursery:
        links = Links(Settings(engines=1, pools=(pool,)), nursery, down, lambda *ghost: ghosts.append(ghost))
        with trio.fail_after(20):
            yield links, ghosts
        nursery.cancel_scope.cancel()


def words(text):
    return text.encode().split()


def request(text):
    args = words(text)
    return Request(0, 0, 0, 1, 0, 2, 0, args, COMMANDS[args[0].decode().lower()])


async def failure(links, text, node=0, **more):
    with pytest.raises(ReplyError) as caught:
        await links.ask(0, node, words(text), **more)
    return caught.value


async def test_many_tasks_share_one_connection(nodes):
    async with opened(nodes) as (links, _):
        for number in range(50):
            nodes[0].data[b"k%d" % number] = b"v%d" % number
        replies = {}

        async def get(number):
            replies[number] = await links.ask(0, 0, [b"GET", b"k%d" % number])

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(get, number)
        assert replies == {number: b"$%d\r\nv%d\r\n" % (len(str(number)) + 1, number) for number in range(50)}
        asked = nodes[0].asked("GET")
        assert {entry.connection for entry in asked} == {asked[0].connection}
        assert asked[0].name.startswith(b"quench:") and asked[0].name.endswith(b":control")


async def test_the_greeting(nodes):
    async with opened(nodes, node_username="me", node_password=Secret("pw")) as (links, _):
        await links.ask(0, 0, words("PING"), database=7)
        await links.ask(0, 0, words("PING"), protocol=3)
    said = [entry.words for entry in nodes[0].log]
    assert words("AUTH me pw") in said and words("SELECT 7") in said and words("HELLO 3 AUTH me pw") in said
    assert said.index(words("AUTH me pw")) < said.index(words("SELECT 7")) < said.index(words("PING"))


@pytest.mark.parametrize("command", ["AUTH", "SELECT"])
async def test_a_node_that_does_not_let_us_in(nodes, command):
    async with opened(nodes, node_password=Secret("pw")) as (links, _):
        nodes[0].treat(command, say(b"-WRONGPASS not you\r\n"))
        error = await failure(links, "GET k", database=3)
        assert error.text.endswith("is down: WRONGPASS not you; 'get' was not sent")
        nodes[0].honest()
        assert await links.ask(0, 0, words("GET k"), database=3) == b"$-1\r\n"


async def test_a_node_that_is_not_there(nodes):
    async with opened(nodes) as (links, _):
        nodes[0].shut()
        error = await failure(links, "GET k")
        assert error.code == "node_down" and "Connection refused" in error.text and "not sent" in error.text
        nodes[0].open()
        assert await links.ask(0, 0, words("GET k")) == b"$-1\r\n"


async def test_a_node_that_is_ejected_is_not_asked(nodes):
    async with opened(nodes, lambda pool, node: "it was ejected: no reason") as (links, _):
        error = await failure(links, "GET k")
        assert error.code == "node_down" and "ejected: no reason" in error.text
    assert nodes[0].log == []


async def test_a_node_that_greets_nobody(nodes):
    async with opened(nodes, connect_timeout=0.5) as (links, _):
        nodes[0].mute = True
        assert "connecting took too long" in (await failure(links, "GET k")).text
        nodes[0].mute = False
        assert await links.ask(0, 0, words("GET k")) == b"$-1\r\n"


async def test_what_is_not_written_in_time_was_not_sent(nodes):
    async with opened(nodes, connect_timeout=5.0, timeout=0.1) as (links, ghosts):
        nodes[0].mute = True
        assert (await failure(links, "SET k v")).code == "timeout_not_sent"
        assert ghosts == [] and nodes[0].asked("SET") == []


async def test_a_late_reply_is_dropped_and_the_link_lives_on(nodes):
    release = trio.Event()
    async with opened(nodes, timeout=0.5) as (links, ghosts):
        held: list[Any] = []
        nodes[0].data[b"k"] = b"late"
        nodes[0].treat("GET", lambda connection, words, answer: held.append((connection, answer())))
        assert (await failure(links, "GET k")).code == "timeout_read"
        nodes[0].honest()
        connection, answer = held[0]
        connection.write(answer)
        assert await links.ask(0, 0, words("GET other")) == b"$-1\r\n"
        release.set()
        asked = nodes[0].asked("GET")
        assert asked[0].connection == asked[1].connection
        assert ghosts == []


async def test_a_write_whose_fate_is_unknown_ends_the_link_and_is_hunted_down(nodes):
    async with opened(nodes, timeout=0.5) as (links, ghosts):
        assert await links.ask(0, 0, words("SET k v")) == b"+OK\r\n"
        nodes[0].treat("FLUSHALL", hang)
        error = await failure(links, "FLUSHALL")
        assert error.code == "timeout_write" and "fate" in error.text
        number = nodes[0].asked("FLUSHALL")[0].connection
        assert ghosts == [(0, 0, number, nodes[0].run_id)], "before the error is out"
        nodes[0].honest()
        assert await links.ask(0, 0, words("FLUSHALL")) == b"+OK\r\n"
        assert nodes[0].asked("FLUSHALL")[1].connection != number


@pytest.mark.parametrize("how", [close, half])
async def test_a_connection_that_breaks(nodes, how):
    async with opened(nodes) as (links, ghosts):
        await links.ask(0, 0, words("PING"))
        nodes[0].treat("GET", how)
        nodes[0].treat("SET", how)
        error = await failure(links, "GET k")
        assert error.code == "lost_read" and "the node closed the connection" in error.text
        assert ghosts == []
        assert (await failure(links, "SET k v")).code == "lost_write"
        assert len(ghosts) == 1


async def test_garbage_ends_the_link(nodes):
    async with opened(nodes) as (links, _):
        nodes[0].treat("GET", say(b"HTTP/1.1 400 Bad Request\r\n"))
        assert "not RESP" in (await failure(links, "GET k")).text
        nodes[0].treat("GET", say(b"+one\r\n+two\r\n"))
        assert await links.ask(0, 0, words("GET k")) == b"+one\r\n"
        nodes[0].honest()
        assert await links.ask(0, 0, words("GET k")) == b"$-1\r\n"


async def test_a_reply_that_is_too_large_hurts_nobody_else(nodes):
    async with opened(nodes) as (links, _):
        nodes[0].treat("KEYS", say(b"*20000\r\n" + b"$10\r\n0123456789\r\n" * 20000))
        nodes[0].data[b"k"] = b"v"
        replies = []

        async def neighbour():
            replies.append(await links.ask(0, 0, words("GET k")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(neighbour)
            error = await failure(links, "KEYS *", room=Room(100_000))
            nursery.start_soon(neighbour)
        assert error.code == "gathered_limit" and "100000 bytes" in error.text
        assert replies == [b"$1\r\nv\r\n"] * 2
        assert len({entry.connection for entry in nodes[0].asked("GET", "KEYS")}) == 1


async def test_the_nodes_share_one_room(nodes):
    reply = b"*1000\r\n" + b"$10\r\n0123456789\r\n" * 1000
    for node in nodes:
        node.treat("KEYS", say(reply))
    async with opened(nodes, limits=Limits(output_hard=2 * len(reply))) as (links, _):
        assert await links.agreed(request("KEYS *")) == [reply, reply]
    async with opened(nodes, limits=Limits(output_hard=2 * len(reply) - 1)) as (links, _):
        with pytest.raises(ReplyError, match=r"limits\.output_hard"):
            await links.agreed(request("KEYS *"))


async def test_an_idle_link_is_closed(nodes, monkeypatch):
    monkeypatch.setattr(link_module, "IDLE", 0.05)
    async with opened(nodes) as (links, _):
        await links.ask(0, 0, words("GET k"))
        await trio.sleep(0.2)
        await links.ask(0, 0, words("GET k"))
    first, second = nodes[0].asked("GET")
    assert first.connection != second.connection


# -- all nodes together -----------------------------------------------------------------------------------------------


async def test_they_agree(nodes):
    async with opened(nodes) as (links, _):
        assert await links.agreed(request("FLUSHALL")) == [b"+OK\r\n"] * 2
        for node in nodes:
            node.treat("FLUSHALL", say(b"-ERR syntax error\r\n"))
        with pytest.raises(ReplyError) as caught:
            await links.agreed(request("FLUSHALL"))
        assert caught.value.reply == b"-ERR syntax error\r\n", "what they all say is said as it is"


async def test_a_write_that_only_some_did_names_the_others(nodes):
    async with opened(nodes) as (links, _):
        nodes[1].treat("FLUSHALL", say(b"-OOM no memory\r\n"))
        with pytest.raises(ReplyError) as caught:
            await links.agreed(request("FLUSHALL"))
        assert caught.value.text == (
            "ERR 'flushall' was done on 1 of 2 nodes of pool main only: "
            f"node two (127.0.0.1:{nodes[1].port}) said: OOM no memory"
        )
        nodes[1].shut()
        with pytest.raises(ReplyError, match=r"was done on 1 of 2 nodes .* only: .*node two .* (is down|was lost)"):
            await links.agreed(request("FLUSHALL"))


async def test_one_node_fails_in_its_own_words(nodes):
    async with opened(nodes[:1]) as (links, _):
        nodes[0].shut()
        for command in ("DBSIZE", "FLUSHALL"):
            with pytest.raises(ReplyError, match=r"^ERR node one .* is down: "):
                await links.agreed(request(command))


async def test_a_read_fails_with_the_node_that_failed(nodes):
    async with opened(nodes) as (links, _):
        nodes[0].shut()  # no link is open yet
        with pytest.raises(ReplyError, match=r"^ERR node one .* is down: Connection refused; 'dbsize' was not sent$"):
            await links.agreed(request("DBSIZE"))
        nodes[1].treat("DBSIZE", say(b"-LOADING wait\r\n"))
        with pytest.raises(ReplyError, match=r"^ERR 'dbsize' failed on 2 of 2 nodes .* is down.*; node two .* said: L"):
            await links.agreed(request("DBSIZE"))
