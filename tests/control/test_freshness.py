"""Which replicas may be read, and how fresh they are."""

from __future__ import annotations

from proxy.control.freshness import Freshness, Replication

A, B = "a" * 40, "b" * 40


def primary(offset: int, history: str = A) -> Replication:
    return Replication(True, history, offset, False)


def replica(offset: int, history: str = A, linked: bool = True) -> Replication:
    return Replication(False, history, offset, linked)


def test_a_replica_is_as_fresh_as_the_latest_question_that_it_has_caught_up_with() -> None:
    one = Freshness()
    for asked, offset in ((1.0, 100), (2.0, 150), (3.0, 200)):
        one.heard(asked, primary(offset))
    assert one.judge(0.0, replica(250)) == (True, 3.0)
    assert one.judge(0.0, replica(199)) == (True, 2.0)
    assert one.judge(0.0, replica(99)) == (True, 0.0)


def test_who_follows_somebody_else_or_nobody_is_not_read() -> None:
    one = Freshness()
    assert one.judge(0.0, replica(0)) == (False, 0.0)
    one.heard(1.0, primary(100))
    assert not one.judge(0.0, replica(100, B))[0]
    assert not one.judge(0.0, primary(100))[0]
    assert not one.judge(0.0, None)[0]
    assert not one.judge(0.0, replica(100, linked=False))[0]


def test_when_the_primary_is_gone_its_replicas_are_read_and_grow_older() -> None:
    one = Freshness()
    one.heard(1.0, primary(100))
    assert not one.judge(0.9, replica(100, linked=False))[0]
    assert one.judge(1.1, replica(100, linked=False)) == (True, 1.0), "the primary may have died in between"
    one.heard(2.0, None)
    assert one.judge(1.1, replica(100, linked=False)) == (True, 1.0)


def test_a_new_history_begins_anew() -> None:
    one = Freshness()
    one.heard(1.0, primary(100))
    one.heard(2.0, primary(10, B))
    assert not one.judge(0.0, replica(100))[0]
    assert one.judge(0.0, replica(10, B)) == (True, 2.0)


def test_what_redis_says_is_understood() -> None:
    text = (
        b"# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\n"
        b"slave_repl_offset:42\r\nmaster_replid:" + A.encode() + b"\r\nmaster_repl_offset:42\r\n"
    )
    assert Replication.parse(text) == replica(42)
    assert Replication.parse(text.replace(b"sync_in_progress:0", b"sync_in_progress:1")) == replica(42, linked=False)
    text = b"role:master\r\nmaster_replid:" + A.encode() + b"\r\nmaster_repl_offset:7\r\n"
    assert Replication.parse(text) == primary(7)
    assert Replication.parse(b"-NOAUTH") is None
