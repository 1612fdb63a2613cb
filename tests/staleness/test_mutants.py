"""The table of mutants fits the engine as it is; `make soak` runs them."""

from __future__ import annotations

import pytest

from tests.staleness.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("name", MUTANTS)
def test_the_line_is_there_once(name: str) -> None:
    mutant = MUTANTS[name]
    text = (ROOT / "proxy" / "engine" / f"{mutant.module}.pyx").read_text()
    assert text.count(mutant.old) == 1 and mutant.new != mutant.old
