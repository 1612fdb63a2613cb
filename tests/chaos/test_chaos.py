"""Short runs of the chaos; `python -m tests.chaos --report` is the long one, with its bars."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import missing, run, tell
from tests.chaos.faults import ALWAYS, FAULTS
from tests.redis_server import needs_redis_server

pytestmark = needs_redis_server


@pytest.mark.parametrize("name", ["calm", "kill", "ring-kill"])
def test_what_always_has_to_hold(name: str) -> None:
    """Bars on times are for a machine that does nothing else."""
    if why := missing(FAULTS[name]):
        pytest.skip(why)
    found = run(name, rate=2000, processes=1, longer=0.5)
    assert found.reads > 500 and found.writes > 100, tell(name, found)
    assert all(bar.holds(bar.measure(found)) for bar in ALWAYS), tell(name, found)
    if name == "ring-kill":
        assert not found.lost, tell(name, found)
    if FAULTS[name].steady:
        assert not found.failed_reads and not found.failed_writes and not found.lost, tell(name, found)
