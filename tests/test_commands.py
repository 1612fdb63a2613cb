"""The command table against the real redis-server, and against itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import hiredis
import pytest

from proxy.commands import CAPABILITIES, COMMANDS, Command, KeySpec, Lane, find, keys_of, refusal, subcommands
from proxy.errors import ReplyError
from tests.redis_server import Connection, needs_redis_server, redis_server

EVERY = [row for command in COMMANDS.values() for row in (command, *command.subcommands.values())]
BY_NAME = {row.name: row for row in EVERY}
CONTAINERS = [row for row in EVERY if row.subcommands]
COLUMNS = """
name arity flags acl keys specs routes options tips since group summary complexity deprecated
lane later why blocks_with effect cacheable mergeable one_node session
"""
NODE_LANES = {Lane.FAST, Lane.MGET, Lane.MSET, Lane.SUM}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        connection = Connection(address)
        yield connection
        connection.close()


def pairs(flat: list[Any]) -> dict[str, Any]:
    return {key.decode(): value for key, value in zip(flat[::2], flat[1::2], strict=True)}


def spec_from_redis(reply: list[Any]) -> KeySpec:
    """A KeySpec from one element of COMMAND's ninth field."""
    entry = pairs(reply)
    begin, found = pairs(entry["begin_search"]), pairs(entry["find_keys"])
    where, how = pairs(begin["spec"]), pairs(found["spec"])
    return KeySpec(
        begin=begin["type"].decode(),
        find=found["type"].decode(),
        index=where.get("index", 0),
        keyword=where.get("keyword", b"").decode(),
        start_from=where.get("startfrom", 0),
        last_key=how.get("lastkey", 0),
        key_step=how.get("keystep", 1),
        limit=how.get("limit", 0),
        keynum_index=how.get("keynumidx", 0),
        first_key=how.get("firstkey", 0),
        flags=tuple(sorted(flag.decode() for flag in entry["flags"])),
    )


@needs_redis_server
def test_every_command_of_redis_is_in_the_table_with_the_same_facts(redis: Connection) -> None:
    reported = redis("COMMAND")
    assert len(reported) > 200
    for row in [row for top in reported for row in (top, *top[9])]:
        name = row[0].decode()
        command = BY_NAME[name]
        assert command.arity == row[1], name
        assert set(command.flags) == {flag.decode() for flag in row[2]}, name
        assert [command.first_key, command.last_key, command.key_step] == row[3:6], name
        assert {"@" + category for category in command.acl_categories} == {category.decode() for category in row[6]}
        assert list(command.tips) == [tip.decode() for tip in row[7]], name
        assert list(command.key_specs) == [spec_from_redis(spec) for spec in row[8]], name
        assert set(command.subcommands) >= {sub[0].decode().partition("|")[2] for sub in row[9]}, name


@needs_redis_server
def test_group_and_since_agree_with_redis(redis: Connection) -> None:
    documented = pairs(redis("COMMAND", "DOCS"))
    for name, fields in documented.items():
        entry = pairs(fields)
        children = pairs(entry.get("subcommands", []))
        for child, details in [(name, entry), *((child, pairs(details)) for child, details in children.items())]:
            assert BY_NAME[child].since == details["since"].decode(), child
            assert BY_NAME[child].group == details["group"].decode(), child
            assert BY_NAME[child].deprecated == details.get("deprecated_since", b"").decode(), child


