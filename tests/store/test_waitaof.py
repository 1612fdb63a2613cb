"""WAITAOF: whoever wrote waits until the log here, and those of replicas, have it on disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.store.conftest import Server
from tests.store.raw import Connection, pipeline
from tests.store.replicating import fields, follow, until

Start = Callable[..., Server]
LOG = ("--appendonly", "yes", "--appendfsync")
NO_LOG = b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"


@pytest.fixture
def start(new_node: Start, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """start(appendfsync or "", *options): a node with a folder of its own."""

    def launch(policy: str, *options: str) -> Server:
        folder = ("--dir", str(tmp_path_factory.mktemp("data")))
        return new_node("--maxmemory", "0", *folder, *((*LOG, policy) if policy else ()), *options)

    return launch


def counts(local: int, replicas: int) -> bytes:
    return b"*2\r\n:%d\r\n:%d\r\n" % (local, replicas)


def online(primary: Connection, count: int) -> None:
    def all_online() -> bool:
        found = fields(primary)
        return all("state=online" in found.get(f"slave{number}", "") for number in range(count))

    until(all_online, "the replicas are not online")


def test_what_is_refused(start: Start) -> None:
    with start("").connect() as one:
        assert one("waitaof", 2, 0, 0) == b"-ERR value is out of range, must be between 0 and 1\r\n"
        assert one("waitaof", "x", 0, 0) == b"-ERR value is not an integer or out of range\r\n"
        assert one("waitaof", 0, -1, 0) == b"-ERR value is out of range, must be positive\r\n"
        assert one("waitaof", 0, 0, -1) == b"-ERR timeout is negative\r\n"
        assert one("waitaof", 0, 0, "x") == b"-ERR timeout is not an integer or out of range\r\n"
        assert one("waitaof", 0, 0).startswith(b"-ERR wrong number of arguments")
        assert one("waitaof", 1, 0, 0) == NO_LOG
        one("replicaof", "127.0.0.1", 1)
        assert one("waitaof", 0, 0, 0).startswith(b"-ERR WAITAOF cannot be used with replica instances.")


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_the_log_here(start: Start, policy: str) -> None:
    with start(policy).connect() as one:
        assert one("waitaof", 1, 0, 0)[4:7] == b":1\r"  # it wrote nothing
        for number in range(3):
            # `always`: the sync of the turn comes behind the command, and WAITAOF does not wait for the next.
            assert pipeline(one, [("set", "k", number), ("waitaof", 1, 0, 0), ("get", "k")])[1] == counts(1, 0)
        assert one("waitaof", 1, 1, 30) == counts(1, 0)


def test_a_log_that_nobody_syncs(start: Start) -> None:
    with start("no").connect() as one:
        one("set", "k", 1)
        assert one("waitaof", 1, 0, 30) == counts(0, 0)
        assert one("waitaof", 0, 0, 0) == counts(0, 0)


def test_a_transaction_does_not_wait(start: Start) -> None:
    with start("no").connect() as one:
        replies = pipeline(one, [("multi",), ("set", "k", 1), ("waitaof", 1, 2, 0), ("exec",)])
        assert replies[3] == b"*2\r\n+OK\r\n" + counts(0, 0)


def test_the_log_is_switched_off_and_on(start: Start) -> None:
    server = start("no")
    with server.connect() as one, server.connect() as other:
        one("set", "k", 1)
        one.send(b"WAITAOF 1 0 0\r\nPING\r\n")
        until(lambda: fields(other, "clients")["blocked_clients"] == "1", "the client is not blocked")
        other("config", "set", "appendonly", "no")
        assert one.reply() == NO_LOG and one.reply() == b"+PONG\r\n"
        other("config", "set", "appendonly", "yes", "appendfsync", "everysec")
        assert one("waitaof", 1, 0, 0) == counts(1, 0)
        one("set", "k", 2)
        assert one("waitaof", 1, 0, 0) == counts(1, 0)


def test_the_logs_of_replicas(start: Start) -> None:
    first, second, third = start(""), start("always"), start("everysec")
    with first.connect() as one, second.connect() as two, third.connect() as three:
        follow(two, first.port)
        online(one, 1)
        for number in range(20):
            one("set", "k", number)
            assert one("waitaof", 0, 1, 0) == counts(0, 1)
            assert two("get", "k") == b"$%d\r\n%d\r\n" % (len(str(number)), number)
        assert one("waitaof", 0, 2, 30) == counts(0, 1)
        follow(three, first.port)
        online(one, 2)
        for number in range(3):
            one("set", "k", number)
            assert one("waitaof", 0, 2, 0) == counts(0, 2)
        # One that keeps no log has nothing on disk, whatever it has executed.
        three("config", "set", "appendonly", "no")
        one("set", "k", "last")
        assert one("waitaof", 0, 2, 1200) == counts(0, 1)
        assert one("wait", 2, 0) == b":2\r\n"


def test_a_replica_of_another_stream(start: Start) -> None:
    """What it had on disk of the old one says nothing about the new one."""
    first, other, second = start(""), start(""), start("always")
    with first.connect() as one, other.connect() as newer, second.connect() as two:
        follow(two, first.port)
        online(one, 1)
        pipeline(one, [("set", f"k{number}", "x" * 100) for number in range(1000)])
        assert one("waitaof", 0, 1, 0) == counts(0, 1)
        newer("set", "k", 1)
        follow(two, other.port)
        online(newer, 1)
        newer("set", "k", 2)
        assert newer("waitaof", 0, 1, 0) == counts(0, 1)
        assert two("get", "k") == b"$1\r\n2\r\n"
