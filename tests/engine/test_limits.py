"""Limits: window, output_soft, output_hard, query_buffer, backlog, input_limit; nobody stays parked or starved."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import bulk, request

GET = request(b"GET", b"a")
IDLE_BYTES = 160 * 16384    # pooled chunks that an idle engine may keep


def at_rest(engine):
    """No memory but pooled chunks is held."""
    settle(engine)
    counters = engine.counters()
    assert counters["input_reserved"] == 0
    assert counters["chunk_bytes"] <= IDLE_BYTES


# -- one client -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("window", [1, 2, 16, 100])
def test_at_most_window_requests_are_at_nodes(window):
    engine = build(1, window=window)
    client = engine.open()
    engine.feed(client, GET)
    engine.sent(conn(0))
    engine.answer(conn(0), b"+a\r\n")
    engine.take(client)    # the engine knows by now that its replies are small
    assert engine.feed(client, GET * 250) == 250 * len(GET)
    answered = 0
    while answered < 250:
        sent = engine.sent(conn(0))
        assert len(sent) == len(GET) * min(window, 250 - answered)
        answered += len(sent) // len(GET)
        engine.answer(conn(0), b"+a\r\n" * (len(sent) // len(GET)))
        engine.turn()
    assert engine.take(client) == b"+a\r\n" * 250
    at_rest(engine)


def test_local_answers_behind_the_window_wait_too():
    engine = build(1, window=3)
    client = engine.open()
    engine.feed(client, GET + request(b"PING") * 10)
    assert engine.state(client)["owed"] == 3
    engine.sent(conn(0))
    engine.answer(conn(0), b"+a\r\n")
    for _ in range(10):
        engine.turn()
    assert engine.take(client) == b"+a\r\n" + b"+PONG\r\n" * 10


def test_a_client_that_does_not_read_is_not_dispatched_but_still_read_from():
    engine = build(1, output_soft=1000)
    client = engine.open()
    reply = bulk(b"x" * 600)
    engine.feed(client, GET * 2)
    engine.sent(conn(0))
    engine.answer(conn(0), reply * 2)
    engine.turn()
    assert engine.feed(client, GET * 1000) == 1000 * len(GET)
    engine.turn()
    assert engine.sent(conn(0)) == b"" and engine.state(client)["parked"]
    # Read enough and it goes on.
    engine.take(client, 300)
    engine.turn()
    got = b""
    for _ in range(1001):
        sent = engine.sent(conn(0))
        assert len(sent) <= 10 * len(GET)
        engine.answer(conn(0), reply * (len(sent) // len(GET)))
        got += engine.take(client)
        engine.turn()
    assert got == (reply * 1002)[300:]
    at_rest(engine)


def test_replies_held_for_their_turn_count_as_unread():
    engine = build(2, output_soft=1000)
    client = engine.open()
    engine.feed(client, request(b"GET", key_on(0)) + request(b"GET", key_on(1)) * 3)
    engine.sent(conn(0))
    engine.sent(conn(1))
    engine.answer(conn(1), bulk(b"x" * 600) * 3)
    engine.feed(client, request(b"GET", key_on(1)))
    assert engine.state(client)["parked"] and engine.sent(conn(1)) == b""
    engine.answer(conn(0), b"+a\r\n")
    engine.take(client)
    engine.turn()
    assert engine.sent(conn(1)) == request(b"GET", key_on(1))


def test_a_long_pipeline_of_local_answers_is_worked_off():
    engine = build(1, output_soft=100, window=10)
    client = engine.open()
    engine.feed(client, request(b"PING") * 5000)
    got = b""
    for _ in range(5000):
        got += engine.take(client)
        engine.turn()
    assert got == b"+PONG\r\n" * 5000
    at_rest(engine)


def test_the_query_buffer_bounds_what_is_read():
    engine = build(1, output_soft=100, query_buffer=100_000)
    client = engine.open()
    engine.feed(client, GET)
    engine.sent(conn(0))
    engine.answer(conn(0), bulk(b"x" * 200))
    pipeline = GET * 20_000
    done = engine.feed(client, pipeline)
    assert 100_000 <= done < 100_000 + 2 * 65536
    got = engine.take(client)
    for _ in range(10_000):
        engine.turn()
        done += engine.feed(client, pipeline[done:])
        engine.answer(conn(0), b"+a\r\n" * (len(engine.sent(conn(0))) // len(GET)))
        got += engine.take(client)
    assert done == len(pipeline) and got == bulk(b"x" * 200) + b"+a\r\n" * 20_000
    at_rest(engine)


def test_one_request_larger_than_the_query_buffer_ends_its_client():
    engine = build(1, query_buffer=100_000)
    client = engine.open()
    engine.feed(client, request(b"SET", b"a", b"v" * 150_000))
    with pytest.raises(KeyError):
        engine.state(client)
    assert engine.counters()["query_closed"] == 1
    at_rest(engine)


def test_a_full_backlog_refuses_new_requests_only():
    engine = build(1, backlog=100)
    client = engine.open()
    engine.feed(client, GET * 10)
    kept = engine.sent(conn(0))
    assert 100 < len(kept) < 100 + 2 * len(GET)
    count = len(kept) // len(GET)
    engine.answer(conn(0), b"+a\r\n" * count)
    refusal = b"-ERR the backlog of node n0 (10.0.0.0:6379) in pool p is full (100 bytes); 'get' was not sent\r\n"
    assert engine.take(client) == b"+a\r\n" * count + refusal * (10 - count)
    at_rest(engine)


def test_arguments_may_not_exceed_max_bulk():
    engine = build(1, max_bulk=1000)
    client = engine.open()
    engine.feed(client, GET + b"*2\r\n$3\r\nGET\r\n$1001\r\n")
    engine.feed(client, GET)
    engine.sent(conn(0))
    engine.answer(conn(0), b"+a\r\n")
    assert engine.take(client) == b"+a\r\n-ERR Protocol error: invalid bulk length\r\n"
    assert engine.state(client)["closing"]


# -- with a socket: what the kernel does not take ---------------------------------------------------------------------

def with_socket(**limits):
    engine = build(1, **limits)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    client = engine.open(fd=ours.detach())
    theirs.settimeout(2)
    return engine, client, theirs


def test_a_client_with_too_much_unread_output_is_closed():
    engine, client, peer = with_socket(output_hard=3_000_000, output_soft=1 << 30)
    with peer:
        peer.sendall(GET * 5)
        engine.run_once()
        for _ in range(4):
            engine.sent(conn(0))
            engine.answer(conn(0), bulk(b"x" * 1_000_000))
            engine.run_once()
        engine.turn()
        with pytest.raises(KeyError):
            engine.state(client)
        assert engine.counters()["output_closed"] == 1
        # The reply that is still to come finds nobody; nothing leaks and nothing breaks.
        engine.sent(conn(0))
        engine.answer(conn(0), bulk(b"x" * 1_000_000))
        at_rest(engine)


def test_a_client_that_reads_slowly_gets_everything():
    engine, _, peer = with_socket(output_soft=100_000)
    with peer:
        peer.sendall(GET * 200)
        got = b""
        reply = bulk(b"x" * 50_000)
        while len(got) < 200 * len(reply):
            engine.run_once()
            engine.answer(conn(0), reply * (len(engine.sent(conn(0))) // len(GET)))
            engine.run_once()
            got += peer.recv(1 << 16)
        assert got == reply * 200
        at_rest(engine)


@pytest.mark.parametrize("tail", [b"", GET[:9], b"*0\r\n", b"\r\n", b"*0\r\n" + GET[:3]])
@pytest.mark.parametrize("window", [1, 1024])
def test_a_client_that_shuts_its_side_gets_what_it_asked_for_and_is_let_go(tail, window):
    engine, client, peer = with_socket(window=window)
    with peer:
        peer.sendall(GET * 3 + tail)
        peer.shutdown(socket.SHUT_WR)
        got = b""
        for _ in range(20):
            engine.run_once()
            engine.answer(conn(0), b"+a\r\n" * (len(engine.sent(conn(0))) // len(GET)))
        while data := peer.recv(1000):
            got += data
        assert got == b"+a\r\n" * 3
        with pytest.raises(KeyError):
            engine.state(client)
        at_rest(engine)


def test_a_client_that_shut_its_side_is_not_looked_at_again_and_again():
    """While its parked requests wait for the node, the engine sleeps."""
    engine, client, peer = with_socket(window=1)
    with peer:
        peer.sendall(GET * 3)
        peer.shutdown(socket.SHUT_WR)
        for _ in range(6):
            engine.run_once()
        for _ in range(3):
            assert not engine.state(client)["ready"]
            engine.answer(conn(0), b"+a\r\n" * (len(engine.sent(conn(0))) // len(GET)))
            for _ in range(6):
                engine.run_once()
        assert engine.counters()["clients"] == 0
        assert peer.recv(100) == b"+a\r\n" * 3


def test_nor_is_one_whose_barrier_waits():
    engine, client, peer = with_socket()
    with peer:
        peer.sendall(GET + request(b"SELECT", b"0") + request(b"PING"))
        engine.run_once()
        engine.sent(conn(0))
        peer.shutdown(socket.SHUT_WR)
        for _ in range(6):
            engine.run_once()
        assert engine.state(client)["parked"] and not engine.state(client)["ready"]
        engine.answer(conn(0), b"+a\r\n")
        for _ in range(6):
            engine.run_once()
        assert peer.recv(100) == b"+a\r\n+OK\r\n+PONG\r\n"
        assert engine.counters()["clients"] == 0


def test_quit_answers_what_came_before_and_nothing_behind():
    engine, _, peer = with_socket()
    with peer:
        peer.sendall(GET + request(b"QUIT") + GET)
        engine.run_once()
        assert engine.sent(conn(0)) == GET
        engine.answer(conn(0), b"+a\r\n")
        engine.run_once()
        got = b""
        while data := peer.recv(1000):
            got += data
        assert got == b"+a\r\n+OK\r\n"
        at_rest(engine)


# -- memory of all clients together -----------------------------------------------------------------------------------

LARGE = request(b"SET", b"a", b"v" * 900_000)


def test_input_memory_is_reserved_when_a_length_is_read_and_others_wait():
    engine = build(1, input_limit=1_000_000)
    first, second, third, small = (engine.open() for _ in range(4))
    engine.feed(first, LARGE[:100])
    assert engine.counters()["input_reserved"] >= len(LARGE)
    for client in (second, third):
        engine.feed(client, LARGE[:100])
        assert engine.state(client)["starved"]
        assert engine.feed(client, b"x") == 0
    # Small requests need no reservation.
    engine.feed(small, GET)
    assert engine.sent(conn(0)) == GET
    engine.answer(conn(0), b"+a\r\n")
    # The longest waiting one is admitted beyond the limit, the other is not.
    engine.turn()
    assert engine.state(second)["privileged"] and not engine.state(second)["starved"]
    assert engine.state(third)["starved"]
    for client in (first, second, third):
        engine.turn()
        assert engine.feed(client, LARGE[100:]) == len(LARGE) - 100
        assert engine.sent(conn(0, bulk=1)) == LARGE
        engine.answer(conn(0, bulk=1), b"+OK\r\n")
        engine.turn()
        assert engine.take(client) == b"+OK\r\n"
    at_rest(engine)


@given(st.permutations(range(6)), st.integers(1, 400_000), st.sampled_from([200_000, 1_000_000]))
@settings(max_examples=8, deadline=None)
def test_everybody_gets_on_whoever_came_first(order, piece, limit):
    engine = build(1, input_limit=limit)
    clients = [engine.open() for _ in range(6)]
    outbox = {client: LARGE * 2 for client in clients}
    for _ in range(5000):
        for place in order:
            client = clients[place]
            outbox[client] = outbox[client][engine.feed(client, outbox[client][:max(piece, 20_000)]) :]
        sent = engine.sent(conn(0, bulk=1))
        engine.answer(conn(0, bulk=1), b"+OK\r\n" * sent.count(b"SET"))
        engine.turn()
        if not any(outbox.values()):
            break
    assert not any(outbox.values()), {client: engine.state(client) for client in clients}
    for _ in range(20):
        engine.answer(conn(0, bulk=1), b"+OK\r\n" * engine.sent(conn(0, bulk=1)).count(b"SET"))
        engine.turn()
    assert all(engine.take(client) == b"+OK\r\n" * 2 for client in clients)
    at_rest(engine)


def hold_all_memory(engine):
    """A client whose half request takes all input memory, and one that is admitted all the same."""
    holder, privileged = engine.open(), engine.open()
    engine.feed(holder, LARGE[:100])
    engine.feed(privileged, LARGE[:100])
    engine.turn()
    assert engine.state(privileged)["privileged"]
    return holder, privileged


def test_one_that_goes_on_after_its_request_lets_the_next_one_in():
    """The privilege is for one request, not for a pipeline of them."""
    engine = build(1, input_limit=1_000_000)
    _, privileged = hold_all_memory(engine)
    waiting = engine.open()
    engine.feed(waiting, LARGE[:100])
    engine.turn()
    assert engine.state(waiting)["starved"]
    engine.feed(privileged, LARGE[100:] + LARGE[:100])
    engine.turn()
    assert not engine.state(waiting)["starved"]


def test_one_that_stops_sending_does_not_keep_the_others_out():
    engine = build(1, input_limit=1_000_000)
    _, privileged = hold_all_memory(engine)
    waiting = engine.open()
    engine.feed(waiting, LARGE[:100])
    engine.turn()
    assert engine.state(waiting)["starved"]
    engine.advance(2_000_000)
    engine.turn()
    assert not engine.state(waiting)["starved"]
    # The one that fell asleep may still finish.
    assert engine.feed(privileged, LARGE[100:]) == len(LARGE) - 100


def test_one_that_leaves_lets_the_next_one_in():
    engine = build(1, input_limit=1_000_000)
    _, privileged = hold_all_memory(engine)
    waiting = engine.open()
    engine.feed(waiting, LARGE[:100])
    engine.close(privileged)
    engine.turn()
    assert engine.state(waiting)["privileged"]


def test_one_that_waited_and_then_needs_nothing_keeps_nobody_out():
    """Starved while parked; by its turn all its input has been used."""
    engine = build(1, input_limit=1_000_000, output_soft=0)
    parked = engine.open()
    engine.feed(parked, GET)
    engine.sent(conn(0))
    engine.answer(conn(0), b"+a\r\n")
    _, privileged = hold_all_memory(engine)
    while not engine.state(parked)["starved"]:
        engine.feed(parked, GET * 1000)
    # It reads, and goes on, before it is admitted.
    for _ in range(100_000):
        if not engine.state(parked)["input"]:
            break
        engine.take(parked)
        engine.turn()
        engine.answer(conn(0), b"+a\r\n" * (len(engine.sent(conn(0))) // len(GET)))
    assert engine.state(parked)["starved"]
    waiting = engine.open()
    engine.feed(waiting, LARGE[:100])
    engine.close(privileged)
    engine.turn()
    assert not engine.state(parked)["starved"] and not engine.state(parked)["privileged"]
    assert not engine.state(waiting)["starved"]


def test_starved_clients_may_leave():
    engine = build(1, input_limit=1_000_000)
    hold_all_memory(engine)
    waiting = [engine.open() for _ in range(5)]
    for client in waiting:
        engine.feed(client, LARGE[:100])
    for client in waiting:
        engine.close(client)
        engine.turn()
    settle(engine)


# -- parked and woken -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("busy", [False, True])
def test_replies_that_wait_for_more_are_sent_in_the_end(busy):
    """While other sockets are busy a client's replies wait for those of the other nodes, but not for ever."""
    engine, _, peer = with_socket()
    with peer:
        peer.setblocking(False)
        peer.sendall(GET * 2)
        engine.run_once()
        engine.sent(conn(0))
        engine.answer(conn(0), b"+a\r\n")
        turns = 0
        while True:
            engine.turn(busy=busy)
            turns += 1
            try:
                assert peer.recv(100) == b"+a\r\n"
                break
            except BlockingIOError:
                assert busy and turns < 20
        settle(engine)
