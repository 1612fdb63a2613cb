"""What blocked clients and transactions owe to time, order and memory; the replies are in test_several_clients.py."""

import random
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.store.conftest import Server
from tests.store.raw import Connection, info, pipeline, request, words
from tests.store.room import PATIENCE, Room

CROWD = 40


@pytest.fixture
def control(node: Server) -> Iterator[Connection]:
    with node.connect() as connection:
        connection("flushall")
        yield connection


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def blocked(control: Connection) -> int:
    return info(control, "clients", "blocked_clients")


def crowd(node: Server, control: Connection, *command: str | int, size: int = CROWD) -> list[Connection]:
    """So many clients, blocked one after the other by the same command."""
    clients = []
    for number in range(size):
        client = node.connect()
        client.send(request(*command))
        wait_until(lambda number=number: blocked(control) == number + 1)  # type: ignore[misc]
        clients.append(client)
    return clients


def silent(client: Connection) -> bool:
    return not client.buffer and not select.select([client.socket], [], [], 0)[0]


@pytest.mark.parametrize("together", [True, False])
def test_who_waits_longest_is_served_first(node: Server, control: Connection, together: bool) -> None:
    clients = crowd(node, control, "blpop", "nokey", "k", 0)
    if together:
        assert control("rpush", "k", *range(CROWD + 3)) == b":%d\r\n" % (CROWD + 3)
        assert words(control("lrange", "k", 0, -1)) == [b"%d" % (CROWD + n) for n in range(3)]
    for number, client in enumerate(clients):
        if not together:
            control("rpush", "k", number)
        assert words(client.reply()) == [b"k", b"%d" % number]
        assert together or all(silent(later) for later in clients[number + 1 :])
        client.close()
    assert blocked(control) == 0


