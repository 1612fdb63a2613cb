"""Rights in the engine: its verdicts against the naive twin's, passwords, and what clients without rules do not pay."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from proxy.wire.sha256 import sha256_digest

from proxy.acl import apply_rules, default_user, new_user, split_rules
from proxy.commands import find
from proxy.control.answers.rights import external_keys, permitted
from proxy.control.denials import Denial
from proxy.control.engines import EventKind
from proxy.errors import error_reply
from tests.control.test_rights import MALFORMED
from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import bulk, request
from tests.rules import REQUESTS, random_rules

WRONG = error_reply("wrong_password")
NOAUTH = error_reply("noauth")
CODES = {Denial.COMMAND: "no_permission_command", Denial.KEY: "no_permission_key",
         Denial.CHANNEL: "no_permission_channel", Denial.SCRIPT: "no_permission_script"}  # fmt: skip


def users(**rules):
    made = [apply_rules(new_user(name), split_rules(text)) for name, text in rules.items()]
    return made if "default" in rules else [default_user(None), *made]


def ask(engine, client, *args):
    """What the engine answers at once; nothing where a node or the control plane would."""
    engine.feed(client, request(*args))
    settle(engine)
    return engine.take(client)


# -- SHA-256 ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_sha256_is_hashlib_s(data):
    assert sha256_digest(data) == hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 16_384, 1_000_003])
def test_sha256_at_the_edges_of_blocks(size):
    data = bytes(range(256)) * (size // 256 + 1)
    assert sha256_digest(data[:size]) == hashlib.sha256(data[:size]).digest()


# -- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [False, True])
def test_verdicts_are_the_twin_s(scripts):
    dice = random.Random(7 + scripts)
    seen = set()
    for _ in range(6):
        some = [apply_rules(new_user(f"u{number}"), random_rules(dice)) for number in range(25)]
        some = [replace(user, scripts=scripts) for user in some]
        engine = build(1, users=[default_user(None), *some])
        for user in some:
            for args in dice.sample(REQUESTS, 40):
                client = engine.open()
                assert ask(engine, client, b"AUTH", user.name.encode(), b"any") == b"+OK\r\n"
                expected = verdict(user, args)
                got = ask(engine, client, *args)
                if expected is None:
                    assert not got.startswith((b"-NOPERM", b"-ERR BY", b"-ERR GET")), (user, args, got)
                else:
                    assert got == expected, (user, args)
                seen |= {permitted(user, find(args), args)[0], external_keys(user, find(args), args)}
                if any(kind == EventKind.REQUEST for kind, *_ in engine.events()):
                    break  # the control plane would answer this client: it is left waiting
                engine.close(client)
    assert seen == {*Denial, "", "BY", "GET"} - {Denial.AUTH} - ({Denial.SCRIPT} if scripts else set())


def verdict(user, args):
    """The error reply; None: permitted."""
    command = find(args)
    denial, _ = permitted(user, command, args)
    if denial is not Denial.NONE:
        return error_reply(CODES[denial], command=command.name)
    option = external_keys(user, command, args)
    return error_reply(f"no_permission_sort_{option.lower()}") if option else None


def test_a_key_counts_in_full_and_in_any_form():
    engine = build(1, users=users(u="on nopass ~a:* +@all"))
    client = engine.open()
    ask(engine, client, b"AUTH", b"u", b"")
    denied = error_reply("no_permission_key")
    assert ask(engine, client, b"GET", b"a:" + b"x" * 100_000) == b""
    assert ask(engine, client, b"GET", b"b" * 100_000) == b""  # in its place, behind the one before
    assert engine.sent(conn(0)) == request(b"GET", b"a:" + b"x" * 100_000)
    engine.answer(conn(0), bulk(b"one"))
    settle(engine)
    assert engine.take(client) == bulk(b"one") + denied
    engine.feed(client, b"get b\r\n")
    engine.feed(client, b"*2\r\n$3\r\nGETxx$1\r\nb\r\n")
    engine.feed(client, request(b"MGET", *[b"a:%d" % number for number in range(50)], b"b"))
    engine.feed(client, request(b"SET", b"b", b"x" * 70_000))
    settle(engine)
    assert engine.take(client) == denied * 4


def test_a_request_whose_keys_cannot_be_told_is_refused_or_the_node_s():
    engine = build(1, users=users(u="on nopass ~k* &* +@all", v="on nopass ~* &* +@all -get"))
    for line in MALFORMED:
        for name, refused in ((b"u", True), (b"v", line.startswith("EVAL"))):
            client = engine.open()
            ask(engine, client, b"AUTH", name, b"")
            assert ask(engine, client, *line.encode().split()).startswith(b"-NOPERM") == refused, line
            engine.close(client)


def test_what_is_refused_is_not_sent():
    engine = build(2, users=users(u="on nopass %R~k* +@all -set"))
    client = engine.open()
    ask(engine, client, b"AUTH", b"u", b"")
    key, other = key_on(0), key_on(1)
    assert ask(engine, client, b"DEL", key, other).startswith(b"-NOPERM this user has no permissions to access one")
    assert ask(engine, client, b"SET", key, b"x").startswith(b"-NOPERM this user has no permissions to run the 'set'")
    assert ask(engine, client, b"MGET", key, other) == b""
    assert engine.sent(conn(0)) == request(b"MGET", key) and engine.sent(conn(1)) == request(b"MGET", other)
    assert engine.command_stats()["del"] == (0, 0, 0, 1)


# -- who a client is --------------------------------------------------------------------------------------------------


def test_passwords():
    engine = build(1, users=users(two="on >one >two +ping", off=">p +ping", none="on +ping", any="on nopass +ping"))
    client = engine.open()
    assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"default")
    for name, password in ((b"two", b"three"), (b"two", b""), (b"two", b"onetwo"), (b"off", b"p"), (b"none", b""),
                           (b"nobody", b"one"), (b"", b""), (b"two\0", b"one"), (b"TWO", b"one"),
                           (b"two", b"x" * 100_000)):  # fmt: skip
        assert ask(engine, client, b"AUTH", name, password) == WRONG, (name, password)
        assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"default")
    for name, password in ((b"two", b"one"), (b"two", b"two"), (b"any", b"whatever")):
        assert ask(engine, client, b"AUTH", name, password) == b"+OK\r\n"
        assert ask(engine, client, b"PING") == b"+PONG\r\n"
        assert ask(engine, client, b"ACL", b"WHOAMI").startswith(b"-NOPERM")
    assert ask(engine, client, b"AUTH", b"two", b"wrong") == WRONG
    assert ask(engine, client, b"PING") == b"+PONG\r\n", "a wrong password changes nothing"
    assert ask(engine, client, b"RESET") == b"+RESET\r\n"
    assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"default")


def test_hello_says_who():
    engine = build(1, users=users(u="on >p +acl|whoami"))
    client = engine.open()
    assert ask(engine, client, b"HELLO", b"3", b"AUTH", b"u", b"wrong", b"SETNAME", b"n") == WRONG
    assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"default") and engine.state(client)["protocol"] == 2
    assert ask(engine, client, b"HELLO", b"3", b"AUTH", b"u", b"p", b"NONSENSE").startswith(b"-ERR Syntax error")
    assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"default")
    assert ask(engine, client, b"HELLO", b"3", b"AUTH", b"u", b"p").startswith(b"%7")
    assert ask(engine, client, b"ACL", b"WHOAMI") == bulk(b"u")
    assert ask(engine, client, b"PING").startswith(b"-NOPERM")


def test_a_default_user_that_is_off_or_restricted():
    engine = build(1, users=users(default="off +@all ~*", u="on >p +ping"))
    client = engine.open()
    assert ask(engine, client, b"PING") == NOAUTH and ask(engine, client, b"GET", b"k") == NOAUTH
    assert ask(engine, client, b"AUTH", b"u", b"p") == b"+OK\r\n" and ask(engine, client, b"PING") == b"+PONG\r\n"
    assert ask(engine, client, b"RESET") == b"+RESET\r\n" and ask(engine, client, b"PING") == NOAUTH
    engine = build(1, users=users(default="on nopass +ping"))
    client = engine.open()
    assert ask(engine, client, b"PING") == b"+PONG\r\n" and ask(engine, client, b"GET", b"k").startswith(b"-NOPERM")
    engine = build(1, users=users(default="on >q +ping"))
    client = engine.open()
    assert ask(engine, client, b"PING") == NOAUTH and ask(engine, client, b"AUTH", b"q") == b"+OK\r\n"
    assert ask(engine, client, b"PING") == b"+PONG\r\n" and ask(engine, client, b"GET", b"k").startswith(b"-NOPERM")


def test_a_user_counts_from_the_next_request_on():
    """AUTH waits for what came before; what comes after waits for AUTH."""
    engine = build(1, users=users(u="on >p ~a +@all"))
    client = engine.open()
    engine.feed(client, request(b"GET", b"z") + request(b"AUTH", b"u", b"p") + request(b"GET", b"z"))
    settle(engine)
    assert engine.sent(conn(0)) == request(b"GET", b"z")
    engine.answer(conn(0), bulk(b"v"))
    settle(engine)
    assert engine.take(client) == bulk(b"v") + b"+OK\r\n" + error_reply("no_permission_key")


def test_what_is_refused_in_a_transaction_dooms_it():
    engine = build(1, users=users(u="on >p ~a +@all -ping", weak="on >p ~a +set +exec"))
    client = engine.open()
    ask(engine, client, b"AUTH", b"u", b"p")
    for refused, code in (([b"GET", b"z"], "no_permission_key"), ([b"PING"], "no_permission_command"),
                          ([b"SORT", b"a", b"GET", b"#"], "no_permission_sort_get")):  # fmt: skip
        assert ask(engine, client, b"MULTI") == b"+OK\r\n" and ask(engine, client, b"SET", b"a", b"1") == b"+QUEUED\r\n"
        assert ask(engine, client, *refused) == error_reply(code, command=refused[0].decode().lower())
        assert ask(engine, client, b"SET", b"a", b"2") == b"+QUEUED\r\n"
        assert ask(engine, client, b"EXEC") == error_reply("exec_abort")
    assert engine.sent(conn(0)) == b""
    told = [(event[3], event[6]) for event in engine.events() if event[0] == EventKind.DENIED]
    assert told == [(Denial.KEY, 1), (Denial.COMMAND, 1)], "in a transaction; and SORT's own error is not for ACL LOG"
    ask(engine, client, b"RESET")
    ask(engine, client, b"AUTH", b"weak", b"p")
    denied = [error_reply("no_permission_command", command=name) for name in ("multi", "discard", "watch", "blpop")]
    for reply, args in zip(denied, ([b"MULTI"], [b"DISCARD"], [b"WATCH", b"a"], [b"BLPOP", b"a", b"0"]), strict=True):
        assert ask(engine, client, *args) == reply
    assert ask(engine, client, b"EXEC") == b"-ERR EXEC without MULTI\r\n"


def test_watched_and_awaited_keys_are_keys():
    engine = build(1, users=users(u="on nopass ~a +@all"))
    client = engine.open()
    ask(engine, client, b"AUTH", b"u", b"")
    for args in ([b"WATCH", b"a", b"z"], [b"BLPOP", b"a", b"z", b"0"], [b"BLMOVE", b"a", b"z", b"LEFT", b"LEFT", b"0"],
                 [b"XREAD", b"BLOCK", b"0", b"STREAMS", b"z", b"0"]):  # fmt: skip
        assert ask(engine, client, *args) == error_reply("no_permission_key"), args


# -- what is told and what it costs -----------------------------------------------------------------------------------


def test_refusals_are_told_at_a_bounded_rate():
    engine = build(1, users=users(u="on >p ~a +get"))
    client = engine.open()
    ask(engine, client, b"auth", b"u", b"nope")
    ask(engine, client, b"AUTH", b"u", b"p")
    ask(engine, client, b"SET", b"a", b"x")
    ask(engine, client, b"GET", b"z\0\t")
    told = [event for event in engine.events() if event[0] == EventKind.DENIED]
    cut = [(code, data[:name], data[name : name + length]) for _, _, length, code, _, name, _, data in told]
    assert cut == [(Denial.AUTH, b"u", b"auth"), (Denial.COMMAND, b"u", b"set"), (Denial.KEY, b"u", b"z\0\t")]
    line = told[2][7][1 + 3 :].decode()
    assert line.split("\t")[0] == str(client) and line.endswith("\t1\n"), "the client as CLIENT LIST has it"
    for _ in range(1000):
        ask(engine, client, b"GET", b"z")
    assert sum(event[0] == EventKind.DENIED for event in engine.events()) == 97
    engine.advance(1_000_000)
    ask(engine, client, b"GET", b"z" * 100_000)
    (last,) = engine.events()
    assert last[2] == 256 and engine.error_stats()["no_permission_key"] == 1002


def test_a_user_that_may_do_everything_is_never_checked():
    """Neither the default user nor another one: their clients do not carry the flag."""
    everything = "on >p ~* &* +@all"
    engine = build(1, users=users(admin=everything, almost=f"{everything} -debug", two="on >p (~* &* +@all)"))
    client = engine.open()
    assert engine.state(client)["restricted"] is False
    for name, restricted in ((b"admin", False), (b"almost", True), (b"two", False), (b"almost", True)):
        assert ask(engine, client, b"AUTH", name, b"p") == b"+OK\r\n"
        assert engine.state(client)["restricted"] is restricted, name
    assert ask(engine, client, b"RESET") == b"+RESET\r\n" and engine.state(client)["restricted"] is False
