"""What the engine does for subscribers: subscribe mode, pushes and their limits, kept clients, the count of PUBLISH."""

from __future__ import annotations

import socket
from array import array
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.control.answers.glob import glob
from proxy.control.engines import EventKind
from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import bulk, request

CHANNEL, PATTERN, SHARD = 0, 1, 2
ONLY = b"only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"


def asked(engine):
    """The requests that wait for the control plane: (pointer, slot, arguments as sent)."""
    return [(event[4], event[5], event[7]) for event in engine.events() if event[0] == EventKind.REQUEST]


def gone(engine):
    """The kept clients that left: (pointer, id)."""
    return [(event[4], event[6]) for event in engine.events() if event[0] == EventKind.GONE]


def subscriber(engine, client, name=b"a"):
    """Have a client subscribe, and confirm it; its pointer."""
    engine.feed(client, request(b"SUBSCRIBE", name))
    ((pointer, slot, _),) = asked(engine)
    engine.reply(pointer, slot, b"+subscribed\r\n", keep=True, subscriber=True)
    engine.turn()
    assert engine.take(client) == b"+subscribed\r\n"
    return pointer


def pointers(*values):
    return array("Q", values).tobytes()


def resp3(engine):
    client = engine.open()
    engine.feed(client, request(b"HELLO", b"3"))
    engine.take(client)
    return client


# -- subscribe mode ---------------------------------------------------------------------------------------------------

def test_resp2_allows_few_commands_in_subscribe_mode():
    engine = build(1)
    client = engine.open()
    subscriber(engine, client)
    engine.feed(client, request(b"GET", b"x") + request(b"client", b"id") + request(b"Multi") + request(b"HELLO", b"3"))
    assert engine.take(client) == b"".join(
        b"-ERR Can't execute '%b': %b" % (name, ONLY) for name in (b"get", b"client|id", b"multi", b"hello")
    )
    engine.feed(client, request(b"PING") + request(b"PING", b"hi") + request(b"PING", b"a", b"b") + request(b"NOPE"))
    assert engine.take(client) == (
        b"*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$2\r\nhi\r\n"
        b"-ERR wrong number of arguments for 'ping' command\r\n"
        b"-ERR unknown command 'NOPE', with args beginning with: \r\n"
    )
    settle(engine)
    assert not engine.sent(conn(0))


def test_resp3_allows_everything():
    engine = build(1)
    client = resp3(engine)
    subscriber(engine, client)
    engine.feed(client, request(b"GET", b"x") + request(b"PING"))
    assert engine.sent(conn(0, 3)) == request(b"GET", b"x")
    engine.answer(conn(0, 3), b"_\r\n")
    assert engine.take(client) == b"_\r\n+PONG\r\n"
    # With RESP2 again the mode is in force.
    engine.feed(client, request(b"HELLO", b"2") + request(b"GET", b"x"))
    assert engine.take(client).endswith(b"-ERR Can't execute 'get': " + ONLY)


def test_the_mode_ends_with_the_last_subscription():
    engine = build(1)
    client = engine.open()
    subscriber(engine, client)
    engine.feed(client, request(b"UNSUBSCRIBE") + request(b"PING"))
    ((pointer, slot, _),) = asked(engine)
    engine.reply(pointer, slot, b"+left\r\n", subscriber=False)
    engine.turn()
    assert engine.take(client) == b"+left\r\n+PONG\r\n"


def test_reset_of_a_kept_client_is_answered_by_the_control_plane():
    engine = build(1)
    client = resp3(engine)
    engine.feed(client, request(b"SELECT", b"3") + request(b"RESET"))
    assert engine.take(client) == b"+OK\r\n+RESET\r\n" and not asked(engine)
    subscriber(engine, client)
    engine.feed(client, request(b"RESET") + request(b"PING"))
    ((pointer, slot, _),) = asked(engine)
    assert engine.take(client) == b""
    engine.reply(pointer, slot, b"+RESET\r\n", subscriber=False, reset=True)
    engine.turn()
    assert engine.take(client) == b"+RESET\r\n+PONG\r\n"
    assert engine.state(client)["protocol"] == 2 and engine.state(client)["database"] == 0


