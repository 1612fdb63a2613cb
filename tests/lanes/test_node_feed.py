"""A node's feed against a node made up for the purpose: one that says nothing, refuses, or goes away.

The clock runs twenty times as fast; sockets are real. What a redis-server does is in tests/system/test_pubsub.py.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import hiredis
import pytest
import trio
import trio.testing

from proxy.address import Listen, make_server
from proxy.lanes import node_feed
from proxy.lanes.node_feed import NodeFeed
from proxy.lanes.registry import Kind
from proxy.settings import Pool, Secret
from tests.helpers import bulk


@pytest.fixture
def quick_clock():
    return trio.testing.MockClock(rate=20)


class MadeUpNode:
    """Answers as told: `silent` says nothing, `refuse` answers subscriptions with an error."""

    def __init__(self):
        self.silent = self.refuse = False
        self.requests = []
        self.streams = []
        self.sending = trio.Lock()

    async def serve(self, stream):
        with suppress(trio.BrokenResourceError):
            await self._serve(stream)

    async def _serve(self, stream):
        self.streams.append(stream)
        reader = hiredis.Reader()
        async with stream:
            async for data in stream:
                reader.feed(bytes(data))
                while (request := reader.gets()) is not False:
                    self.requests.append(request)
                    if not self.silent:
                        async with self.sending:
                            await stream.send_all(self.answer(request))

    def answer(self, request):
        name = request[0].lower()
        if name == b"ping":
            return b"+PONG\r\n"
        if name == b"auth":
            return b"+OK\r\n" if request[1:] == [b"me", b"pw"] else b"-WRONGPASS no\r\n"
        if self.refuse:
            return b"-NOPERM no such channel\r\n"
        return b"*3\r\n" + bulk(name) + bulk(request[1]) + b":1\r\n"

    async def publish(self, channel, payload):
        async with self.sending:
            await self.streams[-1].send_all(b"*3\r\n$7\r\nmessage\r\n" + bulk(channel) + bulk(payload))


@asynccontextmanager
async def feeding(**options):
    """A made-up node, a feed of it that runs, and what the feed delivered."""
    node, delivered, changes = MadeUpNode(), [], []

    async def deliver(*message):
        delivered.append(message)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, node.serve, [listener])
        server = make_server(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        pool = Pool(name="p", listen=Listen(path="/nowhere"), servers=(server,), **options)
        feed = NodeFeed(pool, server, deliver, lambda: changes.append(feed.complete))
        nursery.start_soon(feed.run)
        with trio.fail_after(200):
            yield node, feed, delivered, changes
        nursery.cancel_scope.cancel()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
        await trio.sleep(0.1)


KEY = (Kind.CHANNEL, b"a")


async def test_it_connects_when_something_is_wanted_and_leaves_when_nothing_is(quick_clock, monkeypatch):
    monkeypatch.setattr(node_feed, "LINGER", 6.0)
    async with feeding(node_username="me", node_password=Secret("pw")) as (node, feed, delivered, changes):
        await trio.sleep(1)
        assert node.streams == [] and not feed.complete
        wanted = feed.want(KEY)
        assert feed.want(KEY) is wanted
        await wanted.answered.wait()
        assert feed.has(KEY) and node.requests[0] == [b"AUTH", b"me", b"pw"]
        assert node.requests.count([b"SUBSCRIBE", b"a"]) == 1
        await node.publish(b"a", b"x")
        await feed.fence().wait()
        assert delivered == [(Kind.CHANNEL, b"a", b"a", b"x")]
        await feed.drop(KEY).wait()
        assert not feed.has(KEY) and feed.drop(KEY) is None
        await until(lambda: not feed.complete)
        assert changes == [True, False] and len(node.streams) == 1
        await feed.want(KEY).answered.wait()
        assert len(node.streams) == 2


async def test_a_node_that_dies_without_a_word_is_noticed(quick_clock):
    async with feeding() as (node, feed, delivered, changes):
        await feed.want(KEY).answered.wait()
        await until(lambda: feed.complete)
        node.silent = True
        began = trio.current_time()
        await until(lambda: not feed.complete)
        assert trio.current_time() - began < node_feed.SILENCE + 2 * node_feed.PING_EVERY
        assert not feed.has(KEY) and "said nothing" in feed.down
        node.silent = False
        await until(lambda: feed.complete)
        assert feed.has(KEY) and not feed.down and changes == [True, False, True]
        await node.publish(b"a", b"again")
        await feed.fence().wait()
        assert delivered == [(Kind.CHANNEL, b"a", b"a", b"again")]


async def test_a_quiet_node_is_not_given_up(quick_clock):
    async with feeding() as (node, feed, _, changes):
        await feed.want(KEY).answered.wait()
        await trio.sleep(2 * node_feed.SILENCE)
        assert changes == [True] and len(node.streams) == 1 and node.requests.count([b"PING"]) > 3


async def test_a_refusal_is_told_once_and_asked_again_when_wanted_again(quick_clock):
    async with feeding() as (node, feed, _, _):
        node.refuse = True
        wanted = feed.want(KEY)
        await wanted.answered.wait()
        assert wanted.error == "NOPERM no such channel" and not wanted.confirmed and not feed.has(KEY)
        node.refuse = False
        again = feed.want(KEY)
        await again.answered.wait()
        assert again.confirmed and not again.error


async def test_whoever_waits_for_a_lost_node_goes_on_waiting_for_the_next_answer(quick_clock):
    async with feeding() as (node, feed, _, _):
        await feed.want(KEY).answered.wait()
        node.silent = True
        other = feed.want((Kind.PATTERN, b"*"))
        fence, dropped = feed.fence(), feed.drop(KEY)
        await other.answered.wait()
        assert not other.confirmed and feed.down
        await fence.wait()
        await dropped.wait()
        node.silent = False
        await other.answered.wait()
        assert other.confirmed and feed.has((Kind.PATTERN, b"*")) and not feed.has(KEY)


async def test_a_reply_that_nobody_asked_for_ends_the_connection(quick_clock):
    async with feeding() as (node, feed, delivered, _):
        await feed.want(KEY).answered.wait()
        await feed.fence().wait()
        await node.streams[0].send_all(b"+OK\r\n+OK\r\n")
        await until(lambda: len(node.streams) > 1 and feed.complete)
        assert feed.has(KEY) and not delivered
