"""EVALSHA by way of the engine, against a model: which nodes know what, and what a request must look like there."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import request

NODES = 2
BODIES = [b"return %d" % number for number in range(4)]
RUNS = [b"a" * 40, b"b" * 40]


def digest(body):
    return hashlib.sha1(body)


def learn(engine, serial, body, pool=0):
    engine.learn_script(pool, serial, digest(body).digest(), body)
    engine.turn()


def start(run=RUNS[0]):
    engine = build(NODES, connect=False)
    for node in range(NODES):
        for protocol in (2, 3):
            engine.connect(node, protocol, run=run)
    engine.events()
    return engine


def evalsha(body, key, name=b"EVALSHA", *more):
    return request(name, digest(body).hexdigest().encode(), b"1", key, *more)


def as_eval(body, key, name=b"EVAL", *more):
    return request(name, body, b"1", key, *more)


def test_the_body_goes_along_until_the_node_has_answered():
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    engine.feed(client, evalsha(BODIES[0], key) * 2)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key) * 2
    engine.answer(conn(0), b":1\r\n")
    engine.feed(client, evalsha(BODIES[0], key) + evalsha(BODIES[0], key_on(1)))
    assert engine.sent(conn(0)) == evalsha(BODIES[0], key)
    assert engine.sent(conn(1)) == as_eval(BODIES[0], key_on(1)), "another node"
    engine.answer(conn(0), b":1\r\n:1\r\n")
    engine.answer(conn(1), b":1\r\n")
    settle(engine)
    assert engine.take(client) == b":1\r\n" * 4


def test_the_other_forms():
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    name = digest(BODIES[0]).hexdigest().upper().encode()
    engine.feed(client, request(b"evalsha_ro", name, b"1", key, b"argument", b""))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key, b"EVAL_RO", b"argument", b"")
    engine.feed(client, request(b"EVALSHA", name, b"0"))
    assert request(b"EVAL", BODIES[0], b"0") in (engine.sent(conn(0)), engine.sent(conn(1))), "no key"
    for wrong in (b"x" * 40, name[:39], name + b"0", b""):
        engine.feed(client, request(b"EVALSHA", wrong, b"1", key))
        assert engine.sent(conn(0)) == request(b"EVALSHA", wrong, b"1", key)
    large = b"x" * 40_000
    engine.feed(client, evalsha(BODIES[0], key, b"EVALSHA", large))
    settle(engine)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key, b"EVAL", large)


def test_another_protocol_of_the_same_node_knows_it_too():
    engine = start()
    client, other = engine.open(), engine.open()
    engine.feed(other, request(b"HELLO", b"3"))
    engine.take(other)
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    engine.feed(client, evalsha(BODIES[0], key))
    engine.sent(conn(0))
    engine.answer(conn(0), b":1\r\n")
    engine.feed(other, evalsha(BODIES[0], key))
    assert engine.sent(conn(0, 3)) == evalsha(BODIES[0], key)


def test_pools_do_not_see_each_others_scripts():
    engine = start()
    client = engine.open()
    learn(engine, 1, BODIES[0], pool=1)
    engine.feed(client, evalsha(BODIES[0], key_on(0)))
    assert engine.sent(conn(0)) == evalsha(BODIES[0], key_on(0))


@pytest.mark.parametrize("reply", [b"-NOSCRIPT No matching script.\r\n", b"-ERR Error compiling script\r\n"])
def test_an_error_teaches_nothing(reply):
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    engine.feed(client, evalsha(BODIES[0], key))
    engine.sent(conn(0))
    engine.answer(conn(0), reply)
    settle(engine)
    assert engine.take(client) == reply
    engine.feed(client, evalsha(BODIES[0], key))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key)


def test_a_late_reply_of_another_process_is_not_believed():
    """The answer came from a process that is gone by the time of the next request."""
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    engine.feed(client, evalsha(BODIES[0], key))
    engine.sent(conn(0))
    engine.answer(conn(0), b":1\r\n")
    engine.fail(conn(0))
    engine.feed(client, evalsha(BODIES[0], key))
    engine.connect(0, run=RUNS[1])
    engine.feed(client, evalsha(BODIES[0], key))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key) * 2
    engine.answer(conn(0), b":1\r\n:1\r\n")
    engine.feed(client, evalsha(BODIES[0], key))
    assert engine.sent(conn(0)) == evalsha(BODIES[0], key)


def test_an_unknown_process_is_never_taken_for_the_same():
    engine = start(run=b"")
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    for _ in range(3):
        engine.feed(client, evalsha(BODIES[0], key))
        assert engine.sent(conn(0)) == as_eval(BODIES[0], key)
        engine.answer(conn(0), b":1\r\n")


def test_a_new_script_takes_the_place_of_that_which_is_1024_older():
    """A reply to the old one, still on its way, says nothing about the new one."""
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 3, BODIES[0])
    engine.feed(client, evalsha(BODIES[0], key))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key)
    learn(engine, 3 + 1024, BODIES[1])
    engine.answer(conn(0), b":1\r\n")
    engine.feed(client, evalsha(BODIES[0], key) + evalsha(BODIES[1], key))
    assert engine.sent(conn(0)) == evalsha(BODIES[0], key) + as_eval(BODIES[1], key)


def test_who_is_said_to_hold_it_gets_no_body():
    """SCRIPT LOAD was answered by these processes; the second one is not the one that is connected."""
    engine = start()
    client = engine.open()
    learn(engine, 1, BODIES[0])
    engine.script_held(1, 0, 0, RUNS[0])
    engine.script_held(1, 0, 1, RUNS[1])
    engine.script_held(2, 0, 0, RUNS[0])
    engine.turn()
    engine.feed(client, evalsha(BODIES[0], key_on(0)) + evalsha(BODIES[0], key_on(1)))
    assert engine.sent(conn(0)) == evalsha(BODIES[0], key_on(0))
    assert engine.sent(conn(1)) == as_eval(BODIES[0], key_on(1))


def test_in_a_transaction():
    """Replies to what is in it are not looked into, so it teaches nothing."""
    engine = start()
    client = engine.open()
    key = key_on(0)
    learn(engine, 1, BODIES[0])
    multi, run = request(b"MULTI"), request(b"EXEC")
    for _ in range(2):
        engine.feed(client, multi + evalsha(BODIES[0], key) + run)
        assert engine.sent(conn(0)) == multi + as_eval(BODIES[0], key) + run
        engine.answer(conn(0), b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
    engine.script_held(1, 0, 0, RUNS[0])
    engine.turn()
    engine.feed(client, multi + evalsha(BODIES[0], key) + run)
    assert engine.sent(conn(0)) == multi + evalsha(BODIES[0], key) + run
    engine.answer(conn(0), b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n")
    settle(engine)
    assert engine.take(client) == b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n" * 3


class Model:
    """What each node's process holds, and what the engine may believe of it."""

    def __init__(self):
        self.kept = {}  # body → serial
        self.process = [0] * NODES
        self.believed = [set() for _ in range(NODES)]  # (process, serial)