REQUESTS = """
GET k | SET k v EX 10 | SETEX k 10 v | APPEND k v | GETRANGE k 0 1 | INCR k | INCRBYFLOAT k 1.5 | LCS a b LEN
MGET a b c | MSET a 1 b 2 | MSETNX a 1 b 2 | DEL a b c | UNLINK a | EXISTS a a b | TOUCH a b
RENAME a b | RENAMENX a b | COPY a b REPLACE | MOVE a 1 | EXPIRE a 10 NX | TTL a | PERSIST a | DUMP a | RESTORE a 0 x
TYPE a | OBJECT ENCODING a | OBJECT FREQ a | MEMORY USAGE a SAMPLES 3 | SORT a | SORT a STORE b | SORT_RO a BY w_* GET #
SORT a BY w_* LIMIT 0 5 GET p_* STORE b DESC | SORT a BY store GET x STORE b | SORT a GET store ALPHA
SORT a STORE b STORE c | SORT a LIMIT store store | SORT a STORE
BITCOUNT a | BITOP AND d a b c | BITFIELD a GET u8 0 | BITFIELD_RO a GET u8 0 | SETBIT a 1 1
LPUSH a x y | RPOPLPUSH a b | LMOVE a b LEFT RIGHT | LMPOP 2 a b LEFT COUNT 3 | LINSERT a BEFORE x y
BLPOP a b c 0 | BRPOPLPUSH a b 0 | BLMOVE a b LEFT RIGHT 0 | BLMPOP 0 2 a b LEFT | BZPOPMIN a b 1 | BZMPOP 1 2 a b MIN
HSET a f v g w | HMGET a f g | HGETALL a | HSCAN a 0 | SADD a x | SMOVE a b x | SUNION a b c | SDIFFSTORE d a b
SINTERCARD 2 a b LIMIT 3 | SISMEMBER a x | ZADD a 1 x | ZRANGESTORE d a 0 1 | ZUNION 2 a b WEIGHTS 1 2
ZUNIONSTORE d 3 a b c AGGREGATE SUM | ZINTERSTORE d 1 a | ZDIFF 2 a b WITHSCORES | ZMPOP 1 a MIN | ZINTERCARD 2 a b
ZUNIONSTORE d 0 a | ZUNIONSTORE d 2 a | ZUNIONSTORE d x a | ZUNIONSTORE d -1 a | ZUNION 01 a | LMPOP 9 a b LEFT
GEOADD g 1 2 m | GEOSEARCHSTORE d g FROMMEMBER m BYRADIUS 1 km | GEORADIUS g 1 2 3 km
GEORADIUSBYMEMBER g m 1 km STORE d | GEORADIUS g 1 2 3 km STORE d
GEORADIUS g 1 2 3 km STOREDIST d | GEORADIUS g 1 2 3 km ASC STORE d STOREDIST e
GEORADIUS_RO g 1 2 3 km COUNT 2 | PFADD h a | PFCOUNT a b | PFMERGE d a b
XADD s * f v | XLEN s | XREAD STREAMS a b 0 0 | XREAD COUNT 2 STREAMS a 0 | XREAD BLOCK 0 STREAMS a b c 1 2 3
XREADGROUP GROUP g c STREAMS a > | XREADGROUP GROUP g c COUNT 1 BLOCK 5 NOACK STREAMS a b > >
XREAD COUNT 2 BLOCK | XREAD STREAMS streams 0 | XGROUP CREATE s g $ MKSTREAM | XINFO STREAM s FULL | XACK s g 1-1
XINFO CONSUMERS s g | XAUTOCLAIM s g c 0 0 | XSETID s 1-1
EVAL return 2 a b c | EVAL return 0 | EVAL x 0 a | EVALSHA abc 1 k | EVAL_RO x 1 k | FCALL f 2 a b c | FCALL_RO f 0
WATCH a b | MIGRATE h 1 k 0 10 | MIGRATE h 1 "" 0 10 KEYS a b c | MIGRATE h 1 "" 0 10 COPY AUTH p KEYS a
XREAD COUNT 2 3 4 | RESTORE-ASKING a 0 x | PFDEBUG ENCODING h | SETRANGE a 1 x | SUBSTR a 0 1
XCLAIM s g c 0 1-1 | GETEX a | PING PONG | PUBLISH c m | SPUBLISH c m | SUBSCRIBE c d | CLIENT GETNAME | CONFIG GET a
SELECT 1 | SCAN 0 | KEYS a*
""".replace("\n", " | ")
LINES = [line for line in (text.strip() for text in REQUESTS.split("|")) if line]


@needs_redis_server
@pytest.mark.parametrize("line", LINES)
def test_keys_agree_with_command_getkeys(redis: Connection, line: str) -> None:
    args = [b"" if word == '""' else word.encode() for word in line.split()]
    command = find(args)
    assert command is not None
    expected = redis("COMMAND", "GETKEYS", *args)
    try:
        keys = [args[position] for position in keys_of(command, args)]
    except ReplyError as error:
        # Redis lets a script with a bad key count through to its own error; naming keys for it would be a guess.
        assert isinstance(expected, hiredis.ReplyError) or expected == [], error
        assert error.code in ("keys_invalid", "wrong_arity")
        return
    if isinstance(expected, hiredis.ReplyError):
        assert command.publishes or (keys == [] and not command.routes), expected
    else:
        assert sorted(keys) == sorted(expected)


def test_keys_of_a_request_that_is_too_short_is_the_arity_error() -> None:
    with pytest.raises(ReplyError, match="wrong number of arguments for 'get' command"):
        keys_of(COMMANDS["get"], [b"GET"])


def test_a_group_named_like_an_option_is_no_option() -> None:
    args = b"XREADGROUP GROUP streams block COUNT 2 STREAMS block b 1 2".split()
    command = find(args)
    assert command is not None
    assert keys_of(command, args) == [7, 8]
    assert not command.blocks(args)
    assert command.blocks(b"XREADGROUP GROUP g c block 0 STREAMS a >".split())
    assert command.blocks(b"XREADGROUP BLOCK 0 GROUP g c STREAMS a >".split())


def test_find() -> None:
    assert find([]) is None
    assert find([b"nope"]) is None
    assert find([b"gEt", b"k"]) is COMMANDS["get"]
    assert find([b"Client", b"Id"]) is subcommands("client")["id"]
    assert find([b"CLIENT", b"NOPE"]) is COMMANDS["client"]
    assert find([b"CLIENT"]) is COMMANDS["client"]
    assert find([b"client|id"]) is None
    assert find([b"\xff\xfe"]) is None
    assert subcommands("get") == {}
    with pytest.raises(KeyError):
        subcommands("nope")


