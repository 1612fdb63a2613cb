"""Commands that visit every node, and scripts, through a real proxy: one node as if it were not there, and three."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest
import redis

from tests.redis_server import needs_redis_server
from tests.system.tier import error, running_nodes, running_proxy, until

pytestmark = needs_redis_server

PATIENT = "server_failure_limit: 1000000\nreconnect: {first: 20ms, most: 50ms}"
LIBRARY = "#!lua name=mylib\nredis.register_function('echo', function(keys, args) return args[1] end)"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3, "--latency-monitor-threshold", "1",
                       "--enable-debug-command", "yes") as nodes:  # fmt: skip
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, PATIENT, engines=2) as proxy:
        yield proxy


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def link(request, proxy, nodes):
    for node in nodes:
        with node.link() as ask:
            ask("FLUSHALL")
            ask("FUNCTION", "FLUSH")
            ask("SLOWLOG", "RESET")
    with proxy.link(request.param) as link:
        assert link("SCRIPT", "FLUSH") == b"OK", "by way of the proxy, which remembers scripts"
        yield link


@pytest.fixture
def torn(nodes):
    """The nodes, to be stopped and started: all of them run afterwards."""
    yield nodes
    for node in nodes:
        node.thaw()
        if node.process.poll() is not None:
            node.start()


def sha(body):
    return hashlib.sha1(body.encode()).hexdigest()


# -- one node: the proxy adds nothing and takes nothing away ----------------------------------------------------------

SCRIPT = "return {KEYS[1], ARGV[1]}"
#: Asked of the same process, with and without the proxy.
LOOKS = [
    "DBSIZE", "DBSIZE x", "KEYS k1*", "KEYS nothing*", "KEYS", "SCAN 0", "SCAN 0 COUNT 7",
    "SCAN 0 COUNT 1000 MATCH k1*", "SCAN 0 COUNT", "SCAN 0 COUNT 0",
    "SCAN 0 TYPE list", "SCAN 5", "scan 5 match k*", "SCAN x", "SCAN -1",
    "SCAN 0 NONSENSE", "SCAN 18446744073709551615", "SCAN 18446744073709551616", f"SCRIPT EXISTS {'a' * 40}",
    "SCRIPT EXISTS", "SCRIPT KILL", ["SCRIPT", "LOAD", "return ("], "SCRIPT FLUSH NOW", "EVALSHA x 1 k",
    f"EVALSHA {'b' * 40} 1 k a", "FUNCTION LIST", "FUNCTION LIST WITHCODE", "FUNCTION LIST LIBRARYNAME my*",
    "FUNCTION LIST LIBRARYNAME", "FUNCTION STATS", "FUNCTION DUMP", "FUNCTION KILL", "FUNCTION RESTORE nonsense",
    ["FUNCTION", "LOAD", "nonsense"], "FCALL echo 1 k hello", "FUNCTION DELETE nothing", "SLOWLOG LEN", "SLOWLOG GET",
    "SLOWLOG GET -1", "SLOWLOG GET -2", "SLOWLOG GET x", "SLOWLOG GET 1 2", "LATENCY LATEST", "LATENCY DOCTOR",
    "LATENCY HISTORY command", "LATENCY HISTORY nothing", "LATENCY GRAPH nothing", "LATENCY RESET nothing",
    "LATENCY HISTOGRAM set", "LATENCY HISTOGRAM nothing", "MEMORY PURGE", "MEMORY DOCTOR", "FLUSHDB NOW",
    "FLUSHALL SYNC ASYNC", "SWAPDB 0 x", "SWAPDB 0 99",
]  # fmt: skip
#: Done on two equal processes, one of them behind the proxy.
ACTS = [
    "SWAPDB 0 1", "DBSIZE", "SWAPDB 1 0", "DBSIZE", "SCRIPT FLUSH SYNC", ["SCRIPT", "LOAD", SCRIPT],
    f"SCRIPT EXISTS {'a' * 40} {sha(SCRIPT)}", f"EVALSHA {sha(SCRIPT)} 1 k a", f"EVALSHA_RO {sha(SCRIPT)} 1 k a",
    f"evalsha {sha(SCRIPT).upper()} 1 k a", f"EVALSHA {sha(SCRIPT)} 0", f"EVALSHA {sha(SCRIPT)} 9 k",
    f"EVALSHA {sha(SCRIPT)} x k", "SCRIPT FLUSH", f"SCRIPT EXISTS {sha(SCRIPT)}", ["FUNCTION", "LOAD", LIBRARY],
    ["FUNCTION", "LOAD", LIBRARY], ["FUNCTION", "LOAD", "REPLACE", LIBRARY], "FCALL echo 1 k hello", "FUNCTION STATS",
    "FUNCTION LIST", "FUNCTION DUMP", "FUNCTION DELETE mylib", "FUNCTION DELETE mylib", "FUNCTION FLUSH ASYNC",
    "SLOWLOG RESET", "SLOWLOG LEN", "FLUSHDB ASYNC", "RANDOMKEY", "DBSIZE",
    "FLUSHALL SYNC", "KEYS *", "SCAN 0",
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3])
def test_one_node_answers_as_without_a_proxy(nodes, tmp_path, protocol):
    """Byte for byte, errors included."""
    hidden, twin = nodes[:2]
    with (
        running_proxy(tmp_path, [hidden], PATIENT) as proxy,
        proxy.link() as near, hidden.link() as bare, twin.link() as far,
    ):  # fmt: skip
        for ask in (near, far):
            ask("FLUSHALL")
            for number in range(40):
                ask("SET", f"k{number}", number)
            for number in range(40):  # so that the table's rehashing, a step a command, is over
                ask("GET", f"k{number}")
        bare("FUNCTION", "LOAD", "REPLACE", LIBRARY)
        bare("DEBUG", "SLEEP", "0.02")
        if protocol == 3:
            for ask in (near, bare, far):
                assert not isinstance(ask("HELLO", "3"), Exception)
        for line in LOOKS:
            compare(line, near, bare)
        near("FUNCTION", "FLUSH")
        for line in ACTS:
            compare(line, near, far)


def compare(line, *links):
    replies = []
    for link in links:
        link.send(line.split() if isinstance(line, str) else line)
        replies.append(link.raw(1)[0])
    assert replies[0] == replies[1], line


def test_databases_of_one_node(nodes, tmp_path):
    with running_proxy(tmp_path, nodes[:1], PATIENT) as proxy, proxy.link() as link:
        link("FLUSHALL")
        link("SELECT", 1)
        link("SET", "there", 1)
        assert link("SWAPDB", 0, 1) == b"OK"
        assert link("DBSIZE") == 0
        link("SELECT", 0)
        assert link("KEYS", "*") == [b"there"] and link("RANDOMKEY") == b"there"


# -- SCAN -------------------------------------------------------------------------------------------------------------


def scan(link, *options):
    """All keys that a whole SCAN gives, repeated or not."""
    found = []
    cursor = b"0"
    while True:
        cursor, keys = link("SCAN", cursor, *options)
        found += keys
        if cursor == b"0":
            return found


def test_scan_returns_what_was_there_all_the_time(proxy, link):
    """While another client adds and deletes so much that the tables of the nodes grow and shrink."""
    stable = {b"stable:%d" % number for number in range(3000)}
    link.send(*(("SET", key, "v") for key in stable))
    assert set(link.replies(len(stable))) == {b"OK"}
    over = threading.Event()
    churned = 0

    def churn():
        nonlocal churned
        dice = random.Random(7)
        with proxy.link() as other:
            while not over.is_set():
                batch = [b"churn:%d" % dice.randrange(10**6) for _ in range(2000)]
                other.send(*(("SET", key, "v") for key in batch))
                other.replies(len(batch))
                other.send(*(("DEL", key) for key in batch))
                other.replies(len(batch))
                churned += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for count in (10, 100, 1000):
            assert stable <= set(scan(link, "COUNT", count))
        until(lambda: churned > 1, "there was something to be confused by")
    finally:
        over.set()
        thread.join()
    assert sorted(key for key in scan(link, "COUNT", 50) if key.startswith(b"stable")) == sorted(stable), "each once"


def test_scan_passes_its_options_on(link):
    for name in ("SET", "RPUSH"):
        link.send(*((name, f"{name[0].lower()}{number}", 1) for number in range(30)))
        link.replies(30)
    assert sorted(scan(link, "MATCH", "s1*")) == sorted(b"s%d" % number for number in (1, *range(10, 20)))
    assert sorted(scan(link, "TYPE", "list", "COUNT", "5")) == sorted(b"r%d" % number for number in range(30))
    error(link("SCAN", "0", "COUNT", "x"), "value is not an integer")
    error(link("SCAN", "x"), "^ERR invalid cursor$")
    error(link("SCAN", str(1 << 64)), "^ERR invalid cursor$")
    link("SELECT", 3)
    assert scan(link) == []


def test_redis_py_iterates(proxy, link):
    with redis.Redis("127.0.0.1", proxy.address) as client:
        client.mset({f"user:{number}": number for number in range(500)})
        assert {*client.scan_iter("user:*", count=20)} == {b"user:%d" % number for number in range(500)}
        assert client.dbsize() == 500 and len(client.keys("user:1*")) == 111
        assert client.info("keyspace").keys() <= {"db0"}
        assert client.flushdb() is True and client.randomkey() is None


# -- the whole keyspace -----------------------------------------------------------------------------------------------


def test_all_keys_of_all_nodes(link, nodes):
    link.send(*(("SET", f"k{number}", number) for number in range(300)))
    link.replies(300)
    sizes = [node("DBSIZE") for node in nodes]
    assert all(sizes) and sum(sizes) == 300 == link("DBSIZE")
    assert sorted(link("KEYS", "k*")) == sorted(b"k%d" % number for number in range(300))
    assert link("KEYS", "nothing*") == []
    picked = {link("RANDOMKEY") for _ in range(60)}
    assert len(picked) > 20 and all(key.startswith(b"k") for key in picked)
    link("SELECT", 2)
    link("SET", "other", 1)
    assert link("DBSIZE") == 1 and link("FLUSHDB") == b"OK" and link("DBSIZE") == 0
    link("SELECT", 0)
    assert link("DBSIZE") == 300
    assert link("FLUSHALL", "ASYNC") == b"OK"
    assert [node("DBSIZE") for node in nodes] == [0, 0, 0] and link("RANDOMKEY") is None
    error(link("FLUSHALL", "NOW"), "^ERR syntax error$")
    error(link("SWAPDB", 0, 1), "refused by the proxy: it would not be atomic")


def test_a_pipeline_waits_for_it(link):
    """A command of the slow lane comes after what was sent before it, and before what was sent after it."""
    link.send(("SET", "a", 1), ("SET", "b", 1), ("DBSIZE",), ("FLUSHALL",), ("DBSIZE",), ("SET", "c", 1), ("DBSIZE",))
    assert link.replies(7) == [b"OK", b"OK", 2, b"OK", 0, b"OK", 1]


def test_info_counts_the_keys(proxy, link):
    def keyspace():
        lines = link("INFO", "keyspace")
        text = lines if isinstance(lines, str) else bytes(lines).decode()
        return text.split("\r\n")[1:-1]

    link.send(*(("SET", f"k{number}", 1, "EX", 1000) for number in range(30)), ("SELECT", 5), ("SET", "x", 1))
    link.replies(32)
    until(lambda: len(keyspace()) == 2 and keyspace(), "a second old at most")
    first, second = keyspace()
    assert first.startswith("db0:keys=30,expires=30,avg_ttl=9") and second == "db5:keys=1,expires=0,avg_ttl=0"


# -- a node that is not there -----------------------------------------------------------------------------------------


def test_a_dead_node_is_an_error_and_is_named(torn, proxy, link):
    link.send(*(("SET", f"k{number}", 1) for number in range(60)))
    link.replies(60)
    torn[1].kill()
    for words in (["KEYS", "*"], ["DBSIZE"], ["RANDOMKEY"], ["FUNCTION", "LIST"], ["SLOWLOG", "LEN"]):
        error(link(*words), r"^ERR node n1 \(127.0.0.1:\d+\) of pool test (is down|was lost)")
    error(link("SCRIPT", "LOAD", "return 1"), "'script.load' failed on 1 of 3|^ERR node n1 .* is down")
    error(link("FLUSHALL"), r"^ERR 'flushall' was done on 2 of 3 nodes of pool test only: node n1 .* is down")
    assert torn[0]("DBSIZE") == torn[2]("DBSIZE") == 0
    began = time.monotonic()
    assert b"Keyspace" in bytes(link("INFO").encode() if isinstance(link("INFO"), str) else link("INFO"))
    assert time.monotonic() - began < 2
    cursor = 1  # the dead node's turn
    error(link("SCAN", cursor), "node n1 .* is down")
    torn[1].start()
    assert until(lambda: isinstance(reply := link("SCAN", cursor), list) and reply, "the node is back")
    assert link("FLUSHALL") == b"OK" and link("DBSIZE") == 0


def test_a_frozen_node_holds_nobody_up_for_ever(torn, tmp_path):
    with running_proxy(tmp_path, torn, f"timeout: 200ms\n{PATIENT}") as proxy, proxy.link() as link:
        link("DBSIZE")
        torn[2].freeze()
        began = time.monotonic()
        error(link("DBSIZE"), "node n2 .* did not answer 'dbsize' within")
        info = link("INFO")
        assert "# Keyspace" in (info if isinstance(info, str) else info.decode())
        error(link("FLUSHALL"), "on 2 of 3 nodes .* the fate of 'flushall' is unknown: node n2 .* did not answer")
        assert time.monotonic() - began < 3
        link.send(*(("SET", f"k{number}", 1) for number in range(50)))
        torn[2].thaw()
        link.replies(50)
        until(lambda: link("DBSIZE") == 50 or (link("FLUSHALL") and link.send(
            *(("SET", f"k{number}", 1) for number in range(50)))) or (link.replies(50) and False), "it is back")


def test_a_flush_whose_fate_is_unknown_never_lands_later(torn, tmp_path):
    """It lies in the frozen node's socket; what is written after its error must not be deleted by it.

    The node takes its sockets in the order in which they got something to read: the engine's has to be first.
    """
    options = f"timeout: 300ms\nlimits: {{tombstone_age: 60s}}\n{PATIENT}"
    with running_proxy(tmp_path, torn[:2], options) as proxy, proxy.link() as link, proxy.link() as other:
        key = next(key for key in map(str, range(100)) if link("SET", key, "old") == b"OK" and torn[0]("GET", key))
        assert link("FLUSHALL") == b"OK" and other("GET", key) is None
        for _ in range(3):
            torn[0].freeze()
            other.send(("GET", key))
            until(lambda: b"in_flight=1" in link("INFO", "nodes"), "it lies in the node's socket")
            error(link("FLUSHALL"), "done on 1 of 2 nodes .* only: the fate of 'flushall' is unknown: node n0 ")
            link.send(("SET", key, "new"))
            until(lambda: b"in_flight=3" in proxy("INFO", "nodes"), "so does this one, and what kills the other")
            torn[0].thaw()
            other.reply()
            assert link.reply() == b"OK"
            assert link("GET", key) == b"new" and link("DBSIZE") == 1


# -- scripts ----------------------------------------------------------------------------------------------------------


def test_a_script_is_loaded_everywhere(link, nodes):
    body = "return redis.call('incr', KEYS[1])"
    assert link("SCRIPT", "LOAD", body) == sha(body).encode()
    assert [node("SCRIPT", "EXISTS", sha(body)) for node in nodes] == [[1]] * 3
    link.send(*(("EVALSHA", sha(body), 1, f"k{number}") for number in range(20)))
    assert link.replies(20) == [1] * 20
    assert link("SCRIPT", "EXISTS", sha(body), sha(body).upper(), "f" * 40) == [1, 1, 0]
    assert link("SCRIPT", "FLUSH") == b"OK"
    assert [node("SCRIPT", "EXISTS", sha(body)) for node in nodes] == [[0]] * 3
    assert link("SCRIPT", "EXISTS", sha(body)) == [0]
    error(link("EVALSHA", sha(body), 1, "k"), "^NOSCRIPT")
    error(link("SCRIPT", "LOAD", "return ("), "^ERR Error compiling script")
    error(link("SCRIPT", "DEBUG", "YES"), "refused by the proxy")
    error(link("SCRIPT", "KILL"), "^NOTBUSY")


def test_nodes_that_lost_their_scripts_get_them_again(torn, proxy, link):
    """redis-py's register_script in a pipeline, before and after the nodes were restarted."""
    with redis.Redis("127.0.0.1", proxy.address) as client:
        body = "return redis.call('rpush', KEYS[1], ARGV[1])"
        push = client.register_script(body)

        def round_of(name):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(30):
                    pipeline.set(f"{name}:{number}:done", 0)
                    push(keys=[f"{name}:{number}"], args=["a"], client=pipeline)
                    push(keys=[f"{name}:{number}"], args=["b"], client=pipeline)
                    pipeline.lrange(f"{name}:{number}", 0, -1)
                return pipeline.execute()

        expected = [True, 1, 2, [b"a", b"b"]] * 30
        assert round_of("first") == expected
        for node in torn:
            node.kill()
        for node in torn:
            node.start()
        until(lambda: all_up(client) and link("MSET", *range(60)) == b"OK", "both engines have found the nodes again")
        assert [node("SCRIPT", "EXISTS", sha(body)) for node in torn] == [[0]] * 3
        assert link("SCRIPT", "EXISTS", sha(body)) == [1], "as EVALSHA will work"
        # Not by redis-py's own care, which asks SCRIPT EXISTS and would load it.
        link.send(*(words for number in range(30) for words in (
            ("EVALSHA", sha(body), 1, f"raw:{number}", "a"), ("EVALSHA", sha(body), 1, f"raw:{number}", "b"),
            ("LRANGE", f"raw:{number}", 0, -1),
        )))  # fmt: skip
        assert link.replies(90) == [1, 2, [b"a", b"b"]] * 30
        assert [node("SCRIPT", "EXISTS", sha(body)) for node in torn] == [[1]] * 3
        assert round_of("second") == expected
        torn[1].kill()
        torn[1].start()
        until(lambda: all_up(client) and link("MSET", *range(60)) == b"OK", "both engines have found the node again")
        for number in range(10):
            with client.pipeline(transaction=True) as pipeline:
                push(keys=[f"multi:{number}"], args=["a"], client=pipeline)
                push(keys=[f"multi:{number}"], args=["b"], client=pipeline)
                assert pipeline.execute() == [1, 2]


