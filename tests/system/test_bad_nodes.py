"""Nodes that hang, lie, die and come back.

Whatever a node does, each request gets one answer within its deadline, its own or an error that says what is known;
other clients and other nodes go on. Ghost writes and random mischief have files of their own.
"""

import random
import time
from contextlib import ExitStack

import hiredis
import pytest

from tests.redis_server import needs_redis_server
from tests.system.chaos_node import ChaosNode, Gate, close, garbage, half, hang, say, twice
from tests.system.tier import error, running_nodes, running_proxy, until

pytestmark = needs_redis_server

PATIENT = "server_failure_limit: 1000000"  # no ejection: what one connection does is looked at


@pytest.fixture
def chaos():
    node = ChaosNode()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def sound_node(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 1) as [node]:
        yield node


@pytest.fixture
def redis(sound_node):
    """A sound node, empty."""
    sound_node("FLUSHALL")
    return sound_node


@pytest.fixture
def start(tmp_path):
    """A function that gives a proxy before these servers, with these options."""
    with ExitStack() as stack:
        yield lambda servers, options="", **more: stack.enter_context(
            running_proxy(tmp_path, servers, options, **more)
        )


def homes(proxy, chaos, count=3):
    """Keys that live on the chaos node, and keys that do not."""
    theirs, others = [], []
    with proxy.link() as link:
        for number in range(200):
            key = f"key:{number}"
            before = len(chaos.asked("GET"))
            link("GET", key)
            (theirs if len(chaos.asked("GET")) > before else others).append(key)
            if len(theirs) >= count and len(others) >= count:
                return theirs[:count], others[:count]
    raise AssertionError("one node has no keys")


# -- one request ---------------------------------------------------------------------------------------------------


def test_deadline(start, chaos, redis):
    """A request that is not answered in time gets an error; its neighbours on the node's connection keep theirs."""
    proxy = start([chaos, redis], f"timeout: 400ms\n{PATIENT}")
    [slow, quick, written], others = homes(proxy, chaos)
    with proxy.link() as one, proxy.link() as two, proxy.link() as three:
        assert two("SET", quick, "quick's") == b"OK"
        gate = Gate(slow.encode())
        chaos.treat("GET", gate)
        began = time.monotonic()
        one.send(["GET", slow], ["GET", others[0]], ["SET", others[1], "x"])
        gate.wait_for_one()
        assert three("SET", others[2], "y") == b"OK"  # another node
        assert three("GET", others[2]) == b"y"
        time.sleep(0.2)  # half the deadline: this one joins behind the slow one
        two.send(["GET", quick], ["SET", written, "late but fine"])
        error(one.reply(), r"^ERR node chaos \(127\.0\.0\.1:\d+\) of pool test did not answer 'get' within 4\d\d ms$")
        assert 0.39 < time.monotonic() - began < 1
        assert one.replies(2) == [None, b"OK"]
        gate.open()
        assert two.replies(2) == [b"quick's", b"OK"]
        # The late reply was dropped; the next request on that connection gets its own.
        assert one("GET", quick) == b"quick's"
        assert two("GET", slow) is None
        assert len({entry.connection for entry in chaos.asked("GET", "SET")}) == 1


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_fate_of_a_write_is_unknown(start, chaos, protocol):
    proxy = start([chaos], f"timeout: 100ms\n{PATIENT}")
    chaos.treat("SET", hang)
    with proxy.link(protocol) as link:
        reply = link("SET", "k", "v")
        error(reply, r"^ERR the fate of 'set' is unknown: node chaos .*within \d+ ms; it was not retried$")
        assert len(chaos.asked("SET")) == 1
        chaos.treat("MSET", hang)
        error(link("MSET", "k", "v"), "^ERR the fate of 'mset' is unknown")


