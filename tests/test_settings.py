"""Units, addresses and labels, the option table, passwords that do not print: settings without a file."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from proxy.address import Listen, Server, make_server, parse_listen, parse_server
from proxy.options import GROUPS, OPTIONS
from proxy.settings import ConfigError, Pool, Problem, Secret
from proxy.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("400ms", 0.4), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("2h", 7200), ("1d", 86400), ("250us", 250e-6),
     ("0s", 0), (" 1 s ", 1), ("10MS", 0.01)],
)  # fmt: skip
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "advice"),
    [("400", "did you mean 400ms?"), ("30", "did you mean 30s?"), ("0", "did you mean 0s?"),
     ("abc", "expected a duration like 400ms or 30s, got 'abc'"), ("-1s", "expected a duration"),
     ("3 fortnights", "'fortnights' is not a unit of time; use one of us ms s m h d"),
     ("0.5us", "finer than one microsecond"), ("", "expected a duration"),
     ("5000d", "'5000d' is more than 3650d; shorten it")],
)  # fmt: skip
def test_not_a_duration(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64mb", 64 << 20), ("1.5gb", 3 << 29), ("512b", 512), ("256KB", 256 << 10), ("0b", 0)]
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "advice"),
    [("64", "did you mean 64mb?"), ("1048576", "did you mean 1048576b?"), ("1.5b", "not a whole number of bytes"),
     ("1tb", "'tb' is not a unit of size"), ("2000000gb", "more than 1048576gb"),
     ("big", "expected a size like 256kb or 64mb, got 'big'")],
)  # fmt: skip
def test_not_a_size(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_size(text)


@given(st.integers(0, 3 * 10**14))
def test_units_are_written_as_they_are_read(amount: int) -> None:
    assert parse_size(format_size(amount)) == amount
    seconds = amount / 1_000_000
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "server", "label"),
    [
        ("10.0.0.1:6379", Server("10.0.0.1:6379"), "10.0.0.1:6379"),
        ("10.0.0.1:6379:3", Server("10.0.0.1:6379", 3), "10.0.0.1:6379"),
        ("localhost:6379:3 a", Server("localhost:6379", 3, "a"), "a"),
        ("cache:11211:1", Server("cache:11211"), "cache"),
        ("cache:011211:1", Server("cache:011211"), "cache"),
        ("cache:06379:1", Server("cache:06379"), "cache:06379"),
        ("cache:11211:1 b", Server("cache:11211", 1, "b"), "b"),
        ("::1:6379:2", Server("::1:6379", 2), "::1:6379"),
        ("[::1]:6379", Server("[::1]:6379"), "[::1]:6379"),
        ("[::1]:6379:2 c", Server("[::1]:6379", 2, "c"), "c"),
        ("/run/redis.sock:1", Server("/run/redis.sock"), "/run/redis.sock:"),
        ("/run/redis.sock", Server("/run/redis.sock"), "/run/redis.sock:"),
        ("/run/redis.sock:4 d", Server("/run/redis.sock", 4, "d"), "d"),
    ],
)
def test_server(text: str, server: Server, label: str) -> None:
    assert parse_server(text) == server
    assert server.label == label
    assert parse_server(str(server)) == server


def test_where_a_server_is() -> None:
    assert (parse_server("[::1]:6379").host, parse_server("[::1]:6379").port) == ("::1", 6379)
    assert (parse_server("::1:6379:1").host, parse_server("::1:6379:1").port) == ("::1", 6379)
    unix = parse_server("/run/a:1")
    assert (unix.host, unix.port, unix.path) == ("", 0, "/run/a")


@pytest.mark.parametrize(
    ("text", "advice"),
    [("a", "expected host:port, got 'a'"), ("a:b", "expected host:port"), (":6379", "expected host:port"),
     ("a:0", "a port is a number from 1 to 65535, got 0"), ("a:70000:1", "got 70000"),
     ("a:1:0", "a weight is a whole number from 1, got 0; to take a server out, delete its line"),
     ("a:1:1 b c", "a name is one word, got 'b c'"), ("fe80::zz:6379", "goes in brackets"), ("", "expected host:port"),
     ("/", "expected the path of a unix socket")],
)  # fmt: skip
def test_not_a_server(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_server(text)


def test_a_server_that_could_not_be_written_down_is_refused() -> None:
    for address, name in (("/tmp/a b", None), ("/tmp/a:", None), ("a:1", "two words"), ("a:1", "")):
        with pytest.raises(ValueError, match=r"expected the path|one word"):
            make_server(address, 1, name)


@pytest.mark.parametrize(
    ("text", "listen"),
    [("127.0.0.1:6400", Listen("127.0.0.1", 6400)), ("localhost:0", Listen("localhost", 0)),
     ("[::1]:6400", Listen("::1", 6400)), ("/run/q.sock", Listen(path="/run/q.sock")),
     ("/run/q.sock 0770", Listen(path="/run/q.sock", mode=0o770))],
)  # fmt: skip
def test_listen(text: str, listen: Listen) -> None:
    assert parse_listen(text) == listen
    assert str(listen) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [("6400", "expected host:port, got '6400'"), ("a:65536", "from 0 to 65535"), ("/run/q 9", "permissions in octal")],
)
def test_not_a_listen(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_listen(text)


def test_every_field_is_a_row_and_every_row_a_field() -> None:
    rows = {option.key for option in OPTIONS if option.sets is None}
    own = {field.name for field in msgspec.structs.fields(Pool)} - {"name"} - set(GROUPS)
    nested = {f"{group}.{field.name}" for group, struct in GROUPS.items() for field in msgspec.structs.fields(struct)}
    assert rows == own | nested
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)
    for option in OPTIONS:
        assert set(option.sets or ()) <= rows
        assert option.default is not UNSET or option.required or option.sets is not None


def test_groups_are_contiguous() -> None:
    groups = [option.group for option in OPTIONS]
    for group in GROUPS:
        first = groups.index(group)
        assert set(groups[first : first + groups.count(group)]) == {group}


def test_a_password_does_not_print() -> None:
    secret = Secret("hunter2")
    pool = Pool(name="a", listen=Listen("b", 1), servers=(), password=secret)
    shown = [repr(secret), str(secret), f"{secret}", repr(pool)]
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") and hash(secret) == hash(Secret("hunter2")) and secret != "hunter2"
    for encode in (json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            encode(secret)


def test_problems_come_in_the_order_of_the_file() -> None:
    late, early = Problem("f", 9, 1, "b", "m"), Problem("f", 2, 3, "a", "n")
    assert str(ConfigError([late, early])) == "f:2:3: a: n\nf:9:1: b: m"
    assert str(Problem("f", 0, 0, "", "cannot be read")) == "f: cannot be read"
