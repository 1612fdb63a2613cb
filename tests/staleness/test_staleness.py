"""A short run of the checker; `python -m tests.staleness --seconds 600` is the long one."""

from __future__ import annotations

import shutil

import pytest

from tests.staleness.__main__ import run

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@pytest.mark.parametrize(("copies", "seconds"), [("tracked", 12), ("ttl", 5)])
def test_promises_are_kept(copies: str, seconds: float) -> None:
    report = run(seconds, copies=copies)
    assert not report.violations, str(report)
    assert report.counts["increments"] > 10 and report.counts["writes"] > 50, str(report)
    assert report.proxies["copy_hits"] > 1000, str(report)
