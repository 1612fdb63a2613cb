"""Subscribers of the proxy against subscribers of one plain redis-server: the same bytes to each client at each step.

Three clients of both protocols subscribe, leave, publish, reset and switch protocols. After each request every client
has to get what it gets from redis-server: the same messages and the same replies. Not compared is the order of messages
among one another and between messages and replies: redis-server's follows its hash tables, and a message of the proxy
takes another way than a reply.
"""

from __future__ import annotations

import re

import hiredis
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.redis_server import needs_redis_server
from tests.system.tier import Link, running_nodes, running_proxy

pytestmark = needs_redis_server

CLIENTS = 3
REQUESTS = """
SUBSCRIBE a|SUBSCRIBE b|SUBSCRIBE a b ab|SUBSCRIBE a a|SUBSCRIBE|PSUBSCRIBE a*|PSUBSCRIBE * [ab]|PSUBSCRIBE ?b
SSUBSCRIBE a|SSUBSCRIBE a s|UNSUBSCRIBE a|UNSUBSCRIBE|UNSUBSCRIBE b a nope|PUNSUBSCRIBE|PUNSUBSCRIBE a*|SUNSUBSCRIBE
SUNSUBSCRIBE s|PUBLISH a hello|PUBLISH a hello|PUBLISH b there|PUBLISH ab you|PUBLISH nobody x|SPUBLISH a hello
SPUBLISH s x|PUBLISH a|PING|PING hi|GET x|NOSUCH|RESET|HELLO 3|HELLO 3|HELLO 2|PUBSUB CHANNELS|PUBSUB CHANNELS a*
PUBSUB NUMSUB a b ab x|PUBSUB NUMPAT|PUBSUB SHARDCHANNELS|PUBSUB SHARDNUMSUB a s|PUBSUB NUMSUB|PUBSUB CHANNELS a b
PUBSUB NUMPAT x|CLIENT GETNAME
""".strip().replace("\n", "|").split("|")

MESSAGE = re.compile(rb"[*>][34]\r\n\$[78]\r\n[ps]?message\r\n")
LEFT = re.compile(rb"([*>]3\r\n\$1[12]\r\n[ps]?unsubscribe\r\n)(.*\r\n):(\d+)\r\n", re.DOTALL)


class Side:
    """The three clients of one of the two."""

    def __init__(self, port: int) -> None:
        self.links = [Link(port) for _ in range(CLIENTS)]
        self.tokens = 0

    def send(self, client: int, line: str) -> None:
        self.links[client].send(line.split())

    def settled(self) -> list[list[bytes]]:
        """What each client has got so far, of a server that answers in one go: up to the answer of a PING."""
        self.tokens += 1
        token = b"token-%d\r\n" % self.tokens
        found = []
        for link in self.links:
            link.send(["PING", token])
            frames: list[bytes] = []
            while not frames or token not in frames[-1]:
                frames += link.raw(1)
            found.append(frames[:-1])
        return found

    def exactly(self, counts: list[int]) -> list[list[bytes]]:
        """As many frames for each client as it has to get."""
        return [link.raw(count) if count else [] for link, count in zip(self.links, counts, strict=True)]

    def close(self) -> None:
        for link in self.links:
            link.send(["RESET"])
        for link in self.links:
            while link.raw(1) != [b"+RESET\r\n"]:
                pass
            link.close()


def comparable(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Messages, sorted; replies in their order, without what may differ in them."""
    messages = sorted(frame for frame in frames if MESSAGE.match(frame))
    replies = [frame for frame in frames if not MESSAGE.match(frame)]
    left = [LEFT.fullmatch(frame) for frame in replies]
    if len(replies) > 1 and all(left):
        # Of everything: in the order of a hash table.
        names = sorted(match[2] for match in left)
        replies = [b"%b%b:%b\r\n" % (match[1], name, match[3]) for match, name in zip(left, names, strict=True)]
    for place, frame in enumerate(replies):
        if b"$6\r\nserver\r\n" in frame:
            replies[place] = frame[:1] + b"hello"
        elif frame.startswith(b"*") and not left[place]:
            reader = hiredis.Reader()
            reader.feed(frame)
            names = reader.gets()
            if all(isinstance(name, bytes) for name in names) and names[:1] != [b"pong"]:
                replies[place] = b"channels " + b" ".join(sorted(names))
    return messages, replies


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Of a bare redis-server, and of a proxy before another one."""
    with (
        running_nodes(tmp_path_factory.mktemp("nodes"), 2) as (bare, node),
        running_proxy(tmp_path_factory.mktemp("proxy"), [node], engines=2) as proxy,
    ):
        yield bare.port, proxy.address


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([(0, "SUBSCRIBE a b"), (1, "HELLO 3"), (1, "PSUBSCRIBE * [ab]"), (1, "PUBLISH b there"), (0, "RESET")])
@given(st.lists(st.tuples(st.integers(0, CLIENTS - 1), st.sampled_from(REQUESTS)), min_size=5, max_size=40))
def test_every_client_gets_what_redis_would_give_it(ports, steps):
    theirs, ours = Side(ports[0]), Side(ports[1])
    for client, line in steps:
        theirs.send(client, line)
        expected = theirs.settled()
        ours.send(client, line)
        got = ours.exactly([len(frames) for frames in expected])
        for number in range(CLIENTS):
            assert comparable(got[number]) == comparable(expected[number]), (number, client, line)
    assert ours.settled() == [[]] * CLIENTS, "there is more than there should be"
    theirs.close()
    ours.close()