def test_one_that_gives_up_loses_nothing_and_holds_nobody_up(node: Server, control: Connection) -> None:
    clients = crowd(node, control, "blmove", "k", "l", "left", "right", 0)
    gone = random.Random(7).sample(range(CROWD), CROWD // 2)
    for number in gone:
        clients[number].close()
    wait_until(lambda: blocked(control) == CROWD - len(gone))
    control("rpush", "k", *range(CROWD))
    served = [client for number, client in enumerate(clients) if number not in gone]
    for number, client in enumerate(served):
        assert client.reply() == b"$%d\r\n%d\r\n" % (len(str(number)), number)
        client.close()
    assert control("llen", "k") == b":%d\r\n" % len(gone) and control("llen", "l") == b":%d\r\n" % len(served)


def test_what_is_sent_behind_a_blocking_command_waits(node: Server, control: Connection) -> None:
    with node.connect() as client:
        large = "v" * 100_000
        client.send(request("blpop", "k", 0) + request("set", "a", large) + request("blpop", "k", "l", 0))
        wait_until(lambda: blocked(control) == 1)
        for _ in range(50):
            client.send(request("incr", "n") * 100)
        client.send(b"GET a\r\nNOSUCH\r\n*1\r\n$4\r\nPI")
        assert control("exists", "a", "n") == b":0\r\n" and silent(client)
        control("rpush", "k", "one")
        assert words(client.reply()) == [b"k", b"one"] and client.reply() == b"+OK\r\n"
        assert control("get", "n") == b"$-1\r\n" and blocked(control) == 1
        control("rpush", "l", "two")
        assert words(client.reply()) == [b"l", b"two"]
        assert [client.reply() for _ in range(5000)] == [b":%d\r\n" % (n + 1) for n in range(5000)]
        assert client.reply() == b"$100000\r\n" + large.encode() + b"\r\n"
        assert client.reply().startswith(b"-ERR unknown command 'NOSUCH'")
        client.send(b"NG\r\n")
        assert client.reply() == b"+PONG\r\n"


def test_a_broken_request_behind_a_blocking_command_is_told_after_its_answer(node: Server, control: Connection) -> None:
    with node.connect() as client:
        client.send(request("blpop", "k", 0) + b"*1\r\n!broken\r\n")
        wait_until(lambda: blocked(control) == 1)
        control("rpush", "k", "one")
        assert words(client.reply()) == [b"k", b"one"]
        assert client.reply().startswith(b"-ERR Protocol error") and client.closed()


def test_timeouts_come_in_order_and_never_early(node: Server, control: Connection) -> None:
    """300 clients, each at a time of its own; the order is that of the deadlines, whatever order they came in."""
    times = list(range(100, 400))
    random.Random(5).shuffle(times)
    clients = {}
    for milliseconds in times:
        client = node.connect()
        clients[client.socket] = (client, milliseconds, time.monotonic())
        client.send(request("bzpopmin", "k", f"0.{milliseconds:03}"))
    late = []
    while clients:
        for readable in select.select(list(clients), [], [], PATIENCE)[0]:
            client, milliseconds, sent = clients.pop(readable)
            late.append((time.monotonic() - sent) * 1000 - milliseconds)
            assert client.reply() == b"*-1\r\n"
            client.close()
    assert min(late) >= 0, "answered too early"
    assert sorted(late)[len(late) // 2] < 10, "half of them are answered more than 10 ms late"
    assert blocked(control) == 0


def test_an_idle_node_with_a_far_deadline_sleeps(node: Server, control: Connection) -> None:
    clients = crowd(node, control, "blpop", "k", 100, size=3)
    before = info(control, "stats", "total_commands_processed")
    start = sum(read_cpu(node))
    time.sleep(0.3)  # what is measured is that nothing happens
    assert sum(read_cpu(node)) - start <= 5 and info(control, "stats", "total_commands_processed") <= before + 2
    for client in clients:
        client.close()
    wait_until(lambda: blocked(control) == 0)


def read_cpu(node: Server) -> tuple[int, int]:
    """User and system time of a node, in hundredths of a second."""
    with open(f"/proc/{node.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def test_half_a_connection_is_gone(node: Server, control: Connection) -> None:
    with node.connect() as client:
        client.send(request("blpop", "k", 0))
        wait_until(lambda: blocked(control) == 1)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed()
    assert blocked(control) == 0 and control("rpush", "k", 1) == b":1\r\n"


def test_killed_while_blocked(node: Server, control: Connection) -> None:
    with node.connect() as client:
        number = int(client("client", "id")[1:])
        client.send(request("blpop", "k", 0))
        wait_until(lambda: blocked(control) == 1)
        replies = pipeline(control, [("multi",), ("rpush", "k", 1), ("client", "kill", "id", number), ("exec",)])
        assert replies[-1] == b"*2\r\n:1\r\n:1\r\n" and client.closed()
    assert control("llen", "k") == b":1\r\n" and blocked(control) == 0


def test_one_who_kills_itself_in_a_transaction_gets_its_answer(node: Server, control: Connection) -> None:
    with node.connect() as client:
        number = client("client", "id")[1:-2].decode()
        replies = pipeline(
            client, [("multi",), ("client", "kill", "id", number, "skipme", "no"), ("incr", "n"), ("exec",)]
        )
        assert replies[-1] == b"*2\r\n:1\r\n:1\r\n" and client.closed()


def test_ten_thousand_deaths_leave_nothing(node: Server, control: Connection) -> None:
    """Clients die blocked, watching, in the middle of a transaction, each with keys of its own and with common ones."""
    control("rpush", "other", 1)
    pipeline(control, [("blpop", "x", "0.001"), ("watch", "x"), ("unwatch",)])
    before = info(control, "memory", "used_memory")
    known = info(control, "stats", "total_connections_received")
    for batch in range(100):
        clients = []
        for number in range(batch * 100, batch * 100 + 100):
            client = node.connect()
            kind = number % 4
            if kind == 0:
                client.send(request("blpop", f"k{number}", "common", number % 3))
            elif kind == 1:
                client.send(request("bzmpop", number % 2, 2, "common", f"k{number}", "min"))
            elif kind == 2:
                client.send(request("watch", "common", f"k{number}", "other") + request("multi"))
                client.send(request("set", "common", "x" * 300) * 3)
            else:
                client.send(request("blmove", "common", f"k{number}", "left", "left", 0) + request("ping") * 20)
            clients.append(client)
        if batch % 2:
            wait_until(lambda: blocked(control) == 75)
        for client in clients:
            client.close()
        # A client may be gone before the node has taken its connection: first all of them have to have come.
        known += 100
        wait_until(lambda known=known: info(control, "stats", "total_connections_received") == known)
        wait_until(lambda: info(control, "clients", "connected_clients") == 1)
        assert blocked(control) == 0
        assert info(control, "memory", "used_memory") == before
        assert info(control, "memory", "mem_clients_normal") < 4 << 20


def test_a_queue_counts_as_buffers_of_its_client_and_goes_with_exec(node: Server, control: Connection) -> None:
    with node.connect() as client:
        number = int(client("client", "id")[1:])
        used = info(control, "memory", "used_memory")
        pipeline(client, [("multi",), *[("set", f"k{n}", "v" * 1000) for n in range(2000)]])
        assert info(control, "memory", "used_memory") == used
        assert info(control, "memory", "mem_clients_normal") > 2_000_000
        shown = control("client", "list", "id", number)
        assert b" multi=2000 " in shown and 2_000_000 < int(shown.split(b" multi-mem=")[1].split()[0]) < 2_300_000
        assert client("exec") == b"*2000\r\n" + b"+OK\r\n" * 2000
        assert b" multi=-1 " in (shown := control("client", "list", "id", number)) and b" multi-mem=0 " in shown
        assert control("dbsize") == b":2000\r\n"


def test_nothing_is_queued_when_memory_is_full(new_node: Callable[..., Server]) -> None:
    server = new_node("--maxmemory", "1mb")
    with server.connect() as full, server.connect() as client:
        full("config", "set", "maxmemory-policy", "noeviction")
        assert client("multi") == b"+OK\r\n" and client("set", "k", "v") == b"+QUEUED\r\n"
        pipeline(full, [("set", f"k{n}", "v" * 10_000) for n in range(200)])
        refused = b"OOM command not allowed when used memory > 'maxmemory'.\r\n"
        assert client("get", "k") == b"-" + refused
        assert client("exec") == b"-EXECABORT Transaction discarded because of: " + refused
        full("config", "set", "maxmemory", "2mb")
        assert pipeline(client, [("multi",), ("set", "k", "v")])[-1] == b"+QUEUED\r\n"
        full("config", "set", "maxmemory", "1mb")
        assert client("exec") == b"-EXECABORT Transaction discarded because of: " + refused
        assert client("exec") == b"-ERR EXEC without MULTI\r\n"


def test_a_transaction_is_not_parted(node: Server, control: Connection) -> None:
    """Four clients move amounts between two counters while two look on: the sum is always the same."""
    control("mset", "a", 1000, "b", 1000)
    with_all = [node.connect() for _ in range(6)]
    for client in with_all[:4]:
        client.send((request("multi") + request("decrby", "a", 7) + request("incrby", "b", 7) + request("exec")) * 500)
    for _ in range(200):
        for client in with_all[4:]:
            first, second = (int(word) for word in words(client("mget", "a", "b")))
            assert first + second == 2000
    for client in with_all:
        client.close()


def test_watch_lets_one_of_many_win(node: Server, control: Connection) -> None:
    """Compare and swap: of all who read the same value one writes, so no increment is lost."""
    clients = [node.connect() for _ in range(8)]
    won = 0
    for _ in range(100):
        values = []
        for client in clients:
            values.append(pipeline(client, [("watch", "n"), ("get", "n")])[1])
        for client, value in zip(clients, values, strict=True):
            number = 0 if value == b"$-1\r\n" else int(value.split(b"\r\n")[1])
            won += pipeline(client, [("multi",), ("set", "n", number + 1), ("exec",)])[-1] == b"*1\r\n+OK\r\n"
    assert won == 100 and control("get", "n") == b"$3\r\n100\r\n"
    for client in clients:
        client.close()


def test_what_waits_is_seen(node: Server) -> None:
    room = Room(node, "ab")
    room.control("flushall")
    room.step("a", "blpop", "k", 0)
    room.step("b", "watch", "k")
    room.step("b", "multi")
    assert (room.flags("a"), room.flags("b")) == (b"b", b"x")
    room.control("set", "k", "v")
    assert room.flags("b") == b"xd"
    room.close()
