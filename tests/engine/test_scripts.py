"""EVALSHA by way of the engine, against a model: which nodes know what, and what a request must look like there."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.acl import apply_rules, default_user, new_user, split_rules
from proxy.control.engines import EventKind
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


def start(run=RUNS[0], **limits):
    engine = build(NODES, connect=False, **limits)
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


# -- EVAL brings a body -----------------------------------------------------------------------------------------------


def brought(engine):
    """(pool, client, body) of every new body that the control plane was told of."""
    return [(event[1], event[4], event[7]) for event in engine.events() if event[0] == EventKind.SCRIPT]


def teach(engine, serial, body):
    """What the control plane does, once every engine has it: here there is one."""
    learn(engine, serial, body)
    engine.script_shared(serial)
    engine.turn()


def go_on(engine, pointer):
    engine.go_on(pointer)
    settle(engine)


@pytest.mark.parametrize("step", [1, 7, 1 << 30])
def test_a_new_body_is_told_before_it_runs(step):
    """What was sent before is on its way, nothing behind overtakes; afterwards nobody is asked again."""
    engine = start()
    client = engine.open()
    key = key_on(0)
    data = request(b"GET", key) + as_eval(BODIES[0], key) + evalsha(BODIES[0], key) + request(b"PING")
    for place in range(0, len(data), step):
        engine.feed(client, data[place : place + step])
    settle(engine)
    assert engine.sent(conn(0)) == request(b"GET", key)
    [(pool, pointer, body)] = brought(engine)
    assert (pool, body) == (0, BODIES[0]) and engine.state(client)["references"] == 2 and engine.state(client)["parked"]
    engine.answer(conn(0), b"$-1\r\n")
    settle(engine)
    assert engine.take(client) == b"$-1\r\n"
    assert "eval" not in engine.command_stats() and not brought(engine)
    teach(engine, 1, BODIES[0])
    assert not engine.sent(conn(0)), "one word is missing"
    go_on(engine, pointer)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key) * 2, "EVALSHA has the body with it"
    assert engine.state(client)["references"] == 2
    engine.answer(conn(0), b":1\r\n:1\r\n")
    settle(engine)
    assert engine.take(client) == b":1\r\n:1\r\n+PONG\r\n" and engine.state(client)["references"] == 0
    assert engine.command_stats()["eval"][0] == 1 and engine.state(client)["commands"] == 4
    engine.feed(client, as_eval(BODIES[0], key) + as_eval(BODIES[0], key, b"eval_ro"))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key) + as_eval(BODIES[0], key, b"eval_ro")
    assert not brought(engine)


def test_a_request_asks_once_whatever_comes_of_it():
    engine = start()
    client = engine.open()
    key = key_on(0)
    for _ in range(2):
        engine.feed(client, as_eval(BODIES[0], key))
        [(_, pointer, _)] = brought(engine)
        go_on(engine, pointer)
        assert engine.sent(conn(0)) == as_eval(BODIES[0], key), "it was not learned, and runs all the same"
        engine.answer(conn(0), b":1\r\n")
        settle(engine)
        engine.take(client)
    assert not brought(engine)


def test_known_here_is_not_known_everywhere():
    """Another client must not be answered while some engine may not have the body yet."""
    engine = start()
    first, second = engine.open(), engine.open()
    key = key_on(0)
    engine.feed(first, as_eval(BODIES[0], key))
    learn(engine, 1, BODIES[0])
    engine.feed(second, as_eval(BODIES[0], key))
    one, other = [pointer for _, pointer, _ in brought(engine)]
    assert not engine.sent(conn(0))
    engine.script_shared(1)
    go_on(engine, one)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key)
    go_on(engine, other)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key)
    engine.forget_script(1)
    engine.turn()
    engine.feed(engine.open(), as_eval(BODIES[0], key))
    assert len(brought(engine)) == 1, "forgotten, so it is new again"


def test_bodies_in_one_chain_and_in_several_pools():
    engine = start()
    bodies = [b"return %d" % number for number in range(1024)]
    for serial, body in enumerate(bodies, 1):
        engine.learn_script(serial % 2, serial, digest(body).digest(), body)
        engine.script_shared(serial)
    engine.turn()
    for serial in range(1, 1025, 3):
        engine.forget_script(serial)
    engine.turn()
    for serial, body in enumerate(bodies, 1):
        if serial < 400:
            client = engine.open()
            engine.feed(client, as_eval(body, key_on(0)))
            new = bool(brought(engine))
            assert new == (serial % 3 == 1 or serial % 2 == 1), serial


@pytest.mark.parametrize("size", [40_000, 400_000, 1_048_576, 1_048_577])
def test_large_requests_and_large_bodies(size):
    """A large request is moved when it goes on; a body that is too long goes at once."""
    engine = start()
    for node in range(NODES):
        engine.connect(node, bulk=1)
    client = engine.open()
    key, large = key_on(0), b"x" * size
    bulk = conn(0, bulk=1) if size > 256 << 10 else conn(0)
    engine.feed(client, as_eval(BODIES[0], key, b"EVAL", large))
    [(_, pointer, _)] = brought(engine)
    go_on(engine, pointer)
    assert engine.sent(bulk) == as_eval(BODIES[0], key, b"EVAL", large)
    engine.answer(bulk, b":1\r\n")
    settle(engine)
    assert engine.take(client) == b":1\r\n"
    engine.feed(client, as_eval(large, key))
    told = brought(engine)
    assert len(told) == (size <= 1 << 20)
    for _, pointer, body in told:
        assert body == large
        go_on(engine, pointer)
    assert engine.sent(bulk) == as_eval(large, key)


def test_a_client_that_leaves_meanwhile():
    engine = start()
    client, other = engine.open(), engine.open()
    for leaving in (client, other):
        engine.feed(leaving, as_eval(BODIES[0], key_on(0)))
    engine.close(client)
    engine.end(other)
    settle(engine)
    for _, pointer, _ in brought(engine):
        go_on(engine, pointer)
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key_on(0)), "who closed its side is still answered"


def test_in_a_transaction_and_without_replies():
    engine = start()
    client = engine.open()
    key = key_on(0)
    multi, run = request(b"MULTI"), request(b"EXEC")
    engine.feed(client, multi + as_eval(BODIES[0], key) + evalsha(BODIES[0], key) + run)
    [(_, pointer, body)] = brought(engine)
    teach(engine, 1, body)
    go_on(engine, pointer)
    assert engine.sent(conn(0)) == multi + as_eval(BODIES[0], key) * 2 + run
    engine.answer(conn(0), b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n")
    settle(engine)
    assert engine.take(client) == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n"
    engine.feed(client, request(b"CLIENT", b"REPLY", b"SKIP") + as_eval(BODIES[1], key) + request(b"PING"))
    [(_, pointer, _)] = brought(engine)
    go_on(engine, pointer)
    engine.sent(conn(0))
    engine.answer(conn(0), b":1\r\n")
    settle(engine)
    assert engine.take(client) == b"+PONG\r\n"


def test_who_may_not_run_scripts_tells_nobody():
    user = apply_rules(new_user("u"), split_rules("on nopass ~* +get +eval"))
    engine = build(users=[default_user(None), user])
    client = engine.open()
    engine.feed(client, request(b"AUTH", b"u", b"x") + as_eval(BODIES[0], key_on(0)) + request(b"EVAL", BODIES[0]))
    settle(engine)
    assert engine.take(client).startswith(b"+OK\r\n-NOPERM") and not brought(engine)
    engine = build(password=b"secret")
    client = engine.open()
    engine.feed(client, as_eval(BODIES[0], key_on(0)))
    settle(engine)
    assert engine.take(client).startswith(b"-NOAUTH") and not brought(engine)


def test_new_bodies_are_limited():
    """By client: 500 at once, 50 a second. By engine: four times as many. Beyond that EVAL goes straight on."""
    engine = start(bulk=1 << 30)

    def told(numbers, client=None, more=b""):
        """For how many new bodies the control plane is asked; what went straight on was sent."""
        found = 0
        for number in numbers:
            data = as_eval(b"return 'n%d'%s" % (number, more), key_on(0))
            engine.feed(client or engine.open(), data)
            asked = brought(engine)
            assert bool(engine.sent(conn(0))) is not bool(asked)
            for _, pointer, _ in asked:
                go_on(engine, pointer)
                assert engine.sent(conn(0)) == data
            engine.answer(conn(0), b":1\r\n")
            settle(engine)
            found += len(asked)
        return found

    one = engine.open()
    assert told(range(700), one) == 500
    assert told(range(2000)) == 1500, "what it left to others"
    engine.advance(1_000_000)
    assert told(range(100), one) == 50 and told(range(300)) == 150
    engine.advance(100_000_000)
    assert told(range(40), more=b" " * 1_000_000) == 2000 // 62, "long ones cost more"


def test_a_full_box_of_events_holds_nobody_up():
    engine = start()
    for _ in range(16384):
        client = engine.open()
        engine.feed(client, request(b"INFO"))
        engine.close(client)
    engine.feed(engine.open(), as_eval(BODIES[0], key_on(0)))
    assert engine.sent(conn(0)) == as_eval(BODIES[0], key_on(0))


def test_who_is_named_by_digest():
    engine = start()
    assert engine.scripts_named() == set()
    learn(engine, 5, BODIES[0])
    learn(engine, 6, BODIES[1])
    engine.feed(engine.open(), evalsha(BODIES[0], key_on(0)))
    assert engine.scripts_named() - {0} == {5}
    learn(engine, 5 + 1024, BODIES[2])
    assert engine.scripts_named() - {0} == set()
