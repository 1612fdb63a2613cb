"""Ghost writes: a write whose fate was unknown never lands after a newer one that was acknowledged.

Its bytes may lie in a node's socket for long; so a lost connection is killed by its id before anything newer is sent.
"""

from contextlib import ExitStack

import pytest

from tests.redis_server import needs_redis_server
from tests.system.chaos_node import ChaosNode, Gate, half, hang
from tests.system.tier import error, running_nodes, running_proxy, until

PATIENT = "server_failure_limit: 1000000"  # no ejection: what one connection does is looked at


@pytest.fixture
def chaos():
    node = ChaosNode()
    yield node
    node.stop()


@pytest.fixture
def start(tmp_path):
    """A function that gives a proxy before these servers, with these options."""
    with ExitStack() as stack:
        yield lambda servers, options="", **more: stack.enter_context(
            running_proxy(tmp_path, servers, options, **more)
        )


def test_the_predecessor_is_killed_first(start, chaos):
    """A connection that broke with requests on their way: its successor's first command after the greeting."""
    proxy = start([chaos], f"timeout: 100ms\nlimits: {{tombstone_age: 200ms}}\n{PATIENT}")
    with proxy.link() as link:
        assert link("SET", "k", "first") == b"OK"
        chaos.treat("SET", hang)
        error(link("SET", "k", "ghost"), "fate of 'set' is unknown")
        chaos.honest()
        until(lambda: link("SET", "k", "newer") == b"OK", "a new connection")
    [first, ghost, *_, newer] = chaos.asked("SET")
    assert first.connection == ghost.connection != newer.connection
    on_successor = [entry.words for entry in chaos.log if entry.connection == newer.connection]
    kill = [b"CLIENT", b"KILL", b"ID", b"%d" % ghost.connection]
    assert on_successor.index(kill) < on_successor.index(newer.words)
    assert all(words[0] in (b"CLIENT", b"INFO") for words in on_successor[: on_successor.index(kill)])


def test_nothing_is_killed_in_a_new_process(start, chaos):
    """Ids start again with every process: the same number would be somebody else."""
    proxy = start([chaos], f"timeout: 100ms\nlimits: {{tombstone_age: 200ms}}\n{PATIENT}")
    with proxy.link() as link:
        chaos.treat("SET", hang)
        error(link("SET", "k", "v"), "fate of 'set' is unknown")
        chaos.run_id = b"d" * 40
        chaos.honest()
        until(lambda: link("SET", "k", "newer") == b"OK", "a new connection")
    assert not [entry for entry in chaos.asked("CLIENT") if entry.words[1] == b"KILL"]


@needs_redis_server
@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_no_ghost_write_in_a_frozen_redis(start, tmp_path, size):
    """The old write lies in the frozen node's socket; the newer one is acknowledged after the thaw and stays."""
    with running_nodes(tmp_path, 1) as [node]:
        proxy = start(
            [node], f"timeout: 50ms\nconnect_timeout: 100ms\nlimits: {{tombstone_age: 60ms}}\n{PATIENT}\n"
            "reconnect: {first: 5ms, most: 20ms}",
        )  # fmt: skip
        for round_ in range(12):
            with proxy.link() as link:
                until(lambda: link("SET", "k", b"start".ljust(size)) == b"OK", "up")
                node.freeze()
                error(link("SET", "k", b"ghost".ljust(size)), "fate of 'set' is unknown")
                if round_ % 3:
                    # wait until the connection was given up, so that the thaw finds it reset
                    until(lambda: "is down" in str(link("GET", "k")), "given up")
                node.thaw()
                newer = b"newer %d" % round_
                until(lambda: link("SET", "k", newer) == b"OK", "written")  # noqa: B023
                for _ in range(3):
                    assert link("GET", "k") == newer
                    assert node("GET", "k") == newer
        assert "cmdstat_client|kill" in node("INFO", "commandstats").decode()


def test_no_ghost_of_a_large_write(start, chaos):
    """A large write times out on the bulk connection; a newer small one travels on the shared connection."""
    proxy = start([chaos], f"timeout: 100ms\nlimits: {{bulk: 50kb}}\n{PATIENT}")
    with proxy.link() as link:
        assert link("SET", "k", "first") == b"OK"
        gate = Gate(b"ghost" * 20_000)
        chaos.treat("SET", gate)
        error(link("SET", "k", "ghost" * 20_000), "fate of 'set' is unknown")
        until(lambda: link("SET", "k", "newer") == b"OK", "written")
        gate.open()
        gate.wait_until_passed()
        assert link("GET", "k") == b"newer"
        assert len({entry.connection for entry in chaos.asked("SET")}) == 2
        chaos.honest()
        large = b"x" * 100_000
        until(lambda: link("SET", "k", large) == b"OK", "large ones are taken again")
        assert link("GET", "k") == large


def test_no_ghost_of_a_small_write(start, chaos):
    """A small write times out on the shared connection; a newer large one must not overtake it."""
    proxy = start([chaos], f"timeout: 100ms\nlimits: {{bulk: 50kb}}\n{PATIENT}")
    large = b"x" * 100_000
    with proxy.link() as link:
        assert link("SET", "other", large) == b"OK"  # the bulk connection is open
        gate = Gate(b"ghost")
        chaos.treat("SET", gate)
        error(link("SET", "k", "ghost"), "fate of 'set' is unknown")
        link("SET", "k", large)
        gate.open()
        gate.wait_until_passed()
        until(lambda: link("GET", "k") == large, "the newer one stays", within=2)


def test_no_ghost_of_a_lost_connection(start, chaos):
    """The bulk connection breaks with a write on its way; the shared one has the node kill it before it goes on."""
    proxy = start([chaos], f"timeout: 5s\nlimits: {{bulk: 50kb}}\n{PATIENT}")
    with proxy.link() as link:
        assert link("SET", "k", "first") == b"OK"
        chaos.treat("SET", half)
        error(link("SET", "k", b"x" * 100_000), "fate of 'set' is unknown")
        chaos.honest()
        assert link("SET", "k", "newer") == b"OK"
    first, ghost, newer = chaos.asked("SET")
    assert first.connection == newer.connection != ghost.connection
    words = [entry.words for entry in chaos.log if entry.connection == first.connection]
    assert words[-2:] == [[b"CLIENT", b"KILL", b"ID", b"%d" % ghost.connection], newer.words]
