"""What MONITOR shows: each request once, in quotes, without passwords; bounded, and what is dropped is counted."""

from __future__ import annotations

import re

import pytest

from proxy.engine.probe import Probe
from tests.engine.harness import build, conn, key_on, settle
from tests.helpers import request

MONITOR = 10
GET = request(b"GET", key_on(0))


def shown(engine: Probe) -> tuple[list[bytes], int]:
    """The lines since the last call, without their beginnings, and how many are said to be missing."""
    events = [event for event in engine.events() if event[0] == MONITOR]
    lines = b"".join(event[7] for event in events).split(b"\r\n")
    assert lines.pop() == b""
    pattern = re.compile(rb"\+\d{10}\.\d{6} \[(\d+) unix:/s\] (.*)")
    found = [pattern.fullmatch(line) for line in lines]
    assert all(found), lines
    return [match[1] + b" " + match[2] for match in found if match], sum(event[6] for event in events)


def monitored() -> tuple[Probe, int]:
    engine = build()
    client = engine.open()
    engine.monitor(1, 0, True, b"/s")
    engine.turn()
    return engine, client


def test_requests_of_old_and_new_clients_are_shown_while_somebody_looks() -> None:
    engine = build()
    before = engine.open()
    engine.feed(before, GET)
    settle(engine)
    assert shown(engine) == ([], 0)
    engine.monitor(1, 0, True, b"/s")
    engine.turn()
    after = engine.open()
    engine.feed(before, GET)
    engine.feed(after, b"*2\r\n$6\r\nselect\r\n$1\r\n7\r\n" + b"PING  'a b'\r\n")
    settle(engine)
    assert shown(engine) == ([b'0 "GET" "%b"' % key_on(0), b'7 "select" "7"', b'7 "PING" "a b"'], 0)
    engine.monitor(2, 0, False, b"/s")
    engine.turn()
    engine.feed(before, GET)
    engine.feed(after, GET)
    settle(engine)
    assert shown(engine) == ([], 0)


def test_every_byte_stays_on_its_line() -> None:
    engine, client = monitored()
    engine.feed(client, request(b"ECHO", bytes(range(256))))
    settle(engine)
    named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}
    expected = "".join(
        named.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in range(256)
    )
    assert shown(engine) == ([b'0 "ECHO" "%b"' % expected.encode()], 0)


@pytest.mark.parametrize(
    ("words", "hidden"), [("AUTH secret", 1), ("auth default secret", 2), ("HELLO 3 AUTH default secret SETNAME me", 2)]
)
def test_passwords_are_not_shown(words: str, hidden: int) -> None:
    engine, client = monitored()
    engine.feed(client, request(*words.encode().split()))
    settle(engine)
    (line,), _ = shown(engine)
    assert b"secret" not in line and b"default" not in line and line.count(b'"(redacted)"') == hidden


def test_what_waits_is_shown_once() -> None:
    engine, client = monitored()
    engine.feed(client, GET + request(b"SELECT", b"0") + GET)
    for _ in range(3):
        settle(engine)
    engine.sent(conn(0))
    engine.answer(conn(0), b"+OK\r\n")
    settle(engine)
    lines, _ = shown(engine)
    assert [line.split()[1] for line in lines] == [b'"GET"', b'"SELECT"', b'"GET"']


def test_errors_and_administration_are_not_shown() -> None:
    engine, client = monitored()
    engine.feed(client, b"NOPE\r\nGET\r\nCONFIG GET a\r\n")
    settle(engine)
    assert shown(engine) == ([], 0)


def test_what_does_not_fit_is_counted() -> None:
    engine, client = monitored()
    engine.feed(client, request(b"ECHO", b"x" * 70_000))
    settle(engine)
    assert engine.counters()["monitor_dropped"] == 1
    for _ in range(1000):
        engine.feed(client, request(b"ECHO", b"x" * 60_000))
        engine.turn()
        engine.take(client)
    lines, missing = shown(engine)
    assert 100 < len(lines) < 200, "about 8 MB"
    # Those that are missing are told with the lines behind them.
    engine.feed(client, b"PING\r\n")
    settle(engine)
    last, more = shown(engine)
    assert last == [b'0 "PING"'] and missing + more == engine.counters()["monitor_dropped"] == 1001 - len(lines)
    assert missing == 1
