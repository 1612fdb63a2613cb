"""Users: the rules, what they allow, and the log of what they refused; against redis-server where it can be asked."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Server
from tests.store.raw import Argument, Connection, parse, words

HASH = hashlib.sha256(b"secret").hexdigest()
NAMES = ["get", "set", "del", "config", "config|get", "client|id", "hset", "sort", "zunionstore", "lmpop", "GET"]
CATEGORIES = ["all", "read", "write", "string", "fast", "slow", "dangerous", "admin", "keyspace", "connection", "Hash"]
WRONG = ["", "x", "+nope", "-@nope", "+config|nope", "+get|a|b", "%X~a", "%~a", "#12", "<never", "(+get", "~a b", "()"]

PATTERNS = st.sampled_from(["*", "a*", "b?", "[cd]", "key:*", "", "a"])
RULES = st.one_of(
    st.sampled_from(["on", "off", "nopass", "resetpass", "reset", "allkeys", "resetkeys", "allcommands", "nocommands"]),
    st.sampled_from(["allchannels", "resetchannels", "clearselectors", ">secret", "<secret", f"#{HASH}", f"!{HASH}"]),
    st.sampled_from(["+", "-"]).flatmap(lambda sign: st.sampled_from(NAMES).map(lambda name: sign + name)),
    st.sampled_from(["+@", "-@"]).flatmap(lambda sign: st.sampled_from(CATEGORIES).map(lambda name: sign + name)),
    st.sampled_from(["~", "%R~", "%W~", "%RW~", "%w~", "&"]).flatmap(lambda s: PATTERNS.map(lambda text: s + text)),
    st.sampled_from(["(+get ~a*)", "(+@read %R~b*)", "(+@all ~*)", "(allkeys)", "(+set &x %W~a)"]),
    st.sampled_from(WRONG),
)

REQUESTS: list[tuple[Argument, ...]] = [
    ("get", "a"), ("get", "b1"), ("set", "a", 1), ("set", "a", 1, "get"), ("set", "b1", 1), ("del", "a", "b1"),
    ("mget", "a", "key:1"), ("mset", "a", 1, "c", 2), ("hset", "a", "f", "v"), ("exists", "a"), ("strlen", "b1"),
    ("rename", "a", "b1"), ("copy", "a", "b1"), ("lmpop", 2, "a", "b1", "left"), ("zunionstore", "a", 1, "b1"),
    ("zinter", 2, "a", "c"), ("sort", "a"), ("sort", "a", "store", "b1"), ("bitop", "and", "a", "c", "d"),
    ("sinterstore", "a", "b1", "c"), ("pfmerge", "a", "b1"), ("smove", "a", "b1", "m"), ("object", "encoding", "a"),
    ("bitfield", "a", "get", "u8", 0), ("bitfield", "a", "set", "u8", 0, 1), ("georadius", "a", 0, 0, 1, "m"),
    ("georadius", "a", 0, 0, 1, "m", "store", "b1"), ("getdel", "a"), ("append", "a", "x"), ("type", "c"),
    ("config", "get", "x"), ("config", "set", "x", "y"), ("client", "id"), ("ping",), ("flushall",), ("keys", "*"),
    ("publish", "x", 1), ("subscribe", "a", "x"), ("psubscribe", "a*"), ("psubscribe", "a"), ("auth", "a"), ("multi",),
    ("get",), ("nope", "a"),
]  # fmt: skip


@pytest.fixture
def pair(node: Server, reference: Server) -> Iterator[tuple[Connection, Connection]]:
    with node.connect() as ours, reference.connect() as theirs:
        yield ours, theirs
        for connection in (ours, theirs):
            connection("acl", "deluser", "alice", "bob")


def exists(connection: Connection, name: Argument) -> bool:
    return connection("command", "info", name) not in (b"*1\r\n*-1\r\n", b"*1\r\n$-1\r\n", b"*1\r\n_\r\n")


def without_commands(reply: object) -> object:
    """A parsed reply without the text behind `commands`."""
    if not isinstance(reply, list):
        return reply
    return [
        without_commands(item) for before, item in zip([None, *reply], reply, strict=False)
        if before != b"$8\r\ncommands\r\n"
    ]  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.lists(RULES, max_size=6), min_size=1, max_size=3))
def test_rules_mean_what_they_mean_in_redis(pair: tuple[Connection, Connection], changes: list[list[str]]) -> None:
    ours, theirs = pair
    for connection in pair:
        connection("acl", "deluser", "alice")
    for rules in changes:
        assert ours("acl", "setuser", "alice", *rules) == theirs("acl", "setuser", "alice", *rules), rules
        mine, other = parse(ours("acl", "getuser", "alice")), parse(theirs("acl", "getuser", "alice"))
        assert without_commands(mine) == without_commands(other), rules
    # The words for commands differ (redis-server 7.0 derives them from its own set of commands, 7.2 keeps them); that
    # they mean the same is seen by giving another user these rules.
    for line in re.findall(rb"user alice ([^\r]*)\r\n", ours("acl", "list")):
        ours("acl", "deluser", "bob")
        assert ours("acl", "setuser", "bob", *line.split()) == b"+OK\r\n"
        # Only the line of `%RW~*` is ambiguous: it reads `~*`, in Redis too, which forgets the patterns before it.
        if not any("%RW~*" in rules for rules in changes):
            assert ours("acl", "getuser", "bob") == ours("acl", "getuser", "alice")
    for request in REQUESTS:
        if exists(ours, request[0]) or request[0] == "nope":
            assert ours("acl", "dryrun", "alice", *request) == theirs("acl", "dryrun", "alice", *request), request


#: Commands that have other arguments in 7.2, which the node follows.
NEWER = {b"zrank", b"zrevrank"}

SCRIPT: list[tuple[Argument, ...]] = [
    ("acl", "whoami"), ("acl", "users"), ("acl", "getuser", "nobody"), ("acl", "getuser", "default"),
    ("acl", "setuser", "a b", "on"), ("acl", "setuser"), ("acl", "deluser", "default"), ("acl", "deluser", "nobody"),
    ("acl", "cat", "nope"), ("acl", "genpass", 0), ("acl", "genpass", "x"), ("acl", "genpass", 5000), ("acl", "load"),
    ("acl", "save"), ("acl", "dryrun", "nobody", "get", "a"), ("acl", "log", "reset"), ("acl", "log"),
    ("acl", "setuser", "bob", "on", ">pw", "+@all", "-flushall", "~k*", "%R~r*", "&c*"), ("acl", "users"),
    ("auth", "bob", "wrong"), ("auth", "nobody", "pw"), ("auth", "bob", "pw"), ("acl", "whoami"), ("set", "k1", "v"),
    ("get", "r1"), ("set", "r1", "v"), ("get", "x"), ("mget", "k1", "x"), ("flushall",), ("publish", "c1", "m"),
    ("publish", "x", "m"), ("copy", "r1", "k1"), ("copy", "k1", "r1"), ("auth", "default", "x"), ("acl", "whoami"),
    ("acl", "deluser", "bob", "bob"),
]  # fmt: skip


def test_a_day_of_users_in_the_words_of_redis(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for command in SCRIPT:
            if command[0] in ("publish",) and not exists(ours, command[0]):
                continue
            assert ours(*command) == theirs(*command), command


def test_transactions_are_checked_when_queued_and_when_run(node: Server) -> None:
    with node.connect() as admin, node.connect() as client:
        assert admin("acl", "setuser", "carol", "on", "nopass", "+@all", "~k*") == b"+OK\r\n"
        assert client("auth", "carol", "whatever") == b"+OK\r\n"
        assert client("multi") == b"+OK\r\n"
        assert client("set", "x", 1).startswith(b"-NOPERM ")
        assert client("exec").startswith(b"-EXECABORT ")
        client("multi")
        assert client("set", "k1", 1) == b"+QUEUED\r\n"
        assert admin("acl", "setuser", "carol", "-set") == b"+OK\r\n"
        assert client("exec") == b"*1\r\n-NOPERM this user has no permissions to run the 'set' command\r\n"
        assert admin("acl", "deluser", "carol") == b":1\r\n"
        assert client.closed()


def test_the_log_counts_alike_refusals_as_one(node: Server) -> None:
    with node.connect() as admin, node.connect() as client:
        admin("acl", "log", "reset")
        admin("acl", "setuser", "dave", "on", ">pw", "+get", "~k*")
        client("auth", "dave", "no")
        client("auth", "dave", "pw")
        for _ in range(3):
            client("get", "x")
        client("set", "k", 1)
        entries = parse(admin("acl", "log"))
        assert isinstance(entries, list) and len(entries) == 4
        fields = [entry[1::2] for entry in entries[1:] if isinstance(entry, list)]
        values = [entry[2::2] for entry in entries[1:] if isinstance(entry, list)]
        assert all(len(names) == 10 for names in fields)
        texts = [[str(value) for value in entry[:5]] for entry in values]
        assert ["command" in texts[0][1], "key" in texts[1][1], "auth" in texts[2][1]] == [True] * 3
        assert values[1][0] == b":3\r\n"
        admin("config", "set", "acllog-max-len", 1)
        client("get", "y")
        assert admin("acl", "log").startswith(b"*1\r\n")
        admin("config", "set", "acllog-max-len", 128)
        admin("acl", "deluser", "dave")


def test_requirepass_is_the_default_users_password(new_node: Callable[..., Server]) -> None:
    server = new_node("--password", "one")
    with server.connect() as client:
        assert client("get", "k") == b"-NOAUTH Authentication required.\r\n"
        assert client("auth", "two").startswith(b"-WRONGPASS ")
        assert client("auth", "one") == b"+OK\r\n"
        assert client("config", "get", "requirepass") == b"*2\r\n$11\r\nrequirepass\r\n$3\r\none\r\n"
        assert client("config", "set", "requirepass", "two") == b"+OK\r\n"
        assert client("get", "k") == b"$-1\r\n"
        with server.connect() as other:
            assert other("auth", "one").startswith(b"-WRONGPASS ")
            assert other("hello", 3, "auth", "default", "two").startswith(b"%7\r\n")
        assert hashlib.sha256(b"two").hexdigest().encode() in client("acl", "getuser", "default")
        assert client("config", "set", "requirepass", "") == b"+OK\r\n"
        with server.connect() as other:
            assert other("get", "k") == b"$-1\r\n"
            assert b"without any password configured" in other("auth", "x")


def test_the_default_user_may_be_taken_its_rights(new_node: Callable[..., Server]) -> None:
    server = new_node()
    with server.connect() as admin, server.connect() as client:
        assert admin("acl", "setuser", "root", "on", ">r", "allkeys", "allcommands", "allchannels") == b"+OK\r\n"
        assert admin("auth", "root", "r") == b"+OK\r\n"
        assert admin("acl", "setuser", "default", "-@all", "+get", "resetkeys", "~open:*") == b"+OK\r\n"
        assert client("get", "open:1") == b"$-1\r\n"
        assert client("get", "k").startswith(b"-NOPERM ")
        assert client("set", "open:1", 1).startswith(b"-NOPERM ")
        assert admin("acl", "setuser", "default", "off") == b"+OK\r\n"
        with server.connect() as other:
            assert other("get", "open:1").startswith(b"-NOAUTH ")


def test_facts_are_those_of_the_proxys_table() -> None:
    """The node may not import the table of commands, so it has a copy of what it needs of it."""
    root = Path(__file__).parents[2]
    table = {row["name"]: row for row in json.loads((root / "proxy/commands.json").read_text())}
    text = (root / "storenode/facts.pyx").read_text()
    found = re.findall(
        r'    fact\(b"([^"]*)", b"([^"]*)", b"([^"]*)", b"([^"]*)",\s+b"([^"]*)", b"([^"]*)",\s+b"([^"]*)"\)', text
    )
    assert len(found) == text.count("    fact(") > 280
    for name, since, group, flags, categories, _, summary in found:
        row = table[name]
        assert (since, group, flags, categories, summary) == (
            row["since"], row["group"], row.get("flags", ""), row["acl"], row.get("summary", "")
        ), name  # fmt: skip


def test_commands_are_told_as_redis_tells_them(node: Server, reference: Server) -> None:
    """Arity, flags, key positions and categories of every command that both have."""
    with node.connect() as ours, reference.connect() as theirs:
        names = words(ours("command", "list"))
        assert len(names) > 250
        known = set(words(theirs("command", "list")))
        compared = 0
        for name in names:
            if name not in known:
                continue
            mine, other = parse(ours("command", "info", name)), parse(theirs("command", "info", name))
            assert isinstance(mine, list) and isinstance(other, list)
            one, two = mine[1], other[1]
            assert isinstance(one, list) and isinstance(two, list)
            if name in NEWER:
                continue
            assert one[1:3] == two[1:3], name
            assert sorted(map(str, one[3])) == sorted(map(str, two[3])), name  # flags
            assert sorted(map(str, one[7])) == sorted(map(str, two[7])), name  # categories
            compared += 1
        assert compared > 230


def test_keys_are_found_where_redis_finds_them(node: Server, reference: Server) -> None:
    with node.connect() as ours, reference.connect() as theirs:
        for request in [
            *REQUESTS, ("mset", "a", 1, "b"), ("zunionstore", "a", 5, "b"), ("lmpop", "x", "a", "left"), ("command",),
            ("sort", "a", "store", "b", "store", "c"), ("zinterstore", "d", 2, "a", "b", "weights", 1, 2),
        ]:  # fmt: skip
            if exists(ours, request[0]):
                assert ours("command", "getkeys", *request) == theirs("command", "getkeys", *request), request


def test_a_file_of_users(new_node: Callable[..., Server], tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("# people\nuser default on nopass ~* &* +@all\n\nuser erin on >pw ~k* +@read (+set ~w*)\n")
    server = new_node("--aclfile", str(path))
    with server.connect() as admin, server.connect() as client:
        assert client("auth", "erin", "pw") == b"+OK\r\n"
        assert client("set", "w1", 1) == b"+OK\r\n"
        admin("acl", "setuser", "frank", "on", "nopass", "+ping")
        before = admin("acl", "list")
        assert admin("acl", "save") == b"+OK\r\n"
        assert "user frank on nopass resetchannels -@all +ping" in path.read_text()
        admin("acl", "deluser", "frank")
        assert admin("acl", "load") == b"+OK\r\n"
        assert admin("acl", "list") == before
        path.write_text("user default on nopass ~* &* +@all\nuser x +nope\n")
        reply = admin("acl", "load")
        assert reply.startswith(b"-ERR ") and b":2: " in reply and b"no change" in reply
        assert admin("acl", "list") == before
        path.write_text("user default on nopass ~* &* +@all\n")
        assert admin("acl", "load") == b"+OK\r\n"
        assert client.closed()


def test_a_file_that_is_wrong_keeps_the_node_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user erin on +nope\n")
    process = subprocess.run(
        [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0", "--aclfile", str(path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=20,
    )  # fmt: skip
    assert process.returncode == 1
    assert f"{path}:1: " in process.stderr and "Unknown command" in process.stderr


def test_denied_commands_are_unknown(new_node: Callable[..., Server]) -> None:
    with new_node("--deny", "flushall", "--deny", "config|set").connect() as client:
        assert client("flushall").startswith(b"-ERR unknown command 'flushall'")
        assert client("config", "set", "hz", 10).startswith(b"-ERR unknown subcommand 'set'")
        assert client("config", "get", "hz") == b"*2\r\n$2\r\nhz\r\n$2\r\n10\r\n"
        assert b"flushall" not in client("command") and b"config|set" not in client("command")


def test_clients_call_a_command_as_they_are_told_to(tmp_path: Path, new_node: Callable[..., Server]) -> None:
    """And logs and rules of users as ever."""
    options = ("--appendonly", "yes", "--dir", str(tmp_path), "--rename", "SET=Put", "--rename", "config=cfg-1")
    server = new_node(*options)
    with server.connect() as client:
        for name in ("set", "config"):
            assert client(name, "k", "v").startswith(b"-ERR unknown command '%b'" % name.encode())
        assert client("put", "k", "v") == client("PUT", "k", "v", "ex", 100) == b"+OK\r\n"
        assert client("put", "k") == b"-ERR wrong number of arguments for 'set' command\r\n"
        assert client("cfg-1", "set", "timeout", 11) == b"+OK\r\n"
        client.send(b"put  inline 'a b'\r\n")
        assert client.reply() == b"+OK\r\n"
        client("acl", "setuser", "writer", "on", "nopass", "~*", "-@all", "+set")
        client("auth", "writer", "")
        assert client("put", "k", "w") == b"+OK\r\n"
        assert client("get", "k").startswith(b"-NOPERM")
    server.process.kill()
    server.process.wait()
    with new_node(*options).connect() as client:
        assert client("get", "k") == b"$1\r\nw\r\n"
        assert client("get", "inline") == b"$3\r\na b\r\n"
    with new_node("--deny", "set", *options[:4]).connect() as client:  # the log has it all the same
        assert client("get", "k") == b"$1\r\nw\r\n"
        assert client("set", "k", "v").startswith(b"-ERR unknown command")


@pytest.mark.parametrize(("option", "why"), [
    ("nothing=x", "cannot rename 'nothing' to 'x': there is no such command"),
    ("set=GET", "cannot rename 'set' to 'GET': the new name is taken"),
    ("config|set=x", "cannot rename 'config|set' to 'x': a subcommand has no name of its own"),
    (f"set={'x' * 25}", "the new name is too long"),
    ("set", "write NAME=VALUE"),
])  # fmt: skip
def test_names_that_cannot_be_had(option: str, why: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "storenode", "--listen", "127.0.0.1:0", "--rename", option],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=20, check=False,
    )  # fmt: skip
    assert process.returncode and why in process.stderr
