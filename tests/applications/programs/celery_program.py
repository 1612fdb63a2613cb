"""Celery: a worker, started with the options given, and what a client does with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from celery_app import add, app, broken, flaky, slow, total
from steps import step

WITHIN = 15


with subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency", "2", "--loglevel", "WARNING",
     *sys.argv[2:]],
    cwd=Path(__file__).parent, stdout=sys.stderr, stdin=subprocess.DEVNULL,
) as worker:  # fmt: skip
    with step("task"):
        assert add.delay(2, 3).get(timeout=20) == 5
    with step("many"):
        results = [add.delay(number, number) for number in range(200)]
        assert [result.get(timeout=WITHIN) for result in results] == [2 * number for number in range(200)]
    with step("retry"):
        assert flaky.delay().get(timeout=WITHIN) == 2
    with step("failure"):
        result = broken.delay()
        try:
            result.get(timeout=WITHIN)
        except ValueError as failure:
            assert "as it was meant to" in str(failure)
        assert result.state == "FAILURE"
    with step("chain"):
        assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=WITHIN) == 10
    with step("group"):
        assert group(add.s(number, 1) for number in range(20))().get(timeout=WITHIN) == list(range(1, 21))
    with step("chord"):
        assert chord((add.s(number, number) for number in range(20)), total.s())().get(timeout=WITHIN) == 380
    with step("countdown"):
        assert add.apply_async((1, 1), countdown=0.5).get(timeout=WITHIN) == 2
    with step("priority"):
        results = [add.apply_async((number, 0), priority=number % 10) for number in range(20)]
        assert [result.get(timeout=WITHIN) for result in results] == list(range(20))
    with step("revoke"):
        late = slow.apply_async((1,), countdown=2)
        late.revoke()
        try:
            late.get(timeout=WITHIN)
        except TaskRevokedError:
            pass
        else:
            raise AssertionError("it was revoked and ran")
    with step("forget"):
        result = add.delay(1, 1)
        assert result.get(timeout=WITHIN) == 2
        result.forget()
        assert app.control.purge() == 0
    worker.kill()
