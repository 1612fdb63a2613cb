"""One pair of servers for each arrangement, kept for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.tier import ARRANGEMENTS, Pair, running_pair


@pytest.fixture(scope="package", params=ARRANGEMENTS, ids=[arrangement.name for arrangement in ARRANGEMENTS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("compat"), request.param) as pair:
        yield pair


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version