def all_up(client):
    try:
        return client.mset({f"up:{number}": 1 for number in range(30)})
    except redis.RedisError:
        return False


def test_a_script_that_was_flushed_behind_our_back(link, nodes):
    """The proxy cannot know; the client is told once, and the next one works."""
    body = "return ARGV[1] .. '!'"
    link("SCRIPT", "LOAD", body)
    assert link("EVALSHA", sha(body), 1, "k", "hello") == b"hello!"
    assert link("EVALSHA", sha(body), 1, "k", "hello") == b"hello!"
    for node in nodes:
        node("SCRIPT", "FLUSH")
    error(link("EVALSHA", sha(body), 1, "k", "hello"), "^NOSCRIPT")
    assert link("EVALSHA", sha(body), 1, "k", "hello") == b"hello!"


def test_scripts_load_on_every_engine(proxy, link):
    """Clients of both engines profit from one SCRIPT LOAD; the bodies are told to each."""
    body = "return 'both'"
    link("SCRIPT", "LOAD", body)
    with_all = [proxy.link() for _ in range(8)]
    try:
        for other in with_all:
            assert other("SCRIPT", "EXISTS", sha(body)) == [1]
            assert other("EVALSHA", sha(body), 0) == b"both"
    finally:
        for other in with_all:
            other.close()


