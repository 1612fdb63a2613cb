"""The judge is judged: what it has to believe, and what it must not."""

from __future__ import annotations

import pytest

from tests.staleness.history import MARGIN, Register, Story

BOUND = 0.5
AWAY = 10 * MARGIN


@pytest.fixture
def story() -> Story:
    """v1 from 10 to 11 by way of proxy 0; v2 from 20 to 21 by way of proxy 1."""
    story = Story("key")
    story.acknowledge(story.begin(b"v1", 10), 11, proxy=0)
    story.acknowledge(story.begin(b"v2", 20), 21, proxy=1)
    return story


@pytest.mark.parametrize(("value", "began", "ended", "proxy", "valid"), [
    (None, 5, 6, 0, True), (None, 10.5, 12, 0, True), (None, 11.1, 12, 0, False), (None, 11.1, 12, 1, True),
    (None, 11 + BOUND + AWAY, 13, 1, False), (b"v1", 5, 9.9, 0, False), (b"v1", 9, 10.1, 0, True),
    (b"v1", 15, 16, 1, True), (b"v1", 21.1, 22, 1, False), (b"v1", 21.1, 22, 0, True),
    (b"v1", 21 + BOUND + AWAY, 23, 0, False), (b"v2", 19, 19.9, 0, False), (b"v2", 99, 100, 0, True),
    (b"other", 15, 16, 0, False),
])  # fmt: skip
def test_bounds(story: Story, value: bytes | None, began: float, ended: float, proxy: int, valid: bool) -> None:
    assert story.judge(value, began, ended, proxy, BOUND).valid is valid


def test_age(story: Story) -> None:
    assert story.judge(b"v1", 21.2, 22, 0, BOUND).age == pytest.approx(0.2)
    assert story.judge(b"v2", 21.2, 22, 0, BOUND).age == 0


def test_what_ran_out_is_not_to_be_seen() -> None:
    story = Story("key")
    story.acknowledge(story.begin(b"short", 10, 2), 11, 2, proxy=0)
    assert story.judge(b"short", 12.9, 13, 1, BOUND).valid
    assert not story.judge(b"short", 13 + 1.1 * MARGIN, 14, 1, BOUND).valid
    assert story.judge(None, 12.1, 12.2, 0, BOUND).valid
    assert not story.judge(None, 11.5, 11.9, 0, BOUND).valid


def test_who_wrote_sees_what_he_wrote(story: Story) -> None:
    own = story.begin(b"v3", 30)
    assert not story.judge(b"v2", 30, 31, 0, BOUND, own).valid
    assert story.judge(b"v3", 30, 31, 0, BOUND, own).valid


def test_a_write_behind_the_proxies_has_the_bound() -> None:
    story = Story("key")
    story.acknowledge(story.begin(b"v1", 10), 11)
    for proxy in (0, 1):
        assert story.judge(None, 11.4, 12, proxy, BOUND).valid
        assert not story.judge(None, 11 + BOUND + AWAY, 13, proxy, BOUND).valid


def test_nothing_is_known_of_what_was_retired() -> None:
    register = Register(0, "key")
    before = register.story
    register.retire()
    assert before.judge(b"anything", 1, 2, 0, BOUND).valid and register.story.name != before.name
    assert not register.story.judge(b"anything", 1, 2, 0, BOUND).valid


def test_a_connection_is_told_nothing_older_than_before(story: Story) -> None:
    first = story.judge(b"v1", 20.5, 20.6, 1, BOUND)
    second = story.judge(b"v2", 20.6, 20.7, 1, BOUND, seen=first.entry)
    assert first.valid and second.valid
    third = story.judge(b"v1", 20.7, 20.8, 1, BOUND, seen=second.entry)
    assert not third.valid and third.back
    assert story.judge(b"v1", 20.7, 20.8, 1, BOUND, seen=first.entry).valid