def test_refusal_names_the_command_and_the_reason() -> None:
    waiting = [row for row in EVERY if row.lane is Lane.LATER]
    for row in waiting:
        assert refusal(row).text == f"ERR '{row.name}' is not supported yet: it needs {CAPABILITIES[row.later]}"
    assert refusal(COMMANDS["shutdown"]).text.startswith("ERR 'shutdown' is refused by the proxy: ")
    with pytest.raises(ValueError):
        refusal(COMMANDS["get"])


def test_arity_counts_the_name() -> None:
    assert [COMMANDS["get"].arity_allows(n) for n in (1, 2, 3)] == [False, True, False]
    assert [COMMANDS["mget"].arity_allows(n) for n in (1, 2, 9)] == [False, True, True]


def test_the_file_is_one_row_a_line_sorted_by_name() -> None:
    lines = files("proxy").joinpath("commands.json").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("[", "]")
    names = [json.loads(line.rstrip(","))["name"] for line in lines[1:-1]]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == len(EVERY)
    assert max(map(len, lines)) < 700


def test_the_file_has_no_column_that_nobody_reads() -> None:
    known = set(COLUMNS.split())
    for row in json.loads(files("proxy").joinpath("commands.json").read_bytes()):
        assert set(row) <= known, row["name"]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.name)
def test_row_is_complete_and_its_columns_agree(row: Command) -> None:
    assert row.name == row.name.lower() and row.arity != 0
    assert row.since and row.group and row.acl_categories
    assert 8 < len(row.summary) <= 70 and not row.summary.endswith(".")
    assert (row.lane is Lane.LATER) == bool(row.later) and (not row.later or row.later in CAPABILITIES)
    assert (row.lane is Lane.REFUSED) == bool(row.why)
    assert not (row.readonly and row.write)
    if row.lane in NODE_LANES:
        assert row.routes, "a command for a node has keys to choose it by"
        assert row.shared != row.blocking and not row.session and not row.admin
        assert "no_multi" not in row.flags and ("pubsub" in row.flags) == row.publishes
    else:
        assert not row.shared
    if "blocking" in row.flags:
        assert row.blocking != bool(row.blocks_with)
    if row.blocks_with:
        assert row.blocks_with in row.options
    if row.cacheable:
        assert row.readonly and row.lane is Lane.FAST and len(row.routes) == 1 and not row.blocks_with
        assert (row.routes[0].find, row.routes[0].last_key) == ("range", 0)
        assert not any(tip in ("nondeterministic_output",) for tip in row.tips)
    if row.mergeable:
        assert row.write and row.effect == "same" and row.arity in (2, 3, 4)
    if row.effect != "same":
        assert not row.readonly
    if row.one_node:
        assert row.lane in (Lane.LATER, Lane.CONTROL)
    if row.write and row.effect != "refused":
        assert row.lane in NODE_LANES
    for spec in row.routes:
        assert spec.begin != "unknown" and spec.find != "unknown" and "not_key" not in spec.flags
        assert spec.begin != "option" or spec.keyword in row.options


def test_lanes_of_the_commands_the_design_names() -> None:
    lanes = {
        Lane.MGET: ["mget"],
        Lane.MSET: ["mset"],
        Lane.SUM: ["del", "exists", "touch", "unlink"],
    }
    for lane, names in lanes.items():
        assert sorted(row.name for row in EVERY if row.lane is lane and not row.name.startswith("cluster|")) == names
    assert all(row.lane is Lane.CONTROL for row in CONTAINERS), "their unknown subcommands are answered there"
    assert all(row.lane is Lane.CONTROL for row in EVERY if row.name.endswith("|help") and row.name != "cluster|help")
    assert all(row.lane is Lane.ENGINE for row in COMMANDS["cluster"].subcommands.values()), "one answer, as Redis's"
    assert sorted(row.name for row in EVERY if row.mergeable) == ["decr", "decrby", "hincrby", "incr", "incrby"]


@pytest.mark.parametrize("name", ["set", "del", "incr", "zunionstore", "xreadgroup", "getex", "georadius", "hexpire"])
def test_writes_are_flagged(name: str) -> None:
    assert COMMANDS[name].write


def test_scripts_may_write() -> None:
    assert [row.name for row in EVERY if row.may_write and not row.write] == ["eval", "evalsha", "fcall"]
    assert not any(row.readonly and row.may_write for row in EVERY)


def test_what_came_after_redis_7_0_is_there() -> None:
    for name in ("waitaof", "client|no-touch", "client|setinfo", "cluster|myshardid", "client|maint_notifications"):
        assert BY_NAME[name].since >= "7.2"