# -- pushes -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [10, 100_000])
def test_a_push_has_the_form_of_each_clients_protocol(size):
    engine = build(1)
    clients = [engine.open(), resp3(engine), engine.open()]
    names = pointers(*(subscriber(engine, client) for client in clients))
    tail = b"3\r\n$7\r\nmessage\r\n$1\r\na\r\n" + bulk(b"x" * size)
    for _ in range(2):
        engine.push(names, b">" + tail)
    engine.push(names, b"+neither\r\n")
    settle(engine)
    for client, first in zip(clients, (b"*", b">", b"*"), strict=True):
        assert engine.take(client) == 2 * (first + tail) + b"+neither\r\n"
    assert engine.counters()["pushes"] == 9


def test_a_large_message_is_held_once():
    engine = build(1)
    before = engine.counters()["chunk_bytes"]
    clients = [engine.open() for _ in range(50)]
    names = pointers(*(subscriber(engine, client) for client in clients))
    message = b">2\r\n$1\r\na\r\n" + bulk(b"x" * 1_000_000)
    engine.push(names, message)
    settle(engine)
    assert engine.counters()["chunk_bytes"] - before < 3_000_000
    for client in clients[:-1]:
        assert engine.take(client) == b"*" + message[1:]
    engine.close(clients[-1])
    settle(engine)
    assert engine.counters()["chunk_bytes"] - before < 1_000_000


def test_messages_that_wait_for_the_engine_are_bounded_in_bytes():
    engine = build(1)
    client = engine.open()
    names = pointers(subscriber(engine, client))
    message = b"+" + b"x" * (10 << 20) + b"\r\n"
    for _ in range(2):
        posted = 0
        with pytest.raises(BlockingIOError):
            while posted < 100:
                engine.push(names, message)
                posted += 1
        assert posted == 7
        settle(engine)
        assert engine.take(client) == message * posted


def test_a_push_between_replies_splits_none():
    engine = build(2)
    client = resp3(engine)
    pointer = subscriber(engine, client)
    first, second = key_on(0), key_on(1)
    engine.feed(client, request(b"GET", first) + request(b"GET", second))
    engine.sent(conn(0, 3))
    engine.sent(conn(1, 3))
    engine.answer(conn(1, 3), b"+second\r\n")
    engine.push(pointers(pointer), b">1\r\n+push\r\n")
    engine.turn()
    engine.answer(conn(0, 3), b"+first\r\n")
    assert engine.take(client) == b">1\r\n+push\r\n+first\r\n+second\r\n"
    settle(engine)


# -- limits -----------------------------------------------------------------------------------------------------------

@pytest.fixture
def with_sockets():
    """An engine with this many subscribers that have sockets: (engine, clients, their ends, their pointers)."""
    with ExitStack() as stack:

        def make(count, **limits):
            engine = build(1, **limits)
            clients, peers, names = [], [], []
            for _ in range(count):
                ours, theirs = socket.socketpair()
                ours.setblocking(False)
                clients.append(engine.open(fd=ours.detach()))
                peers.append(stack.enter_context(theirs))
                theirs.sendall(request(b"SUBSCRIBE", b"a"))
                engine.run_once()
                ((pointer, slot, _),) = asked(engine)
                engine.reply(pointer, slot, b"", keep=True, subscriber=True)
                engine.run_once()
                names.append(pointer)
            return engine, clients, peers, names

        yield make


def drained(engine, peer):
    """Everything that one client can read now and after further turns."""
    peer.setblocking(False)
    got = 0
    for _ in range(1000):
        engine.run_once()
        try:
            got += len(peer.recv(1 << 20))
        except BlockingIOError:
            return got
    raise AssertionError("it never ends")


@pytest.mark.parametrize("size", [1000, 50_000])
def test_a_subscriber_past_the_hard_limit_is_cut_off_and_others_get_everything(with_sockets, size):
    engine, (slow, quick), peers, names = with_sockets(2, pubsub_hard=1_000_000, pubsub_soft=1_000_000)
    message = b"+" + b"x" * size + b"\r\n"
    count = 4_000_000 // size
    got = 0
    for _ in range(count):
        engine.push(pointers(*names), message)
        got += drained(engine, peers[1])
    assert got == count * len(message)
    with pytest.raises(KeyError):
        engine.state(slow)
    assert engine.state(quick)["unread"] == 0
    assert engine.counters()["pubsub_closed"] == 1 and engine.counters()["output_closed"] == 0
    assert [pointer for pointer, _ in gone(engine)] == names[:1]


