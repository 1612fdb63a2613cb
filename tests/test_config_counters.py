"""Counters in a configuration file: which prefixes differ in what, and what is said of those that cannot be had."""

from __future__ import annotations

import pytest

from proxy.control.engines import counter_values
from tests.test_config_file import only_pool, problems

POOL = "pools:\n  cache:\n    listen: a:1\n    servers: [b:1]\n"


def test_prefixes_have_their_own() -> None:
    text = POOL + (
        "    counters:\n      keys: [likes, v]\n      window: 5ms\n      prefixes:\n"
        "        'v': {mode: early, window: 50ms, max_batch: 10}\n        'w': {}\n"
    )
    assert counter_values(only_pool(text)) == [
        (b"", "off", 8192, 5000, False, 1), (b"likes", "all", 8192, 5000, False, 1),
        (b"v", "all", 8192, 5000, False, 1),
        (b"v", "all", 10, 50_000, True, 1), (b"w", "all", 8192, 5000, False, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("counters", "rules"), [
    ("{}", [(b"", "hot", 8192, 0, False, 1)]),
    ("{keys: off}", None),
    ("{keys: []}", None),
    ("{keys: off, mode: early}", None),
    ("{keys: all, mode: early, window: 1ms}", [(b"", "all", 8192, 1000, True, 1)]),
    ("{keys: off, prefixes: {x: {}}}", [(b"", "off", 8192, 0, False, 1), (b"x", "all", 8192, 0, False, 1)]),
])  # fmt: skip
def test_who_is_merged(counters: str, rules: list[tuple[bytes, str, int, int, bool, int]] | None) -> None:
    assert counter_values(only_pool(f"{POOL}    counters: {counters}\n")) == rules


@pytest.mark.parametrize(("lines", "problem"), [
    ("counters: {mode: early}",
     "counters.mode: early needs a window, which is how much may be lost: counters: {window: 50ms}, or one by prefix"),
    ("counters: {keys: [], prefixes: {v: {mode: early}}}",
     "counters.prefixes: early needs a window, which is how much may be lost: counters: {window: 50ms}, "
     "or one by prefix"),
    ("counters: {window: 1ms, prefixes: {v: {mode: early}}}\n    replication: ring",
     "counters.prefixes: early is not for replication: ring, where no increments travel together"),
    ("counters: {shards: 4}", 'counters.shards: is for some prefixes, because few commands are for such counters: '
                              'prefixes: {"views:": {shards: 4}}'),
    ("counters: {prefixes: {v: {mode: early, window: 1ms, shards: 2}}}",
     "counters.prefixes: early counters are not spread: leave out shards, or mode"),
    ("counters: {prefixes: {v: {shards: 2}}}\n    auto_eject: true",
     "auto_eject: is not for counters with shards: it gives keys to other nodes, and shards have places"),
    ("counters: {prefixes: {v: {shards: 17}}}", "counters.prefixes.v.shards: 17 is too large; the most is 16"),
    ("counters: {prefixes: {v: {mode: soon}}}", "counters.prefixes.v.mode: 'soon' is unknown; use one of exact, early"),
    ("counters: {prefixes: {v: {keys: all}}}", "counters.prefixes.v.keys: is none of mode, window, max_batch, shards"),
    ("counters: {prefixes: {'': {}}}", "counters.prefixes: is for every key; say it under counters itself"),
    ("counters: {prefixes: [v]}",
     'counters.prefixes: expected prefixes like {"page:": {…: …}}, got a list'),
])  # fmt: skip
def test_what_cannot_be(lines: str, problem: str) -> None:
    found = [one.partition("pools.cache.")[2] for one in problems(f"{POOL}    {lines}\n")]
    assert problem in found, found
