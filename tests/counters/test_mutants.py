"""The table of mutants fits the combiner as it is; `make soak` runs them."""

from __future__ import annotations

import pytest

from tests.counters.mutants import MUTANTS, PROMISES


@pytest.mark.parametrize("name", MUTANTS | PROMISES)
def test_the_line_is_there_once(name: str) -> None:
    assert (MUTANTS | PROMISES)[name].fits()
