"""EVAL, then EVALSHA on nodes that never saw the script: three real nodes, two engines, hasty clients."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack

import pytest

from tests.redis_server import needs_redis_server
from tests.system.tier import error, running_nodes, running_proxy, until

pytestmark = needs_redis_server

KEYS = [f"k{number}" for number in range(30)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    patient = "server_failure_limit: 1000000\nreconnect: {first: 20ms, most: 50ms}"
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, patient, engines=2) as proxy:
        yield proxy


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def link(request, proxy):
    with proxy.link(request.param) as link:
        assert link("SCRIPT", "FLUSH") == b"OK"
        yield link


def sha(body):
    return hashlib.sha1(body.encode()).hexdigest()


def by_digest(body, *arguments):
    return [("EVALSHA", sha(body), 1, key, *arguments) for key in KEYS]


def test_in_one_pipeline_and_by_others(proxy, link, nodes):
    body = "return 1"
    link.send(("EVAL", body, 1, KEYS[0]), *by_digest(body))
    assert link.replies(31) == [1] * 31
    assert [node("SCRIPT", "EXISTS", sha(body)) for node in nodes] == [[1]] * 3, "the keys live on all of them"
    assert link("SCRIPT", "EXISTS", sha(body), "f" * 40) == [1, 0]
    with ExitStack() as stack:
        others = [stack.enter_context(proxy.link(protocol)) for protocol in (2, 3) * 4]
        for number, other in enumerate(others):
            fresh = f"return {number + 100}"
            assert other("EVAL_RO", fresh, 0) == number + 100
            for another in others:
                another.send(*by_digest(fresh), ("SELECT", 3), ("EVALSHA_RO", sha(fresh), 1, "z"), ("SELECT", 0))
                assert another.replies(33) == [number + 100] * 30 + [b"OK", number + 100, b"OK"]
    assert link("SCRIPT", "FLUSH") == b"OK" and link("SCRIPT", "EXISTS", sha(body)) == [0]
    error(link("EVALSHA", sha(body), 1, "k"), "^NOSCRIPT")
    assert link("EVAL", body, 1, "k") == 1
    link.send(*by_digest(body))
    assert link.replies(30) == [1] * 30


def test_in_a_transaction(link):
    body = "return redis.call('incrby', KEYS[1], ARGV[1])"
    link.send(("DEL", "t"), ("MULTI",), ("EVAL", body, 1, "t", 2), ("EVALSHA", sha(body), 1, "t", 3), ("EXEC",))
    assert link.replies(5)[1:] == [b"OK", b"QUEUED", b"QUEUED", [2, 5]]
    link.send(*by_digest(body, 0))
    assert not [reply for reply in link.replies(30) if not isinstance(reply, int)]


def test_large_arguments_and_silence(link):
    large = "x" * 1_000_000
    for number in range(3):
        body = f"return {{#ARGV[1], {number}}}"
        link.send(("SET", "before", number), ("EVAL", body, 1, "k1", large), ("EVALSHA", sha(body), 1, "k2", large),
                  ("GET", "before"))  # fmt: skip
        assert link.replies(4) == [b"OK", [len(large), number], [len(large), number], b"%d" % number]
    body = "redis.call('set', KEYS[1], 'done') return 1"
    link.send(("CLIENT", "REPLY", "OFF"), ("EVAL", body, 1, "silent"), ("CLIENT", "REPLY", "ON"), ("GET", "silent"),
              ("EVALSHA", sha(body), 1, "k5"))  # fmt: skip
    assert link.replies(3) == [b"OK", b"done", 1]


def test_a_monitor_sees_it_once(proxy, link):
    with proxy.link() as watcher:
        assert watcher("MONITOR") == b"OK"
        link.send(("EVAL", "return 'seen'", 1, "k1"), ("ECHO", "end"))
        assert link.replies(2) == [b"seen", b"end"]
        lines = []
        while not lines or b"end" not in lines[-1]:
            line = watcher.reply()
            lines.append(line if isinstance(line, bytes) else line.encode())
        assert sum(b"EVAL" in line for line in lines) == 1


def test_another_body_for_every_call(proxy, link):
    """They are quick, displace nothing that is named by its digest, and leave something to others."""
    body = "return 'kept'"
    assert link("EVAL", body, 0) == b"kept" and link("EVALSHA", sha(body), 0) == b"kept"
    began = time.monotonic()
    for start in range(0, 4000, 500):
        link.send(*(("EVAL", f"return {number}", 0) for number in range(start, start + 500)))
        assert link.replies(500) == list(range(start, start + 500))
    assert time.monotonic() - began < 10
    link.send(*by_digest(body))
    assert link.replies(30) == [b"kept"] * 30
    with proxy.link() as other:
        other.send(("EVAL", "return 'other'", 0), *by_digest("return 'other'"))
        assert other.replies(31) == [b"other"] * 31


def test_nodes_that_were_restarted(nodes, proxy, link):
    body = "return redis.call('incr', KEYS[1])"
    assert isinstance(link("EVAL", body, 1, "n"), int)
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start()
    with proxy.link() as other:
        for each in (link, other):
            until(lambda each=each: all_up(each), "the engine has found the nodes again")
            each.send(*by_digest(body))
            assert not [reply for reply in each.replies(30) if not isinstance(reply, int)]


def all_up(link):
    link.send(*(("SET", key, 1) for key in KEYS))
    return link.replies(30) == [b"OK"] * 30