def test_a_running_script_is_killed(proxy, link, nodes):
    for node in nodes:
        node("CONFIG", "SET", "busy-reply-threshold", "50")
    with proxy.link() as busy:
        busy.send(("EVAL", "while true do end", 1, "k"))
        until(lambda: link("SCRIPT", "KILL") == b"OK", "it runs long enough to be killed")
        error(busy.reply(), "killed by user")


# -- functions --------------------------------------------------------------------------------------------------------


def test_functions_are_the_same_on_every_node(link, nodes):
    assert link("FUNCTION", "LOAD", LIBRARY) == b"mylib"
    link.send(*(("FCALL", "echo", 1, f"k{number}", number) for number in range(20)))
    assert link.replies(20) == [b"%d" % number for number in range(20)]
    error(link("FUNCTION", "LOAD", LIBRARY), "^ERR Library 'mylib' already exists$")
    assert link("FUNCTION", "LOAD", "REPLACE", LIBRARY) == b"mylib"
    assert len(link("FUNCTION", "LIST")) == 1 and len(link("FUNCTION", "STATS")) in (2, 4)
    dumped = link("FUNCTION", "DUMP")
    assert link("FUNCTION", "DELETE", "mylib") == b"OK" and link("FUNCTION", "LIST") == []
    assert link("FUNCTION", "RESTORE", dumped) == b"OK"
    assert link("FCALL", "echo", 1, "k", "again") == b"again"
    nodes[0]("FUNCTION", "FLUSH")
    error(link("FUNCTION", "DELETE", "mylib"), "done on 2 of 3 nodes .* only: node n0 .* said: ERR Library not found")
    assert link("FUNCTION", "FLUSH") == b"OK"


