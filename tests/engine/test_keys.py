"""The compiled key specifications against proxy.commands.keys_of, for every row of the table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.commands import COMMANDS, Lane, keys_of
from proxy.errors import ReplyError
from tests.engine.harness import build
from tests.helpers import request

ENGINE = build(1)
# What the engine asks keys_find() about; the rows of other lanes never get there.
ROWS = [
    command
    for row in COMMANDS.values()
    for command in (row, *row.subcommands.values())
    if command.routes and command.lane <= Lane.SUM
]
WORDS = sorted({
    word.encode() for row in ROWS for word in (*row.options, *(spec.keyword for spec in row.routes)) if word
})
NUMBERS = [b"0", b"1", b"2", b"3", b"10", b"-1", b"+1", b"1.5", b" 1", b"1 ", b"", b"99999999999999999999",
           b"9223372036854775807", b"4294967297", b"2147483648"]
ARGUMENT = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(WORDS).map(bytes.lower), st.sampled_from(NUMBERS), st.binary(max_size=6),
    st.sampled_from([b"k1", b"k2", b"k3", b"\0", b"a\r\nb"]))


def engine_keys(command, args):
    return ENGINE.keys(request(*args), command.name)


def check(command, args):
    """The same positions; for a request that is malformed none, or some of which the node will say what is wrong."""
    found = engine_keys(command, args)
    assert found is None or all(0 < position < len(args) for position in found)
    try:
        expected = keys_of(command, args)
    except ReplyError:
        return False
    assert (found or []) == expected, (command.name, args)
    return True


def named(command, *args):
    return [*(word.encode() for word in command.name.split("|")), *args]


@pytest.mark.parametrize("command", ROWS, ids=lambda command: command.name)
def test_every_row(command):
    least = abs(command.arity)

    @given(st.data())
    @settings(max_examples=25, deadline=None)
    def run(data):
        count = least if command.arity > 0 else least + data.draw(st.integers(0, 8))
        name = named(command)
        count = max(count - len(name), 0)
        check(command, name + data.draw(st.lists(ARGUMENT, min_size=count, max_size=count)))

    run()


@given(st.sampled_from([row for row in ROWS if any(spec.find == "keynum" for spec in row.routes)]),
       st.integers(0, 6), st.integers(-2, 8), st.lists(ARGUMENT, max_size=3))
@settings(max_examples=300, deadline=None)
def test_key_counts(command, keys, stated, behind):
    spec = next(spec for spec in command.routes if spec.find == "keynum")
    args = named(command)
    while len(args) < spec.index + spec.keynum_index:
        args.append(b"k")
    args += [b"%d" % stated, *(b"key%d" % index for index in range(keys)), *behind]
    if command.arity_allows(len(args)):
        fits = check(command, args)
        assert not (stated == keys > 0) or fits


STREAM_WORDS = [b"BLOCK", b"0", b"COUNT", b"streams", b"STREAMS", b"NOACK", b"s1", b"s2", b"$"]
SORT_WORDS = [b"BY", b"GET", b"LIMIT", b"STORE", b"store", b"0", b"1", b"ASC", b"ALPHA", b"#"]


@given(st.lists(st.sampled_from(STREAM_WORDS), max_size=9))
@settings(max_examples=300, deadline=None)
def test_xread(args):
    for command in (COMMANDS["xread"], COMMANDS["xreadgroup"]):
        group = [b"GROUP", b"streams", b"streams"] if command.name == "xreadgroup" else []
        whole = named(command, *group, *args)
        if command.arity_allows(len(whole)):
            check(command, whole)


@given(st.lists(st.sampled_from(SORT_WORDS), max_size=9))
@settings(max_examples=300, deadline=None)
def test_sort(args):
    for name in ("sort", "sort_ro"):
        check(COMMANDS[name], named(COMMANDS[name], b"list", *args))


@pytest.mark.parametrize("args, expected", [
    ([b"XREAD", b"STREAMS", b"a", b"b", b"0", b"0"], [2, 3]),
    ([b"XREAD", b"COUNT", b"STREAMS", b"STREAMS", b"a", b"0"], [4]),
    ([b"XREAD", b"COUNT", b"1", b"STREAMS", b"a", b"0"], [4]),
    ([b"SORT", b"l", b"BY", b"STORE", b"STORE", b"d"], [1, 5]),
    ([b"SORT", b"l", b"STORE", b"x", b"STORE", b"y"], [1, 5]),
    ([b"EVAL", b"s", b"2", b"a", b"b", b"c"], [3, 4]),
    ([b"EVAL", b"s", b"0", b"a"], []),
    ([b"EVAL", b"s", b"-1", b"a"], None),
    ([b"EVAL", b"s", b"3", b"a", b"b"], None),
    ([b"EVAL", b"s", b"01", b"a"], None),    # as Redis reads numbers; keys_of is more patient
    ([b"EVAL", b"s", b"9223372036854775807", b"a"], None),
    ([b"ZUNIONSTORE", b"d", b"2", b"a", b"b"], [1, 3, 4]),
    ([b"MSET", b"a", b"1", b"b", b"2"], [1, 3]),
    ([b"GEORADIUS", b"k", b"0", b"0", b"1", b"m", b"STORE", b"d"], [1, 7]),
])
def test_known_requests(args, expected):
    assert engine_keys(COMMANDS[args[0].decode().lower()], args) == expected


def test_a_large_request_is_looked_through_once_and_its_room_given_back():
    keys = [b"key:%d" % index for index in range(200_000)]
    assert engine_keys(COMMANDS["mget"], [b"MGET", *keys]) == list(range(1, len(keys) + 1))
    assert engine_keys(COMMANDS["mget"], [b"MGET", b"a"]) == [1]