def test_a_subscriber_may_be_past_the_soft_limit_for_a_while(with_sockets):
    engine, clients, peers, names = with_sockets(1, pubsub_hard=1 << 30, pubsub_soft=100_000, pubsub_soft_us=60_000_000)
    message = b"+" + b"x" * 1_000_000 + b"\r\n"
    engine.push(pointers(*names), message)
    settle(engine)
    assert engine.state(clients[0])["unread"] > 100_000
    engine.advance(59_000_000)
    engine.push(pointers(*names), b"+y\r\n")
    settle(engine)
    # It reads, and is below: the time begins anew.
    assert drained(engine, peers[0]) == len(message) + 4
    engine.advance(59_000_000)
    engine.push(pointers(*names), message)
    engine.turn()
    assert engine.state(clients[0])["unread"] > 100_000
    engine.advance(61_000_000)
    engine.push(pointers(*names), b"+y\r\n")
    engine.turn()
    with pytest.raises(KeyError):
        engine.state(clients[0])
    assert engine.counters()["pubsub_closed"] == 1


def test_who_does_not_subscribe_has_the_limits_of_everybody(with_sockets):
    engine, clients, peers, _ = with_sockets(1, pubsub_hard=100_000, pubsub_soft=100_000)
    peers[0].sendall(request(b"UNSUBSCRIBE"))
    engine.run_once()
    ((pointer, slot, _),) = asked(engine)
    engine.reply(pointer, slot, b"+" + b"x" * 2_000_000 + b"\r\n", subscriber=False)
    engine.run_once()
    assert engine.state(clients[0])["unread"] > 100_000
    assert drained(engine, peers[0]) == 2_000_003


# -- kept clients -----------------------------------------------------------------------------------------------------

def test_a_client_that_leaves_is_told_once_and_its_pointer_stays_until_released():
    engine = build(1)
    client = engine.open()
    pointer = subscriber(engine, client)
    assert engine.state(client)["references"] == 1
    engine.close(client)
    settle(engine)
    assert gone(engine) == [(pointer, client)]
    engine.push(pointers(pointer), b"+late\r\n")
    engine.release(pointer)
    settle(engine)
    assert gone(engine) == []


def test_a_client_that_leaves_while_its_first_subscription_waits():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"SUBSCRIBE", b"a"))
    ((pointer, slot, _),) = asked(engine)
    engine.close(client)
    settle(engine)
    assert gone(engine) == []
    engine.reply(pointer, slot, b"+subscribed\r\n", keep=True, subscriber=True)
    engine.push(pointers(pointer), b"+message\r\n")
    settle(engine)
    assert gone(engine) == [(pointer, client)]
    engine.release(pointer)
    settle(engine)


@pytest.mark.parametrize("released_first", [False, True])
def test_a_client_that_leaves_while_a_later_subscription_waits(released_first):
    """Each time that it is kept its end is told: otherwise whoever keeps it now would wait for ever."""
    engine = build(1)
    client = engine.open()
    pointer = subscriber(engine, client)
    engine.feed(client, request(b"SUBSCRIBE", b"b"))
    ((again, slot, _),) = asked(engine)
    assert again == pointer
    engine.close(client)
    settle(engine)
    assert gone(engine) == [(pointer, client)]
    if released_first:
        engine.release(pointer)
        engine.reply(pointer, slot, b"+subscribed\r\n", keep=True, subscriber=True)
        engine.push(pointers(pointer), b"+message\r\n")
        settle(engine)
        assert gone(engine) == [(pointer, client)]
    else:
        engine.reply(pointer, slot, b"+subscribed\r\n", keep=True, subscriber=True)
        settle(engine)
        assert gone(engine) == []
    engine.release(pointer)
    settle(engine)
    assert gone(engine) == []


@pytest.mark.parametrize("waiting", [False, True])
def test_an_end_that_does_not_fit_the_box_is_told_later(waiting):
    engine = build(1)
    client = engine.open()
    if waiting:
        engine.feed(client, request(b"SUBSCRIBE", b"a"))
        ((pointer, slot, _),) = asked(engine)
        engine.close(client)
        settle(engine)
    else:
        pointer = subscriber(engine, client)
    crowd = 0
    while engine.counters()["events_dropped"] == 0:
        engine.feed(engine.open(), request(b"INFO"))
        crowd += 1
    if waiting:
        engine.reply(pointer, slot, b"", keep=True)
    else:
        engine.close(client)
    settle(engine)
    for event in engine.events():
        assert event[0] == EventKind.REQUEST
        engine.reply(event[4], event[5], b"+OK\r\n", close_after=True)
        crowd -= 1
    settle(engine)
    assert gone(engine) == [(pointer, client)]
    engine.release(pointer)
    settle(engine)