# -- reports ----------------------------------------------------------------------------------------------------------


def test_reports_of_all_nodes(link, nodes):
    for node in nodes:
        with node.link() as ask:
            ask("CONFIG", "SET", "slowlog-log-slower-than", "10000")
            ask("DEBUG", "SLEEP", "0.02")
    assert link("SLOWLOG", "LEN") == 3
    entries = link("SLOWLOG", "GET")
    assert len(entries) == 3 and len({entry[0] for entry in entries}) == 3
    assert [entry[1] for entry in entries] == sorted((entry[1] for entry in entries), reverse=True)
    assert len(link("SLOWLOG", "GET", 2)) == 2 and link("SLOWLOG", "RESET") == b"OK" and link("SLOWLOG", "LEN") == 0
    [latest] = [event for event in link("LATENCY", "LATEST") if event[0] == b"command"]
    assert latest[2] >= 20
    assert len(link("LATENCY", "HISTORY", "command")) >= 3
    for words in ("LATENCY DOCTOR", "LATENCY GRAPH command", "MEMORY DOCTOR", "MEMORY MALLOC-STATS"):
        reply = link(*words.split())
        text = reply if isinstance(reply, str) else reply.decode()
        assert [line.split()[2] for line in text.splitlines() if line.startswith("# node ")] == ["n0", "n1", "n2"]
    error(link("LATENCY", "GRAPH", "nothing"), "^ERR No samples available for event 'nothing'$")
    assert link("LATENCY", "RESET") >= 3
    link.send(*(("SET", f"k{number}", 1) for number in range(60)))
    link.replies(60)
    calls = pairs(pairs(link("LATENCY", "HISTOGRAM", "set"))[b"set"])
    assert calls[b"calls"] >= 60 and max(pairs(calls[b"histogram_usec"]).values()) == calls[b"calls"]
    memory = pairs(link("MEMORY", "STATS"))
    assert memory[b"keys.count"] == 60 and memory[b"total.allocated"] > 3 * 500_000
    assert 0 < float(memory[b"dataset.percentage"]) < 100
    assert link("MEMORY", "PURGE") == b"OK"


def pairs(value):
    """A map, of either protocol."""
    return value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=True))
