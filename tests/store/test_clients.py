"""MONITOR and the CLIENT commands that act on other clients: LIST, KILL, PAUSE, REPLY."""

import re
import time

import pytest

from tests.store.conftest import Server
from tests.store.raw import Connection, request
from tests.store.stage import compare

REPLY = """
A client reply foo
A client reply on
A client reply off; get x; get; nonsense; client reply on; get y
A client reply off; client reply skip; get x; client reply on; client reply off; client reply on
A client reply skip; get x; get x
A client reply skip; client reply skip; get x; get y
A client reply skip; client reply on; get x
A client reply skip; client reply foo; get x
A client reply off; multi; set a 1; exec; client reply on; get a
A client reply off; reset; get a
A client reply on
A client reply off; hello 3; subscribe a; client tracking on; get k; client reply on
B publish a hello; set k 1
"""

ERRORS = """
A client pause -1
A client pause x
A client pause 99999999999999999999
A client pause 5 foo
A client pause 5 write extra
A client unpause
A client unpause x
A client no-evict maybe
A client list type foo
A client list id 1 x
A client list id
A client list type
A client list foo
A client list type master
A client list type replica
A client kill id 0
A client kill id x
A client kill addr
A client kill foo bar
A client kill type foo
A client kill user foo
A client kill skipme maybe
A client kill 1.2.3.4:5
A client kill addr 1.2.3.4:5 type pubsub
A client kill type pubsub skipme no
B subscribe a
A client kill type normal id @B
A client kill type pubsub
B ping
B psubscribe a; get x
A client kill id @B; client kill id @B
"""


@pytest.mark.parametrize("script", [REPLY, ERRORS], ids=["reply", "errors"])
def test_the_bytes_are_those_of_redis(node: Server, reference: Server, script: str) -> None:
    compare(node, reference, script)


def fields(connection: Connection, *filters: str) -> list[dict[str, str]]:
    text = connection("client", "list", *filters).split(b"\r\n")[1].decode()
    return [dict(field.split("=", 1) for field in line.split(" ")) for line in text.splitlines() if line]


def test_list_has_the_fields_and_flags_of_redis(node: Server, reference: Server) -> None:
    seen = []
    for server in (node, reference):
        with server.connect() as one, server.connect() as two, server.connect() as other:
            number = int(one("client", "id")[1:])
            one("hello", 3)
            one("client", "tracking", "on", "bcast")
            one("client", "setname", "one")
            one.send(request("subscribe", "a", "b") + request("psubscribe", "p*") + request("ssubscribe", "s"))
            for _ in range(4):
                one.reply()
            two("multi")
            two("get", "k")
            other("select", "7")
            listed = {line["id"]: line for line in fields(other)}
            shown = [listed[str(int(client("client", "id")[1:]))] if client is other else None for client in (other,)]
            shown += [listed[str(number)], fields(other, "id", str(number))[0], *fields(other, "type", "pubsub")]
            wanted = ("name", "flags", "db", "sub", "psub", "ssub", "multi", "redir", "user", "cmd", "events")
            seen.append([
                # A socket in the file system has a flag of its own.
                {name: re.sub("U", "", line[name]) or "N" if name == "flags" else line[name] for name in wanted}
                for line in shown
                if line is not None
            ])
            assert {"id", "addr", "laddr", "fd", "age", "idle", "qbuf", "omem", "tot-mem"} < set(shown[1] or {})
    assert seen[0] == seen[1]


STAMP = re.compile(rb"\+\d+\.\d{6} \[(\d+) [^\]]*\]")


def test_monitor_shows_what_redis_shows(node: Server, reference: Server) -> None:
    commands = [
        ["get", "y"], ["set", b'"\\\n\r\t\a\b', b"\x00\xff\xc3\xa9"], ["auth", "x"], ["auth", "x", "y"],
        ["hello", "3", "auth", "default", "foo", "setname", "z"], ["config", "get", "port"], ["client", "id"],
        ["multi"], ["set", "q", "1"], ["GET", "q"], ["exec"], ["nonsense"], ["get"], ["select", "3"],
        ["publish", "x", "y"], ["rpush", "l", "1"], ["blpop", "l", "0"], ["reset"], ["client", "list"],
    ]  # fmt: skip
    seen = []
    for server in (node, reference):
        with server.connect() as monitor, server.connect() as other:
            assert monitor("monitor") == b"+OK\r\n"
            other.send(b"".join(request(*command) for command in commands))
            lines = []
            while not lines or b'"last"' not in lines[-1]:
                if len(lines) == 1:
                    other.send(request("echo", "last"))
                lines.append(STAMP.sub(rb"[\1]", monitor.reply()))
            refused = [monitor(*command) for command in (["get", "x"], ["set", "x", "1"], ["publish", "a", "b"])]
            assert monitor("reset") == b"+RESET\r\n"
            other("ping")
            seen.append((lines, refused, monitor("ping")))
    assert seen[0] == seen[1]


def test_a_pause_holds_requests_and_then_runs_them_in_order(node: Server) -> None:
    with node.connect() as admin, node.connect() as reader, node.connect() as writer, node.connect() as late:
        admin("del", "n")
        started = time.monotonic()
        assert admin("client", "pause", "400", "write") == b"+OK\r\n"
        writer.send(request("incr", "n") + request("get", "n") + b"incr n\r\n")
        late.send(request("multi") + request("get", "n") + request("exec") + request("publish", "a", "b"))
        assert reader("get", "n") == b"$-1\r\n"
        assert [late.reply() for _ in range(3)][2] == b"*1\r\n$-1\r\n"
        assert time.monotonic() - started < 0.4
        assert [writer.reply() for _ in range(3)] == [b":1\r\n", b"$1\r\n1\r\n", b":2\r\n"]
        assert time.monotonic() - started >= 0.4
        assert late.reply() == b":0\r\n"


def test_unpause_ends_a_pause_of_writes(node: Server) -> None:
    with node.connect() as admin, node.connect() as writer, node.connect() as gone:
        admin("client", "pause", "60000", "write")
        writer.send(request("set", "n", "1"))
        gone.send(request("set", "n", "2"))
        assert admin("get", "nothing") == b"$-1\r\n"
        gone.close()
        assert admin("client", "unpause") == b"+OK\r\n"
        assert writer.reply() == b"+OK\r\n"


def test_a_pause_of_all_ends_by_itself(node: Server) -> None:
    with node.connect() as admin, node.connect() as other:
        started = time.monotonic()
        assert admin("client", "pause", "200") == b"+OK\r\n"
        other.send(request("ping"))
        assert admin("client", "unpause") == b"+OK\r\n"
        assert other.reply() == b"+PONG\r\n"
        assert time.monotonic() - started >= 0.2