# -- how many received it ---------------------------------------------------------------------------------------------

def publish(engine, client, channel, reply, command=b"PUBLISH", node=0):
    engine.feed(client, request(command, channel, b"m"))
    assert engine.sent(conn(node)) == request(command, channel, b"m")
    engine.answer(conn(node), reply)
    return engine.take(client)


def test_publish_goes_to_its_channels_node_and_adds_nothing_where_nobody_shares():
    engine = build(2)
    client = engine.open()
    for node in range(2):
        assert publish(engine, client, key_on(node), b":1\r\n", node=node) == b":1\r\n"
        assert publish(engine, client, key_on(node), b":0\r\n", b"SPUBLISH", node) == b":0\r\n"


def test_publish_counts_every_subscriber_of_ours():
    engine = build(1)
    client = engine.open()
    engine.subscribed(0, 0, True)
    engine.audience(0, CHANNEL, b"news", 3)
    engine.audience(0, PATTERN, b"n?ws", 10)
    engine.audience(0, PATTERN, b"*", 100)
    engine.audience(0, SHARD, b"news", 1000)
    engine.turn()
    assert publish(engine, client, b"news", b":5\r\n") == b":118\r\n"
    assert publish(engine, client, b"news", b":5\r\n", b"SPUBLISH") == b":1005\r\n"
    assert publish(engine, client, b"other", b":1\r\n") == b":101\r\n"
    assert publish(engine, client, b"news", b"-NOPERM no\r\n") == b"-NOPERM no\r\n"
    engine.audience(0, PATTERN, b"*", 0)
    engine.audience(0, PATTERN, b"n?ws", 11)
    engine.turn()
    assert publish(engine, client, b"news", b":5\r\n") == b":19\r\n"
    engine.subscribed(0, 0, False)
    engine.turn()
    assert publish(engine, client, b"news", b":0\r\n") == b":0\r\n"
    settle(engine)


def test_what_is_added_keeps_its_place_among_pipelined_replies():
    engine = build(2)
    client = engine.open()
    channel = key_on(1)
    engine.subscribed(0, 1, True)
    engine.audience(0, CHANNEL, channel, 7)
    engine.turn()
    engine.feed(client, request(b"GET", key_on(0)) + request(b"PUBLISH", channel, b"m") + request(b"GET", key_on(1)))
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), b":1\r\n+last\r\n")
    assert engine.take(client) == b""
    engine.answer(conn(0), b"+first\r\n")
    assert engine.take(client) == b"+first\r\n:8\r\n+last\r\n"
    engine.feed(client, request(b"PUBLISH", channel, b"m"))
    engine.fail(conn(1))
    settle(engine)
    engine.feed(client, request(b"PUBLISH", channel, b"x" * 100_000))
    settle(engine)


NAMES = st.text("ab*?", min_size=1, max_size=4).map(str.encode)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([CHANNEL, PATTERN, SHARD]), NAMES, st.integers(0, 9)), max_size=80),
       st.lists(NAMES, min_size=1, max_size=5))  # fmt: skip
def test_the_table_of_audiences_agrees_with_a_dictionary(changes, channels):
    engine = build(1)
    client = engine.open()
    engine.subscribed(0, 0, True)
    twin = {}
    for kind, name, extra in changes:
        engine.audience(0, kind, name, extra)
        twin[kind, name] = extra
    engine.turn()
    for channel in channels:
        found = twin.get((CHANNEL, channel), 0)
        found += sum(extra for (kind, name), extra in twin.items() if kind == PATTERN and glob(name)(channel))
        assert publish(engine, client, channel, b":0\r\n") == b":%d\r\n" % found
        shard = twin.get((SHARD, channel), 0)
        assert publish(engine, client, channel, b":0\r\n", b"SPUBLISH") == b":%d\r\n" % shard


def test_many_audiences_grow_and_shrink_the_table():
    engine = build(1)
    client = engine.open()
    engine.subscribed(0, 0, True)
    for number in range(5000):
        engine.audience(0, number % 3, b"c%d" % number, number + 1)
    engine.turn()
    for number in range(0, 5000, 501):
        if number % 3 == CHANNEL:
            assert publish(engine, client, b"c%d" % number, b":0\r\n") == b":%d\r\n" % (number + 1)
    for number in range(5000):
        engine.audience(0, number % 3, b"c%d" % number, 0)
    engine.turn()
    assert publish(engine, client, b"c3", b":0\r\n") == b":0\r\n"
