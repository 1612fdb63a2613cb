"""The order of the tests: real applications come last, as they take longest and fail for the reasons of all others."""

from __future__ import annotations

from pathlib import Path

import pytest

LAST = Path(__file__).parent / "applications"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST in item.path.parents)
