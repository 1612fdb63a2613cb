"""The order of the tests, and where their random examples come from.

Real applications come last, as they take longest and fail for the reasons of all others. Hypothesis tries the same
examples in every run, so that a change is judged by what it changes; with QUENCH_RANDOM=1 (`make soak` sets it) it
looks for new ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=True)
if not os.environ.get("QUENCH_RANDOM"):
    settings.load_profile("steady")

LAST = Path(__file__).parent / "applications"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST in item.path.parents)