@pytest.mark.parametrize(
    ("treatment", "read", "write"),
    [
        (close, "lost .* into 'get': the node closed", "fate of 'set' is unknown: node chaos .* the node closed"),
        (half, "lost .* into 'get'", "fate of 'set' is unknown"),
        (garbage, "lost .* into 'get': it sent bytes that are not RESP", "fate of 'set' is unknown.* not RESP"),
        (say(b"$5\r\nabc"), "did not answer 'get'", "fate of 'set' is unknown"),
    ],
    ids=["close", "half", "garbage", "stuck"],
)
def test_a_node_that_breaks_off(start, chaos, redis, treatment, read, write):
    proxy = start([chaos, redis], f"timeout: 300ms\nlimits: {{tombstone_age: 400ms}}\n{PATIENT}")
    [one, two, three], others = homes(proxy, chaos)
    with proxy.link() as link, proxy.link() as other:
        link("SET", one, "v" * 50)
        for command, words, pattern in (("GET", ("GET", one), read), ("SET", ("SET", two, "w"), write)):
            chaos.treat(command, treatment)
            error(link(*words), pattern)
            assert other("SET", others[0], "v") == b"OK"
            chaos.honest()
            until(lambda: link("GET", one) == b"v" * 50, "the connection was replaced")
        assert link("GET", three) is None


def test_a_reply_that_nobody_asked_for(start, chaos):
    """It ends the connection, and is not taken for the answer of a later request."""
    proxy = start([chaos], PATIENT)
    with proxy.link() as link:
        assert link("SET", "k", "v") == b"OK"
        chaos.treat("SET", twice)
        assert link("SET", "k", "w") == b"OK"
        until(lambda: len({entry.connection for entry in chaos.asked("INFO")}) == 2, "a new connection")
        chaos.honest()
        for _ in range(10):
            assert until(lambda: link("GET", "k"), "an answer") == b"w"


