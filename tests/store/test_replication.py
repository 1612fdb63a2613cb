"""Replication with redis-server in both roles and between nodes: syncs, streams, broken links, promotion, WAIT."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.conftest import Server, start_node
from tests.store.raw import Connection, parse, pipeline
from tests.store.replicating import (
    Writer,
    caught_up,
    contents,
    fields,
    follow,
    pipe_to,
    same_contents,
    settled,
    start_redis,
    until,
)

Start = Callable[..., Server]

PAIRS = [("node", "redis"), ("redis", "node"), ("node", "node")]  # primary, replica


@pytest.fixture
def start(tmp_path: Path, redis_version: str) -> Iterator[Start]:
    """start("node" or "redis", *options); all are stopped after the test."""
    servers: list[Server] = []

    def launch(kind: str, *options: str) -> Server:
        servers.append(
            start_redis(tmp_path, *options) if kind == "redis" else start_node("--maxmemory", "0", *options)
        )
        return servers[-1]

    yield launch
    for server in servers:
        server.stop()


def fill(connection: Connection, seed: int = 1) -> None:
    """A keyspace of every type in every layout, in several databases."""
    Writer(seed).write(connection, 3000)
    connection("select", 3)
    pipeline(connection, [("set", f"plain:{n}", f"value {n}" * 3) for n in range(5000)])
    pipeline(connection, [("rpush", "long", *[f"item {n}:{m}" for m in range(100)]) for n in range(30)])
    pipeline(connection, [("hset", "large", f"field {n}", "v" * 80) for n in range(2000)])
    pipeline(connection, [("zadd", "ranking", n / 7, f"member {n}") for n in range(2000)])
    pipeline(connection, [("sadd", "numbers", n * 1000003) for n in range(300)])
    connection("set", "huge", b"abc" * 400_000)
    connection("rpush", "heavy", "h" * 20_000, "tail")
    connection("set", "short-lived", "x", "px", 100)
    connection("select", 0)


@pytest.mark.parametrize(("primary", "replica"), PAIRS)
def test_a_replica_has_what_its_primary_has(start: Start, primary: str, replica: str) -> None:
    """A snapshot taken while somebody writes, then the stream."""
    first, second = start(primary), start(replica)
    with first.connect() as one, first.connect() as writing, second.connect() as two:
        fill(one)
        two("set", "stale", "gone after the sync")
        writer = Writer(2)
        thread = threading.Thread(target=writer.write, args=(writing, 6000))
        thread.start()
        follow(two, first.port)
        thread.join()
        caught_up(one, two)
        same_contents(one, two)
        writer.write(writing, 3000)
        caught_up(one, two)
        same_contents(one, two)
        role = one("role")
        assert role.startswith(b"*3\r\n$6\r\nmaster\r\n:") and b"\r\n%d\r\n" % second.port in role
        assert fields(one)["slave0"].startswith(f"ip=127.0.0.1,port={second.port},state=online,offset=")
        assert fields(one, "stats")["sync_full"] == "1"


@pytest.mark.parametrize(("primary", "replica"), PAIRS)
def test_a_broken_link_goes_on_where_it_stopped(start: Start, primary: str, replica: str) -> None:
    """Twelve cuts at random moments under writes: not one of them costs a snapshot."""
    first, second = start(primary), start(replica)
    draw = random.Random(7)
    with pipe_to(first) as pipe, first.connect() as one, second.connect() as two:
        one("config", "set", "repl-backlog-size", "64mb")
        fill(one, 3)
        follow(two, pipe.port)
        writer = Writer(4)
        cuts = 12
        for _ in range(cuts):
            made = pipe.made
            thread = threading.Thread(target=writer.write, args=(one, 600))
            thread.start()
            time.sleep(draw.random() * 0.05)
            pipe.cut()
            thread.join()
            until(lambda made=made: pipe.made > made, "the link was not made again")  # type: ignore[misc]
            until(lambda: fields(two)["master_link_status"] == "up", "the replica is not linked")
        caught_up(one, two)
        same_contents(one, two)
        stats = fields(one, "stats")
        assert stats["sync_full"] == "1" and int(stats["sync_partial_ok"]) >= cuts, stats


@pytest.mark.parametrize(("primary", "replica"), PAIRS)
def test_a_replica_that_missed_too_much_gets_a_snapshot(start: Start, primary: str, replica: str) -> None:
    first, second = start(primary), start(replica)
    with pipe_to(first) as pipe, first.connect() as one, second.connect() as two:
        one("config", "set", "repl-backlog-size", "16kb")
        fill(one, 5)
        follow(two, pipe.port)
        pipe.open = False
        pipe.cut()
        until(lambda: fields(two)["master_link_status"] == "down", "the link is not noticed to be down")
        Writer(6).write(one, 2000)
        pipe.open = True
        until(lambda: fields(two)["master_link_status"] == "up", "the replica is not linked")
        caught_up(one, two)
        same_contents(one, two)
        assert fields(one, "stats")["sync_full"] == "2"


@pytest.mark.parametrize("kinds", [("node", "node", "redis"), ("redis", "node", "redis"), ("node", "redis", "node")])
def test_after_a_promotion_the_others_go_on_without_a_snapshot(start: Start, kinds: tuple[str, str, str]) -> None:
    """The second name of the stream: what was sent by the old primary is good at the new one."""
    servers = [start(kind) for kind in kinds]
    with servers[0].connect() as old, servers[1].connect() as heir, servers[2].connect() as other:
        for each in (old, heir, other):
            each("config", "set", "repl-backlog-size", "64mb")
        fill(old, 8)
        follow(heir, servers[0].port)
        follow(other, servers[0].port)
        Writer(9).write(old, 500)
        # From here on the old primary must say nothing that the heir does not hear.
        old("config", "set", "repl-ping-replica-period", 3600)
        until(lambda: settled(old), "keys that expire soon do not go")
        caught_up(old, heir)
        caught_up(old, other)
        stream = fields(old)["master_replid"]
        assert heir("replicaof", "no", "one") == b"+OK\r\n"
        told = fields(heir)
        assert told["role"] == "master" and told["master_replid2"] == stream != told["master_replid"]
        assert int(told["second_repl_offset"]) == int(told["master_repl_offset"]) + 1
        Writer(10).write(heir, 500)
        follow(other, servers[1].port)
        follow(old, servers[1].port)
        for replica in (old, other):
            caught_up(heir, replica)
            same_contents(heir, replica)
            assert fields(replica)["master_replid"] == fields(heir)["master_replid"]
        stats = fields(heir, "stats")
        assert stats["sync_full"] == "0" and int(stats["sync_partial_ok"]) >= 2, stats


@pytest.mark.parametrize("kinds", [("node", "node", "node"), ("redis", "node", "redis"), ("node", "redis", "node")])
def test_a_chain(start: Start, kinds: tuple[str, str, str]) -> None:
    """A replica of a replica counts the same offsets, and follows the first primary as well as its own."""
    servers = [start(kind) for kind in kinds]
    with servers[0].connect() as top, servers[1].connect() as middle, servers[2].connect() as low:
        fill(top, 11)
        top("select", 9)
        follow(middle, servers[0].port)
        top("set", "selected", "before the lower sync")
        follow(low, servers[1].port)
        top("set", "selected2", "after it")
        Writer(12).write(top, 2000)
        for replica in (middle, low):
            caught_up(top, replica)
            same_contents(top, replica)
            assert fields(replica)["master_replid"] == fields(top)["master_replid"]
        follow(low, servers[0].port)
        Writer(13).write(top, 300)
        caught_up(top, low)
        same_contents(top, low)
        assert fields(top, "stats")["sync_full"] == "1"


@pytest.mark.parametrize("primary", ["node", "redis"])
def test_a_replica_serves_reads_and_refuses_writes(start: Start, primary: str) -> None:
    first, second = start(primary), start("node")
    with first.connect() as one, second.connect() as two:
        one("set", "k", "v")
        one("set", "soon", "v", "px", 150)
        one("debug", "set-active-expire", 0)
        follow(two, first.port)
        assert two("get", "k") == b"$1\r\nv\r\n"
        for refused in (("set", "k", 1), ("del", "k"), ("flushall",), ("blpop", "l", 0)):
            assert two(*refused) == b"-READONLY You can't write against a read only replica.\r\n"
        assert pipeline(two, [("multi",), ("get", "k"), ("set", "k", 1), ("exec",)])[2:] == [
            b"-READONLY You can't write against a read only replica.\r\n",
            b"-EXECABORT Transaction discarded because of previous errors.\r\n",
        ]
        # The primary does not sweep, so nobody has said that the key is gone: it is there and reads as missing.
        until(lambda: two("get", "soon") == b"$-1\r\n", "the key does not expire")
        time.sleep(0.3)
        assert two("exists", "soon") == b":0\r\n" and two("dbsize") == b":2\r\n"
        assert two("keys", "soon") == b"*0\r\n" and two("ttl", "soon") == b":-2\r\n"
        assert one("get", "soon") == b"$-1\r\n"
        until(lambda: two("dbsize") == b":1\r\n", "the primary's DEL does not come")
        assert parse(two("role"))[1:5] == [  # type: ignore[index]
            b"$5\r\nslave\r\n", b"$9\r\n127.0.0.1\r\n", b":%d\r\n" % first.port, b"$9\r\nconnected\r\n",
        ]  # fmt: skip
        assert two("config", "set", "replica-read-only", "no") == b"+OK\r\n"
        assert two("set", "own", "x") == b"+OK\r\n"
        assert two("wait", 0, 0).startswith(b"-ERR WAIT cannot be used with replica instances.")


def test_what_the_primary_makes_late_is_not_late_here(start: Start) -> None:
    """A key that would be past its expiry when its command arrives is still there for the command after it."""
    first, second = start("node"), start("node")
    with first.connect() as one, second.connect() as two, pipe_to(first) as pipe:
        follow(two, pipe.port)
        one("config", "set", "repl-backlog-size", "1mb")
        pipe.open = False
        pipe.cut()
        one("set", "k", "v", "px", 300)
        assert one("persist", "k") == b":1\r\n"
        time.sleep(0.5)
        pipe.open = True
        caught_up(one, two)
        same_contents(one, two)
        assert two("get", "k") == b"$1\r\nv\r\n"


@pytest.mark.parametrize("stale", ["yes", "no"])
def test_a_replica_without_its_primary(start: Start, stale: str) -> None:
    first, second = start("node"), start("node")
    with first.connect() as one, second.connect() as two:
        one("set", "k", "v")
        two("config", "set", "replica-serve-stale-data", stale)
        follow(two, first.port)
        first.stop()
        until(lambda: fields(two)["master_link_status"] == "down", "the link is not noticed to be down")
        down = b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
        assert two("get", "k") == (b"$1\r\nv\r\n" if stale == "yes" else down)
        assert two("ping") == (b"+PONG\r\n" if stale == "yes" else down)
        assert two("config", "get", "replica-serve-stale-data").endswith(b"%s\r\n" % stale.encode())
        assert two("replicaof", "no", "one") == b"+OK\r\n"
        assert two("get", "k") == b"$1\r\nv\r\n" and two("set", "k", "w") == b"+OK\r\n"


@pytest.mark.parametrize("replica", ["node", "redis"])
def test_wait(start: Start, replica: str) -> None:
    first, second = start("node"), start(replica)
    with first.connect() as one, first.connect() as other, second.connect() as two:
        one("set", "k", 1)
        assert one("wait", 0, 1000) == b":0\r\n"
        assert one("wait", 1, 30) == b":0\r\n"
        follow(two, first.port)
        until(lambda: "state=online" in fields(one).get("slave0", ""), "the replica is not online")
        for number in range(20):
            one("set", "k", number)
            assert one("wait", 1, 5000) == b":1\r\n"
            assert two("get", "k") == b"$%d\r\n%d\r\n" % (len(str(number)), number)
        started = time.monotonic()
        assert one("wait", 2, 100) == b":1\r\n" and time.monotonic() - started >= 0.1
        assert pipeline(one, [("multi",), ("set", "k", 1), ("wait", 5, 0), ("exec",)])[3].startswith(b"*2\r\n+OK\r\n:")
        # Who waits for ever goes on when another replica comes, and what is behind in the pipeline waits, too.
        other("set", "k", 2)
        other.send(b"WAIT 2 0\r\nPING\r\n")
        until(lambda: fields(one, "clients")["blocked_clients"] == "1", "the client is not blocked")
        third = start("node")
        with third.connect() as three:
            follow(three, first.port)
            assert other.reply() == b":2\r\n" and other.reply() == b"+PONG\r\n"
        assert one("wait", "x", 0) == b"-ERR value is not an integer or out of range\r\n"
        assert one("wait", 1, -1) == b"-ERR timeout is negative\r\n"
        assert one("wait", 1, "x") == b"-ERR timeout is not an integer or out of range\r\n"


@pytest.mark.parametrize(("primary", "replica"), PAIRS)
def test_messages_reach_the_subscribers_of_a_replica(start: Start, primary: str, replica: str) -> None:
    first, second, third = start(primary), start(replica), start("node")
    with first.connect() as one, second.connect() as two, third.connect() as three:
        follow(two, first.port)
        follow(three, second.port)
        with second.connect() as near, third.connect() as far:
            for subscriber in (near, far):
                subscriber("subscribe", "news")
            assert one("publish", "news", "alone") == b":0\r\n"
            pipeline(one, [("multi",), ("set", "k", 1), ("publish", "news", b"\r\n"), ("set", "k", 2), ("exec",)])
            pipeline(one, [("multi",), ("publish", "news", "nothing else"), ("exec",)])
            for message in (b"alone", b"\r\n", b"nothing else"):
                expected = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n" % (len(message), message)
                assert near.reply() == expected and far.reply() == expected
            assert two("publish", "news", "here") == b":1\r\n"
            assert near.reply().endswith(b"$4\r\nhere\r\n")
        caught_up(one, two)
        same_contents(one, two)
        assert two("get", "k") == b"$1\r\n2\r\n"


def test_messages_do_not_confuse_wait(start: Start) -> None:
    """They are in the stream of replicas and in nothing else that counts bytes."""
    first, second = start("node"), start("node")
    with first.connect() as one, first.connect() as other, second.connect() as two:
        follow(two, first.port)
        until(lambda: "state=online" in fields(one).get("slave0", ""), "the replica is not online")
        for number in range(50):
            one("set", "k", number)
            pipeline(other, [("publish", "news", "x" * 100)] * 20)
            assert one("wait", 1, 5000) == b":1\r\n"
            assert two("get", "k") == b"$%d\r\n%d\r\n" % (len(str(number)), number)


def test_too_few_replicas_for_a_write(start: Start) -> None:
    first, second = start("node"), start("node")
    refused = b"-NOREPLICAS Not enough good replicas to write.\r\n"
    with first.connect() as one, second.connect() as two:
        assert one("config", "set", "min-replicas-to-write", 1, "min-replicas-max-lag", 1) == b"+OK\r\n"
        assert one("set", "k", 1) == refused and one("get", "k") == b"$-1\r\n"
        follow(two, first.port)
        until(lambda: one("set", "k", 1) == b"+OK\r\n", "writes are refused still")
        assert fields(one)["min_slaves_good_slaves"] == "1"
        until_then = time.monotonic() + 3
        while time.monotonic() < until_then:  # it is heard of once a second
            assert one("set", "k", 1) == b"+OK\r\n"
            time.sleep(0.02)
        second.process.send_signal(19)  # SIGSTOP: it is connected and says nothing
        try:
            until(lambda: one("set", "k", 2) == refused, "writes are served still")
        finally:
            second.process.send_signal(18)
        until(lambda: one("set", "k", 3) == b"+OK\r\n", "writes are refused still")


@pytest.mark.parametrize("primary", ["node", "redis"])
def test_a_password(start: Start, primary: str) -> None:
    first = start(primary, *(["--password", "secret"] if primary == "node" else ["--requirepass", "secret"]))
    second = start("node")
    with first.connect() as one, second.connect() as two:
        one("auth", "secret")
        one("set", "k", "v")
        two("config", "set", "masterauth", "wrong")
        two("replicaof", "127.0.0.1", first.port)
        time.sleep(0.3)
        assert fields(two)["master_link_status"] == "down"
        assert two("config", "set", "masterauth", "secret") == b"+OK\r\n"
        until(lambda: two("get", "k") == b"$1\r\nv\r\n", "the replica is not linked")
        two("config", "set", "masteruser", "default")
        two("replicaof", "no", "one")
        follow(two, first.port)


def test_a_replica_that_does_not_read_is_cut_and_comes_back(start: Start) -> None:
    first, second = start("node"), start("node")
    with first.connect() as one, second.connect() as two:
        one("config", "set", "client-output-buffer-limit", "replica 8mb 4mb 60", "repl-backlog-size", "1mb")
        assert b"slave 8388608 4194304 60" in one("config", "get", "client-output-buffer-limit")
        follow(two, first.port)
        second.process.send_signal(19)
        try:
            for _ in range(40):
                one("set", "big", b"x" * 1_000_000)
            until(lambda: fields(one)["connected_slaves"] == "0", "a replica that reads nothing is kept")
            until(lambda: int(fields(one, "memory")["mem_replication_backlog"]) < 3 << 20, "its backlog is kept")
        finally:
            second.process.send_signal(18)
        until(lambda: fields(one)["connected_slaves"] == "1", "it does not come back")
        caught_up(one, two)
        same_contents(one, two)


def test_a_limit_below_the_backlog_is_none(start: Start) -> None:
    """As in Redis: the backlog is kept anyway, so that a replica within it costs nothing."""
    first, second = start("node"), start("node")
    with first.connect() as one, second.connect() as two:
        one("config", "set", "client-output-buffer-limit", "replica 1mb 0 0", "repl-backlog-size", "64mb")
        follow(two, first.port)
        syncs = fields(one, "stats")["sync_full"]
        second.process.send_signal(19)
        try:
            for _ in range(12):
                one("set", "big", b"x" * 1_000_000)
            # Limits are looked at ten times a second.
            time.sleep(0.5)
            assert fields(one)["connected_slaves"] == "1"
        finally:
            second.process.send_signal(18)
        caught_up(one, two)
        same_contents(one, two)
        assert fields(one, "stats")["sync_full"] == syncs


def test_a_replica_that_is_closed_during_its_snapshot(start: Start) -> None:
    """The child still has its socket then; neither it nor what epoll says of it may do any harm."""
    first, second = start("node"), start("node")
    with first.connect() as one, second.connect() as two:
        pipeline(one, [("set", f"k{n}", b"x" * 1_000_000) for n in range(40)])
        for _ in range(5):
            with first.connect() as deaf:
                assert pipeline(deaf, [("replconf", "capa", "eof")]) == [b"+OK\r\n"]
                deaf.send(b"PSYNC ? -1\r\n")
                until(lambda: "state=send_bulk" in fields(one).get("slave0", ""), "the snapshot does not begin")
                assert one("client", "kill", "type", "replica") == b":1\r\n"
                assert pipeline(one, [("ping",)] * 100) == [b"+PONG\r\n"] * 100
        assert fields(one)["connected_slaves"] == "0"
        follow(two, first.port)
        caught_up(one, two)
        same_contents(one, two)


def test_info_has_the_names_that_redis_has(start: Start) -> None:
    names = []
    for kind in ("node", "redis"):
        first, second = start(kind), start(kind)
        with first.connect() as one, second.connect() as two:
            follow(two, first.port)
            until(lambda: "state=online" in fields(one).get("slave0", ""), "the replica is not online")
            names.append([list(fields(one)), list(fields(two))])
            names[-1].append([part.split("=")[0] for part in fields(one)["slave0"].split(",")])
    assert names[0] == names[1]


def test_client_list_and_kill_know_replicas(start: Start) -> None:
    first, second = start("node"), start("redis")
    with first.connect() as one, second.connect() as two:
        follow(two, first.port)
        listed = one("client", "list", "type", "replica")
        assert listed.count(b"id=") == 1 and b" flags=S " in listed
        assert one("client", "list", "type", "normal").count(b"id=") == 1
        assert one("client", "kill", "type", "replica") == b":1\r\n"
        one("set", "k", "v")
        caught_up(one, two)
        assert contents(two)[0, b"k"]
        assert fields(one, "stats")["sync_partial_ok"] == "1"
