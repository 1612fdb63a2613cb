"""Mailbox: a model for one thread, and two threads that pass a million numbers."""

import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.inspect import MailboxFace

START = st.sampled_from([0, 5, (1 << 32) - 3])


@given(st.sampled_from([1, 2, 8]), START, st.lists(st.booleans(), max_size=60))
def test_model(capacity, start, steps):
    box = MailboxFace(capacity)
    box.start_at(start)
    model = deque()
    for number, posts in enumerate(steps, 1):
        if posts:
            assert box.post(number) == (len(model) < capacity)
            if len(model) < capacity:
                model.append(number)
        else:
            assert box.take() == (model.popleft() if model else 0)
    while model:
        assert box.take() == model.popleft()
    assert box.take() == 0


@pytest.mark.parametrize("capacity", [1, 4, 1024])
def test_two_threads(capacity):
    """Each number arrives once and in its turn, across the wrap of the 32-bit counters."""
    box = MailboxFace(capacity)
    box.start_at((1 << 32) - 500)
    most = 20_000 if capacity == 1 else 500_000
    writer = threading.Thread(target=box.post_numbers, args=(most,))
    writer.start()
    wrong = box.take_numbers(most)
    writer.join()
    assert wrong == 0
    assert box.take() == 0