def test_pushes_are_not_answers(start, chaos):
    proxy = start([chaos])
    with proxy.link(3) as link:
        chaos.treat("GET", say(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$1\r\nv\r\n"))
        assert [link("GET", "k") for _ in range(5)] == [b"v"] * 5


def test_late_replies_never_reach_another_request(start, chaos):
    """Many requests time out and are answered late, while others follow on the same connection."""
    proxy = start([chaos], f"timeout: 60ms\n{PATIENT}")
    chaos.data = {b"k:%d" % number: b"value of k:%d" % number for number in range(50)}
    chance = random.Random(3)

    def dawdle(connection, words, answer):
        if chance.random() < 0.04:
            time.sleep(0.09)
        connection.write(answer())

    chaos.treat("GET", dawdle)
    late = right = 0
    links = [proxy.link() for _ in range(4)]
    for _ in range(12):
        asked = []
        for link in links:
            numbers = [chance.randrange(50) for _ in range(4)]
            link.send(*(["GET", f"k:{number}"] for number in numbers))
            asked.append(numbers)
        for link, numbers in zip(links, asked, strict=True):
            for number in numbers:
                reply = link.reply()
                if isinstance(reply, hiredis.ReplyError):
                    late += error(reply, "did not answer 'get'|was not sent")
                else:
                    assert reply == b"value of k:%d" % number
                    right += 1
    for link in links:
        link.close()
    assert late > 5
    assert right > 5


def test_mget_and_mset_when_one_node_hangs(start, chaos, redis):
    proxy = start([chaos, redis], f"timeout: 200ms\n{PATIENT}")
    [one, *_], [other, *_] = homes(proxy, chaos)
    with proxy.link() as link:
        assert link("MSET", one, "1", other, "2") == b"OK"
        for command in ("MGET", "MSET", "DEL"):
            chaos.treat(command, hang)
        error(link("MGET", one, other), "did not answer 'mget'")
        error(link("MSET", one, "3", other, "4"), "fate of 'mset' is unknown")
        error(link("DEL", one, other), "fate of 'del' is unknown")
        assert link("PING") == b"PONG"


def test_mget_with_partial_mget_nil(start, chaos, redis):
    proxy = start([chaos, redis], f"timeout: 200ms\npartial_mget: nil\n{PATIENT}")
    [one, two, _], [other, *_] = homes(proxy, chaos)
    with proxy.link() as link:
        assert link("SET", other, "2") == b"OK"
        chaos.treat("MGET", hang)
        assert link("MGET", one, other, two) == [None, b"2", None]


# -- connecting ----------------------------------------------------------------------------------------------------


def test_a_node_that_accepts_without_answering(start, chaos, redis):
    """Requests wait for the greeting no longer than connect_timeout, then are refused at once."""
    chaos.mute = True
    options = f"connect_timeout: 200ms\ntimeout: 5s\n{PATIENT}\nreconnect: {{first: 10ms, most: 50ms}}"
    proxy = start([chaos, redis], options)
    with proxy.link() as link, proxy.link() as other:
        keys = [f"key:{number}" for number in range(40)]
        replies = [link("GET", key) for key in keys]
        down = [key for key, reply in zip(keys, replies, strict=True) if reply is not None]
        assert 5 < len(down) < 35
        for reply in replies:
            assert reply is None or error(reply, "node chaos .*(is down: .*; 'get' was not sent|was lost)")
        began = time.monotonic()
        for _ in range(100):
            error(other("GET", down[0]), "ERR node chaos .* is down: .*; 'get' was not sent$")
        assert time.monotonic() - began < 1
        assert not chaos.asked("GET")
        chaos.mute = False
        until(lambda: link("GET", down[0]) is None, "served again")


def test_a_node_that_is_not_there(start, chaos, redis):
    chaos.shut()
    proxy = start([chaos, redis], f"{PATIENT}\nreconnect: {{first: 10ms, most: 50ms}}")
    with proxy.link() as link:
        until(lambda: "is down" in str(link("GET", "key:0")) or "is down" in str(link("GET", "key:1")), "down", 5)
        chaos.open()
        until(lambda: [link("GET", f"key:{number}") for number in range(30)] == [None] * 30, "served again")


def test_a_node_that_closes_at_once(start, chaos, redis):
    chaos.accepting = False
    proxy = start([chaos, redis], f"{PATIENT}\nreconnect: {{first: 10ms, most: 50ms}}")
    with proxy.link() as link:
        until(lambda: any("is down" in str(link("GET", f"key:{number}")) for number in range(10)), "down", 5)
        chaos.accepting = True
        until(lambda: [link("GET", f"key:{number}") for number in range(30)] == [None] * 30, "served again")


def test_the_greeting(start, chaos):
    proxy = start([chaos], "redis_db: 0\nnode_username: user\nnode_password: secret")
    with proxy.link() as two, proxy.link(3) as three:
        assert two("SET", "k", "v") == b"OK"
        assert three("GET", "k") == b"v"
        assert two("SELECT", "5") == b"OK"
        assert two("GET", "k") == b"v"
    greetings = {}
    for entry in chaos.log:
        greetings.setdefault(entry.connection, []).append(b" ".join(entry.words))
    name = b"CLIENT SETNAME quench:%d:0" % proxy.pid
    rest = [name, b"CLIENT NO-EVICT ON", b"CLIENT ID", b"INFO server"]
    assert sorted(greetings.values()) == sorted([
        [b"AUTH user secret", *rest, b"SET k v"],
        [b"HELLO 3 AUTH user secret", *rest, b"GET k"],
        [b"AUTH user secret", b"SELECT 5", *rest, b"GET k"],
    ])  # fmt: skip


def test_a_node_that_will_not_have_us(start, chaos, redis):
    chaos.treat("AUTH", say(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"))
    proxy = start([chaos], f"node_password: wrong\n{PATIENT}")
    with proxy.link() as link:
        error(until(lambda: link("GET", "k"), "an error"), "node chaos")
        assert not chaos.asked("GET")
        proxy.log.wait_for("WRONGPASS")


# -- real nodes that stop, die and come back -----------------------------------------------------------------------


def test_restart(start, tmp_path):
    """SIGKILL under load: errors that say so; after the restart everything is served again."""
    with running_nodes(tmp_path, 2) as nodes:
        proxy = start(nodes, f"{PATIENT}\nreconnect: {{first: 10ms, most: 100ms}}")
        with proxy.link() as link:
            keys = [f"key:{number}" for number in range(40)]
            assert [link("SET", key, key) for key in keys] == [b"OK"] * 40
            lost = [key for key in keys if nodes[0]("EXISTS", key)]
            assert 5 < len(lost) < 35
            nodes[0].kill()
            for key in keys:
                reply = link("GET", key)
                if key in lost:
                    error(reply, "node n0 .*(is down: .*; 'get' was not sent|was lost)")
                else:
                    assert reply == key.encode()
            nodes[0].start()
            until(lambda: link("GET", lost[0]) is None, "n0 serves again")
            assert [link("GET", key) for key in keys] == [None if key in lost else key.encode() for key in keys]


def test_a_frozen_node(start, tmp_path):
    with running_nodes(tmp_path, 2) as nodes:
        proxy = start(nodes, f"timeout: 150ms\n{PATIENT}")
        with proxy.link() as link, proxy.link() as other:
            keys = [f"key:{number}" for number in range(40)]
            assert [link("SET", key, key) for key in keys] == [b"OK"] * 40
            frozen = [key for key in keys if nodes[0]("EXISTS", key)]
            sound = [key for key in keys if key not in frozen]
            nodes[0].freeze()
            began = time.monotonic()
            link.send(*(["GET", key] for key in keys))
            for key in sound:
                assert other("GET", key) == key.encode()
            for key in keys:
                reply = link.reply()
                assert error(reply, "n0 .* did not answer 'get'") if key in frozen else reply == key.encode()
            assert time.monotonic() - began < 2
            nodes[0].thaw()
            until(lambda: link("GET", frozen[0]) == frozen[0].encode(), "n0 serves again")
            assert [link("GET", key) for key in keys] == [key.encode() for key in keys]


# -- ejection ------------------------------------------------------------------------------------------------------


def test_ejection_without_auto_eject(start, chaos, redis):
    """After server_failure_limit failures in a row: an error at once, until a probe was answered."""
    proxy = start([chaos, redis], "timeout: 100ms\nserver_failure_limit: 3\nserver_retry_timeout: 100ms")
    [one, *_], [other, *_] = homes(proxy, chaos)
    with proxy.link() as link:
        chaos.mute = True
        for _ in range(3):
            error(link("GET", one), "did not answer 'get'")
        proxy.log.wait_for("node.ejected")
        until(lambda: "is down: " in str(link("GET", one)), "refused")
        began, asked = time.monotonic(), len(chaos.asked("GET"))
        for _ in range(20):
            error(link("GET", one), "ERR node chaos .* is down: .*; 'get' was not sent$")
            assert link("GET", other) is None
        assert time.monotonic() - began < 0.1 * 20
        assert len(chaos.asked("GET")) == asked
        chaos.mute = False
        proxy.log.wait_for("node.admitted")
        until(lambda: link("GET", one) is None, "served again")


def test_ejection_with_auto_eject(start, tmp_path):
    """The keys of a dead node move to the next node of the walk and come back; those of other nodes never move."""
    with running_nodes(tmp_path, 3) as nodes:
        proxy = start(
            nodes, "auto_eject: true\nserver_failure_limit: 2\nserver_retry_timeout: 100ms\ntimeout: 500ms\n"
            "reconnect: {first: 10ms, most: 50ms}",
        )  # fmt: skip
        keys = [f"key:{number}" for number in range(90)]

        def places():
            return {key: number for number, node in enumerate(nodes) for key in node("KEYS", "*")} if alive else {
                key: number for number, node in enumerate(nodes) if number for key in node("KEYS", "*")
            }

        alive = True
        with proxy.link() as link:
            assert [link("SET", key, "v") for key in keys] == [b"OK"] * 90
            before = places()
            moved = [key for key in keys if before[key.encode()] == 0]
            assert 10 < len(moved) < 60
            nodes[0].kill()
            alive = False
            until(lambda: link("GET", moved[0]) is None, "its keys are served elsewhere")
            assert [link("SET", key, "w") for key in keys] == [b"OK"] * 90
            during = places()
            assert all(during[key.encode()] == before[key.encode()] for key in keys if key not in moved)
            assert {during[key.encode()] for key in moved} == {1, 2}  # not all to one node
            nodes[0].start()
            alive = True
            until(lambda: link("GET", moved[0]) is None, "they came back")
            for node in nodes:
                node("FLUSHALL")
            assert [link("SET", key, "x") for key in keys] == [b"OK"] * 90
            assert places() == before


def test_no_node_left(start, tmp_path):
    with running_nodes(tmp_path, 2) as nodes:
        proxy = start(nodes, "auto_eject: true\nserver_failure_limit: 1\nserver_retry_timeout: 50ms\n"
                                     "panic_threshold: 100%")  # fmt: skip
        with proxy.link() as link:
            for node in nodes:
                node.kill()
            until(lambda: "pool test has no live node; 'get' was not sent" in str(link("GET", "k")), "no node")
            for node in nodes:
                node.start()
            until(lambda: [link("GET", f"k:{number}") for number in range(20)] == [None] * 20, "served again")


def test_if_most_nodes_seem_dead_none_is_ejected(start, tmp_path):
    """Two of three are dead: their keys do not all go to the third. When one is back, the other's do."""
    with running_nodes(tmp_path, 3) as nodes:
        proxy = start(
            nodes, "auto_eject: true\nserver_failure_limit: 1\nserver_retry_timeout: 50ms\n"
            "reconnect: {first: 10ms, most: 50ms}",
        )  # fmt: skip
        keys = [f"key:{number}" for number in range(60)]
        with proxy.link() as link:
            assert [link("SET", key, "v") for key in keys] == [b"OK"] * 60
            [one, two] = ([key.decode() for key in node("KEYS", "*")] for node in nodes[:2])
            nodes[0].kill()
            until(lambda: link("GET", one[0]) is None, "its keys are served elsewhere")
            nodes[1].kill()
            proxy.log.wait_for("pool.panic pool=test down=2 nodes=3")
            until(lambda: "n0 " in str(link("GET", one[0])), "the first node is in its place")
            for _ in range(20):
                assert error(link("GET", one[0]), "node n0 ") and error(link("GET", two[0]), "node n1 ")
            assert len(nodes[2]("KEYS", "*")) < 60
            nodes[1].start()
            proxy.log.wait_for("pool.calm pool=test down=1 nodes=3")
            until(lambda: link("GET", two[0]) is None, "the second node serves")
            until(lambda: link("GET", one[0]) in (None, b"v"), "the first one's keys are served elsewhere")
            nodes[0].start()
            until(lambda: link("SET", one[0], "w") == b"OK" and nodes[0]("GET", one[0]) == b"w", "and at home again")


def test_idle_nodes_are_asked(start, tmp_path):
    """Nobody asks for anything, and it is found all the same that a node hangs, and that it does no more."""
    with running_nodes(tmp_path, 2) as nodes:
        proxy = start(
            nodes, "ping_every: 50ms\nconnect_timeout: 200ms\nserver_failure_limit: 2\nserver_retry_timeout: 50ms"
        )
        nodes[0].freeze()
        proxy.log.wait_for("node.suspect pool=test node=n0 reason='it does not answer'")
        proxy.log.wait_for("node.ejected pool=test node=n0 reason='it does not answer'")
        nodes[0].thaw()
        proxy.log.wait_for("node.admitted pool=test node=n0")
        assert "node=n1 reason" not in proxy.log.text


def test_a_node_that_is_too_slow_for_half_of_its_requests_is_ejected(start, chaos, redis):
    """None of its failures are in a row."""
    proxy = start(
        [chaos, redis],
        "timeout: 100ms\nserver_failure_rate: 40%\nserver_failure_limit: 1000\nserver_retry_timeout: 10s",
    )
    [one, *_], _ = homes(proxy, chaos)
    chaos.treat("GET", lambda connection, words, answer: time.sleep(0.15) or connection.write(b"$-1\r\n"))
    with proxy.link() as link:
        for _ in range(100):
            link("GET", one)
            if "node.ejected" in proxy.log.text:
                break
            time.sleep(0.05)
            link("SET", one, "v")
        proxy.log.wait_for(r"node\.ejected pool=test node=chaos reason='\d+ of \d+ requests timed out'")
        assert error(link("GET", one), "is down: it was ejected")


def test_readmission_only_after_a_probe_was_answered(start, chaos, redis):
    """A node that accepts connections but says LOADING is probed, and gets no request."""
    proxy = start(
        [chaos, redis], "auto_eject: true\ntimeout: 200ms\nserver_failure_limit: 2\nserver_retry_timeout: 50ms"
    )
    loading = say(b"-LOADING Redis is loading the dataset in memory\r\n")
    [one, *_], _ = homes(proxy, chaos)
    with proxy.link() as link:
        chaos.treat("GET", loading)
        chaos.treat("PING", loading)
        error(link("GET", one), "^LOADING ")
        until(lambda: link("GET", one) is None, "ejected, and another node in its place")
        proxy.log.wait_for("node.ejected")
        asked = len(chaos.asked("GET"))
        probes = len(chaos.asked("PING"))
        until(lambda: len(chaos.asked("PING")) > probes + 3, "probes go on")
        assert link("SET", one, "elsewhere") == b"OK"
        assert link("GET", one) == b"elsewhere"
        assert len(chaos.asked("GET")) == asked
        chaos.honest()
        proxy.log.wait_for("node.admitted")
        until(lambda: link("GET", one) is None, "served by its home again")
        assert len(chaos.asked("GET")) > asked


def test_readmission_comes_with_new_connections(start, chaos, redis):
    """Only the old connection hangs; once a probe was answered on another one, requests are served at once."""
    proxy = start([chaos, redis], "timeout: 100ms\nserver_failure_limit: 2\nserver_retry_timeout: 50ms")
    [one, two, _], _ = homes(proxy, chaos)
    with proxy.link() as link:
        chaos.treat("GET", hang)
        for key in (one, two):
            error(link("GET", key), "did not answer 'get'")
        chaos.honest()
        proxy.log.wait_for("node.admitted")
        until(lambda: link("GET", one) is None, "served again", within=2)
        assert [link("GET", key) for key in (one, two) * 10] == [None] * 20


def test_a_new_connection_to_an_ejected_node_is_refused_too(start, chaos, redis):
    """Ejection is the node's, not one connection's: another protocol or database does not try its luck."""
    proxy = start([chaos, redis], "timeout: 100ms\nconnect_timeout: 2s\nserver_failure_limit: 2")
    [one, *_], _ = homes(proxy, chaos)
    with proxy.link() as link, proxy.link(3) as three:
        chaos.mute = True
        for _ in range(2):
            error(link("GET", one), "did not answer 'get'")
        proxy.log.wait_for("node.ejected")
        until(lambda: "is down" in str(link("GET", one)), "refused")
        error(three("GET", one), "is down: .*; 'get' was not sent")
        assert link("SELECT", 3) == b"OK"
        error(link("GET", one), "is down: .*; 'get' was not sent")
