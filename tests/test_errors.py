"""The error table: every row is one RESP line, a Redis error code first, simple placeholders only."""

from __future__ import annotations

import hiredis
import pytest

from proxy.commands import CAPABILITIES
from proxy.errors import (
    ENGINE_ERRORS,
    ENGINE_FIELDS,
    ERRORS,
    PLACEHOLDER,
    QuenchError,
    ReplyError,
    error_reply,
    error_text,
    subcommand_error,
    unknown_command,
)
from tests.redis_server import Connection, needs_redis_server, redis_server

#: Error codes that Redis itself uses.
REDIS_CODES = {"ERR", "CROSSSLOT", "NOAUTH", "WRONGPASS", "NOPROTO", "NOPERM", "EXECABORT", "CLUSTERDOWN", "TRYAGAIN"}


def parsed(reply: bytes) -> str:
    reader = hiredis.Reader(errors="replace")
    reader.feed(reply)
    error = reader.gets()
    assert isinstance(error, hiredis.ReplyError)
    assert reader.gets() is False, "nothing follows the one line"
    return str(error)


@pytest.mark.parametrize("code", ERRORS)
def test_row(code: str) -> None:
    row = ERRORS[code]
    assert row.code == code
    assert row.text.split()[0] in REDIS_CODES
    assert row.label.replace("_", "").isalpha() and row.label.islower()
    assert "{" not in PLACEHOLDER.sub("", row.text) and "}" not in PLACEHOLDER.sub("", row.text)
    fields = {name: f"<{name}>" for name in PLACEHOLDER.findall(row.text)}
    text = parsed(error_reply(code, **fields))
    assert text == row.text.format(**fields)
    if fields:
        with pytest.raises(KeyError):
            error_text(code)


def test_the_engine_can_fill_its_rows() -> None:
    assert len(set(ENGINE_ERRORS)) == len(ENGINE_ERRORS)
    for row in ENGINE_ERRORS:
        assert set(PLACEHOLDER.findall(row.text)) <= set(ENGINE_FIELDS), row.code


def test_a_value_cannot_break_out_of_its_line() -> None:
    assert parsed(error_reply("refused", command=b"A\r\n+OK\r\n\xff", why="{command}")) == (
        "ERR 'A  +OK  \ufffd' is refused by the proxy: {command}"
    )


def test_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        error_text("nope")


def test_reply_error_carries_code_text_and_reply() -> None:
    error = ReplyError("later", command="mock", capability=CAPABILITIES["client tracking"])
    assert isinstance(error, QuenchError)
    assert error.code == "later"
    assert str(error) == error.text == "ERR 'mock' is not supported yet: it needs client-side caching through the proxy"
    assert error.reply == b"-" + error.text.encode() + b"\r\n"


@needs_redis_server
def test_texts_agree_with_redis(tmp_path_factory: pytest.TempPathFactory) -> None:
    def same(expected: ReplyError | bytes, *args: str | bytes) -> None:
        reply = expected if isinstance(expected, bytes) else expected.reply
        assert parsed(reply) == str(redis(*args)), args

    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        redis = Connection(address)
        unknown = (["foo"], ["foo", "a", "b c", ""], ["f" * 300, *["a" * 50] * 5], ["x", "a" * 128, "b"], ["", "a"])
        for words in unknown:
            args = [word.encode() for word in words]
            same(unknown_command(args), *args)
        same(subcommand_error([b"client", b"Nope"]), "client", "Nope")
        same(error_reply("wrong_arity", command="get"), "GET")
        same(error_reply("wrong_arity", command="client|setname"), "CLIENT", "SETNAME")
        same(error_reply("client_name"), "CLIENT", "SETNAME", "a b")
        same(error_reply("database_range"), "SELECT", "99")
        same(error_reply("not_an_integer"), "SELECT", "x")
        same(error_reply("syntax"), "CLIENT", "NO-EVICT", "x")
        same(error_reply("protocol_version"), "HELLO", "9")
        same(error_reply("protocol_version_number"), "HELLO", "x")
        same(error_reply("hello_option", option="x"), "HELLO", "3", "x")
        same(error_reply("no_password_set"), "AUTH", "x")
        same(error_reply("wrong_password"), "AUTH", "nobody", "x")
        same(error_reply("keys_invalid"), "COMMAND", "GETKEYS", "ZUNION", "9", "a")
        same(error_reply("keys_none"), "COMMAND", "GETKEYS", "PUBLISH", "a", "b")
        same(error_reply("keys_unknown_command"), "COMMAND", "GETKEYS", "NOPE", "a")
        same(error_reply("keys_arity"), "COMMAND", "GETKEYS", "XREAD", "COUNT", "2")
        redis("CONFIG", "SET", "requirepass", "secret")
        redis("RESET")
        same(error_reply("noauth"), "GET", "a")
        # 7.2 reworded the advice that follows.
        assert str(redis("HELLO", "3"))[:70] == error_text("noauth_hello")[:70]
        redis.close()