steps = st.one_of(
    st.tuples(st.just("learn"), st.sampled_from(BODIES)),
    st.tuples(st.just("forget"), st.sampled_from(BODIES)),
    st.tuples(st.just("run"), st.sampled_from(BODIES), st.integers(0, NODES - 1)),
    st.tuples(st.just("flushed"), st.sampled_from(BODIES), st.integers(0, NODES - 1)),
    st.tuples(st.just("restart"), st.integers(0, NODES - 1)),
)


@given(st.lists(steps, max_size=60))
@settings(max_examples=100, deadline=None)
def test_against_the_model(taken):
    engine = start(run=b"%040d" % 0)
    client = engine.open()
    model = Model()
    serial = 0
    for step, *what in taken:
        if step == "learn" and what[0] not in model.kept:
            serial += 1
            model.kept[what[0]] = serial
            learn(engine, serial, what[0])
        elif step == "forget" and what[0] in model.kept:
            engine.forget_script(model.kept.pop(what[0]))
            engine.turn()
        elif step in ("run", "flushed"):
            body, node = what
            key = key_on(node)
            mark = (model.process[node], model.kept.get(body))
            engine.feed(client, evalsha(body, key))
            known = body not in model.kept or mark in model.believed[node]
            assert engine.sent(conn(node)) == (evalsha if known else as_eval)(body, key)
            engine.answer(conn(node), b":1\r\n" if step == "run" else b"-NOSCRIPT gone\r\n")
            settle(engine)
            engine.take(client)
            if body in model.kept:
                (model.believed[node].add if step == "run" else model.believed[node].discard)(mark)
        elif step == "restart":
            model.process[what[0]] += 1
            engine.fail(conn(what[0]))
            engine.connect(what[0], run=b"%040d" % model.process[what[0]])
            engine.events()
