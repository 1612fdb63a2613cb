"""The compiled command lookup against the table that it was compiled from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.commands import COMMANDS, find
from tests.engine.harness import build

ENGINE = build(1)
NAMES = [command.name for row in COMMANDS.values() for command in (row, *row.subcommands.values())]
PRINTABLE = st.binary(min_size=1, max_size=30).map(lambda name: bytes(32 + byte % 95 for byte in name))


def known(args):
    row = find(args)
    return None if row is None else row.name


def cases(name):
    yield name.lower()
    yield name.upper()
    yield "".join(letter.upper() if index % 2 else letter for index, letter in enumerate(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_any_case(name):
    for spelled in cases(name):
        args = [word.encode() for word in spelled.split("|")]
        assert ENGINE.row(args) == known(args) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_more_or_less_is_another(name):
    args = [word.encode() for word in name.split("|")]
    for last in (args[-1][:-1], args[-1] + b"x", args[-1] + b"\0", args[-1] + b" ", b"\0" + args[-1], args[-1] * 9):
        if last or len(args) > 1:
            assert ENGINE.row([*args[:-1], last]) == known([*args[:-1], last])


@given(PRINTABLE, PRINTABLE)
def test_any_printable_words(name, child):
    assert ENGINE.row([name]) == known([name])
    assert ENGINE.row([b"client", child]) == known([b"client", child])


@given(st.sampled_from(NAMES), st.integers(0, 30), st.integers(32, 126))
def test_one_letter_changed(name, place, letter):
    word = bytearray(name.partition("|")[0].encode())
    word[place % len(word)] = letter
    assert ENGINE.row([bytes(word)]) == known([bytes(word)])


@pytest.mark.parametrize("name", [b"", b"\0", b"\0" * 8, b"x" * 24, b"x" * 25, b"x" * 1000, b"\xff" * 5])
def test_odd_names(name):
    assert ENGINE.row([name]) is None
